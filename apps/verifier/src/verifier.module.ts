import { Module, type DynamicModule } from '@nestjs/common';
import { READINESS, type Readiness } from '@keyledger/platform';

/** Nothing but health and metrics: the two routes that a verifier is for stand on Fastify itself. */
@Module({})
export class VerifierModule {
  static of(readiness: Readiness): DynamicModule {
    return { module: VerifierModule, providers: [{ provide: READINESS, useValue: readiness }] };
  }
}
