import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import type { ManagementScope } from '@keyledger/contracts';
import * as shapes from '@keyledger/contracts/http';
import { header, SCOPE_CHALLENGE } from './forms.js';
import { rawRoutes, type Operation } from './openapi-raw-routes.js';
import { TRAITS, type RouteTraits } from './needs.js';

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

const DESCRIPTION = `Governance of API keys: keyspaces and their policies, keys that are issued, imported, rotated, suspended and revoked, and
the question whether a key is good.

Every request but the health checks carries a management key as \`Authorization: Bearer <key>\` or in \`X-API-Key\`, never in
the URL. A missing key is answered 401 with a bare challenge, an unusable one 401 \`invalid_token\` with always the same
bytes, a missing scope 403 naming it; what is out of a key's reach does not exist for it (404).

Instants are ISO-8601 in UTC, durations ISO-8601 of weeks, days, hours, minutes and seconds. Unknown fields are refused.
Errors are problem+json (RFC 9457) with a \`code\` that programs match on and, where fields were wrong, what would be right.`;

/** Statuses that any route behind a credential can answer with. */
const ALWAYS = [400, 401, 403, 503];
const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'The request cannot be read, or a field is not valid',
  401: 'No credential, or one that is not valid',
  403: 'The credential lacks the scope, or it is not allowed here',
  404: 'There is no such resource, or it is out of reach',
  409: 'It conflicts with the state of the resource or with another request',
  410: 'It was there, and is not any more',
  412: 'The resource is at another revision than If-Match says',
  413: 'The request is larger than this route takes',
  415: 'The body is not JSON in UTF-8',
  422: 'The policy of the keyspace does not allow it, or the Idempotency-Key came with another request',
  429: 'Too many requests; Retry-After says when to ask again',
  503: 'A part that this needs cannot be reached; Retry-After says when to ask again',
};

/** The document of every route that runs here, in OpenAPI 3.1. */
function documentOf(app: NestFastifyApplication, version: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Keyledger')
    .setVersion(version)
    .setDescription(DESCRIPTION)
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'A key of the keyspace `system`' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same key' }, 'apiKey')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    extraModels: [shapes.ProblemView],
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '').toLowerCase()}.${method}`,
  });
  for (const [path, item] of Object.entries(rawRoutes())) document.paths[path] = { ...document.paths[path], ...item };
  for (const item of Object.values(document.paths)) {
    for (const method of METHODS) if (item[method]) spellOut(method, item[method]);
  }
  tighten(document.components?.schemas ?? {});
  return document;
}

/** What the decorators of the fields check, and what holds everywhere: numbers are whole, `…At` and `notBefore` name instants. */
function tighten(schemas: Schemas): void {
  for (const [name, schema] of Object.entries(schemas)) {
    if ('$ref' in schema) continue;
    const type = (shapes as Record<string, unknown>)[name];
    const facets = typeof type === 'function' ? shapes.facetsOf(type) : {};
    if (/(Request|Input)$/.test(name)) schema.additionalProperties = false;
    for (const [field, property] of Object.entries(schema.properties ?? {})) {
      if ('$ref' in property) continue;
      if (property.type === 'number') property.type = 'integer';
      if (/At$|^notBefore$/.test(field)) property.format = 'date-time';
      Object.assign(property, facets[field]);
    }
  }
}

/** Turns what a route says of itself (`Needs`) into what the document says of it. */
function spellOut(method: (typeof METHODS)[number], operation: Operation & { [TRAITS]?: RouteTraits }): void {
  const { [TRAITS]: traits } = operation;
  delete operation[TRAITS];
  spellOutRefusals(operation.responses);
  if (!traits) return;
  const { scope, bare, open, repeatable, conditional, tagged, located, refusals = [] } = traits;
  operation.security = open ? [] : [{ bearer: [] }, { apiKey: [] }];
  operation.description = [operation.description, scope ? needs(scope) : ''].filter(Boolean).join('\n\n');
  operation.parameters = [...(operation.parameters ?? []), ...headers({ repeatable, conditional })];
  const statuses = [
    ...(open ? [400, 503] : ALWAYS),
    ...refusals,
    ...(method === 'get' ? [] : [413, 415]),
    ...(operation.parameters?.some((one) => 'in' in one && one.in === 'path') ? [413] : []),
    ...(conditional ? [412] : []),
    ...(repeatable ? [409, 422] : []),
  ];
  for (const status of [...new Set(statuses)].sort())
    operation.responses[status] = problem(status, scope !== undefined);
  for (const [status, response] of Object.entries(operation.responses)) {
    if (Number(status) >= 400 || !response || '$ref' in response) continue;
    response.description ||= status === '201' ? 'It was made' : 'The answer';
    response.headers = {
      ...response.headers,
      ...(!bare && { 'X-Request-Id': header('Names the request in logs and events; yours, if you sent one') }),
      ...(tagged && { ETag: header('The revision, for If-Match') }),
      ...(located && { Location: header('Where it is') }),
      ...(repeatable && { 'Idempotent-Replayed': header('"true" on the answer to a repeated Idempotency-Key') }),
    };
  }
}

const needs = (scope: ManagementScope) =>
  `Scope: \`${scope}\`, for every keyspace or bound to one (\`${scope}@acme\`).`;

