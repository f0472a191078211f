import { Module, type DynamicModule } from '@nestjs/common';
import { READINESS, type Readiness } from '@keyledger/platform';

/** Nothing but health and metrics: the work goes on beside the HTTP server. */
@Module({})
export class WorkerModule {
  static of(readiness: Readiness): DynamicModule {
    return { module: WorkerModule, providers: [{ provide: READINESS, useValue: readiness }] };
  }
}
