import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { bootstrapHttp, type Logger } from '@keyledger/platform';
import { registerVerifyRoutes } from '@keyledger/verification';
import { ApiModule } from './api.module.js';
import { translateFailure } from './failures.js';
import { assertPlainBody } from './http/body-guard.js';
import { serveDocument } from './http/openapi.js';
import { registerGithubIntake } from './leaks/github-intake.js';
import { assemble, type ApiConfig } from './parts.js';
import { VERSION } from './version.js';

/** Runs the management API. Resolves, once it listens, to what stops it; the first start goes on behind it. */
export async function startApi(config: ApiConfig, logger: Logger): Promise<() => Promise<void>> {
  const parts = assemble(config, logger);
  const { incidents, digests, githubKeys, leakLog, decoySightings } = parts;
  const { readModel, eventStore, redis, firstStart, historian, verification, credentials, failed, metrics, meter } =
    parts;
  const end = new AbortController();
  const { channels, erasures, auditTree, visibility } = parts;
  const following = Promise.all([channels, erasures, auditTree, visibility].map((one) => one.run(end.signal)));
  await readModel.start();
  meter.start();
  const http = await bootstrapHttp(ApiModule.of(parts), {
    name: 'api',
    host: config.host,
    port: config.apiPort,
    trustedProxies: config.trustedProxies,
    logger,
    metrics,
    translate: translateFailure,
    hotRoutes: (fastify) => {
      registerVerifyRoutes(fastify, { verification, credentials, failed });
      registerGithubIntake(fastify, { incidents, digests, keys: githubKeys, log: leakLog });
    },
    configure: (app) => {
      guardBodies(app);
      serveDocument(app, VERSION);
    },
  });
  logger.debug({ routes: routesOf(http.app) }, 'routes');
  // What it throws after two minutes of trying is for nobody to handle: it ends the process.
  void firstStart.run();
  void historian.run();
  parts.reviewBoard.start();
  return async () => {
    firstStart.stop();
    historian.stop();
    await http.close();
    await decoySightings.close();
    await meter.stop();
    end.abort();
    await following;
    readModel.stop();
    parts.reviewBoard.stop();
    await eventStore.dispose();
    redis.disconnect();
  };
}

/** Routes for found keys: they take them out of all that stands beside them. */
const REPORTS = ['/v1/leaks', '/v1/leaks/found'];

function guardBodies(app: NestFastifyApplication): void {
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('preValidation', async ({ body, routeOptions: { url = '' } }) =>
      assertPlainBody(body, REPORTS.includes(url)),
    );
}

function routesOf(app: NestFastifyApplication): string[] {
  return app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false }).split('\n');
}