function headers({ repeatable, conditional }: { repeatable?: boolean | undefined; conditional?: boolean | undefined }) {
  const parameter = (name: string, description: string, example: string) => ({
    name,
    in: 'header' as const,
    required: false,
    description,
    schema: { type: 'string' as const },
    example,
  });
  const idempotency =
    'Makes the request happen once: repeated with the same body it gets the same answer, within ten minutes with the key ' +
    'itself. With another body it is refused (422); while the first still runs, 409. At most 255 characters, quoted or bare.';
  return [
    ...(repeatable ? [parameter('Idempotency-Key', idempotency, '"8e03978e-40d5-43dd-bc93-6894a57f9324"')] : []),
    ...(conditional ? [parameter('If-Match', 'The ETag that you saw; 412 if it is another by now', '"3"')] : []),
    parameter('X-Keyledger-Reason', 'Why; stands in the audit trail', 'ticket OPS-1432'),
    parameter('X-Keyledger-On-Behalf-Of', 'For whom you act; stands in the audit trail', 'jane@example.com'),
  ].slice(0, repeatable || conditional ? undefined : 0);
}

function problem(status: number, scoped = false) {
  return {
    description: PROBLEMS[status] ?? 'An error',
    ...(status === 401 && { headers: { 'WWW-Authenticate': header('The challenge, RFC 6750 section 3') } }),
    ...(status === 403 && scoped && { headers: SCOPE_CHALLENGE }),
    ...((status === 503 || status === 429) && { headers: { 'Retry-After': header('Seconds') } }),
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemView' } } },
  };
}

/** What the routes on Fastify itself say of their refusals, in full: those are problems like everywhere. */
function spellOutRefusals(responses: Operation['responses']): void {
  for (const [status, response] of Object.entries(responses)) {
    if (Number(status) < 400 || !response || '$ref' in response || response.content) continue;
    responses[status] = { ...problem(Number(status)), ...response };
  }
}

/** Serves the document at `/openapi.json` and, with everything that it needs, as a page at `/docs`. */
export function serveDocument(app: NestFastifyApplication, version: string): void {
  const document = documentOf(app, version);
  const json = JSON.stringify(document);
  const fastify = app.getHttpAdapter().getInstance();
  fastify.get('/openapi.json', async (_request, reply) => reply.type('application/json; charset=utf-8').send(json));
  SwaggerModule.setup('docs', app, document, {
    raw: false,
    customSiteTitle: 'Keyledger API',
    swaggerOptions: { persistAuthorization: false, validatorUrl: null, tryItOutEnabled: false },
  });
}
