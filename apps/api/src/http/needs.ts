import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { ManagementScope } from '@keyledger/contracts';
import { Public, RequireScope } from '@keyledger/platform';

/** What the OpenAPI document says of a route beyond its types; openapi.ts spells it out. */
export interface RouteTraits {
  scope?: ManagementScope;
  /** It spares itself the hooks of the others, and so answers with no request id. */
  bare?: boolean;
  /** It takes no credential. */
  open?: boolean;
  /** It takes an Idempotency-Key. */
  repeatable?: boolean;
  /** It takes If-Match. */
  conditional?: boolean;
  /** Its answer has an ETag. */
  tagged?: boolean;
  /** Its answer has a Location. */
  located?: boolean;
  /** Statuses of errors beyond those that every route can have. */
  refusals?: readonly number[];
}

export const TRAITS = 'x-keyledger-traits';

/** Metadata of a route that takes If-Match. */
export const CONDITIONAL = 'keyledger:conditional';

const describedAs = (traits: RouteTraits) =>
  applyDecorators(ApiExtension(TRAITS, traits), SetMetadata(CONDITIONAL, traits.conditional ?? false));

/** The scope without which the route is refused, and what else its description has to say. */
export const Needs = (scope: ManagementScope, traits: Omit<RouteTraits, 'scope'> = {}) =>
  applyDecorators(RequireScope(scope), describedAs({ scope, ...traits }));

/** A route that anybody may call, and that looks at no credential. */
export const Anybody = (traits: Omit<RouteTraits, 'scope' | 'open'> = {}) =>
  applyDecorators(Public(), describedAs({ ...traits, open: true }));

/** A route that no management credential opens: it looks at the presented key itself. */
export const ByPossession = (traits: Omit<RouteTraits, 'scope'> = {}) => applyDecorators(Public(), describedAs(traits));
