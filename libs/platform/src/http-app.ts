import { NestFactory } from '@nestjs/core';
import type { RequestListener } from 'node:http';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { fastify, type FastifyInstance, type RouteOptions } from 'fastify';
import { registerHealth, READINESS, type Readiness } from './health.js';
import { takeJsonOnly } from './json-body.js';
import { NestLogger, type Logger } from './logger.js';
import type { Metrics } from './metrics.js';
import { tellParent } from './parent.js';
import type { FailureTranslation } from './problem.js';
import { ProblemFilter } from './problem.filter.js';
import { requestIdOf } from './request-context.js';
import { requestValidation } from './validation.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Spares a hot route the hooks of the others: it echoes no request id and keeps its own measures. */
    bare?: boolean;
  }
}

type AppModule = Parameters<typeof NestFactory.create>[0];

export interface HttpAppOptions {
  name: string;
  host: string;
  /** 0 takes a free port. */
  port: number;
  trustedProxies: readonly string[];
  logger: Logger;
  metrics: Metrics;
  translate?: FailureTranslation;
  /** Registers routes on Fastify itself, free of all request hooks. It is called twice and must keep nothing in itself. */
  hotRoutes?: (fastify: FastifyInstance) => void;
  /** Last changes before it listens: guards, OpenAPI. */
  configure?: (app: NestFastifyApplication) => void | Promise<void>;
}

export interface HttpApp {
  app: NestFastifyApplication;
  port: number;
  /**
   * Stops accepting, finishes what runs, then lets the providers go. Those must be let go in `onApplicationShutdown`:
   * Nest calls `onModuleDestroy` while requests are still being answered.
   */
  close(): Promise<void>;
}

const BODY_LIMIT_BYTES = 1_048_576;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the idle time of the usual load balancers, so that they and not we end a connection. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000;

/** A Nest application on Fastify with everything that our three HTTP processes have in common, listening. */
export async function bootstrapHttp(module: AppModule, options: HttpAppOptions): Promise<HttpApp> {
  const { logger, metrics, name } = options;
  const filter = new ProblemFilter(logger, options.translate);
  const hot = await hotInstance(options, filter);
  const server = createServer(options, filter);
  prefer(hot, server);
  let stopping = false;
  let app: NestFastifyApplication | undefined = undefined;
  const running = (): NestFastifyApplication => {
    if (!app) throw new Error('the application is still starting');
    return app;
  };

  // Here too, for what the hot instance is not asked: their other methods (405) and URLs with a query.
  await server.register(async (bare) => addHotRoutes(bare, options, filter));
  measureRoutes(server, metrics);
  registerHealth(server, {
    readiness: () => running().get<Readiness>(READINESS, { strict: false }),
    stopping: () => stopping,
  });
  server.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );

  app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(server as never), {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalPipes(requestValidation());
  app.useGlobalFilters(filter);
  await options.configure?.(app);
  await app.listen(options.port, options.host);

  const port = (app.getHttpServer().address() as { port: number }).port;
  logger.info({ host: options.host, port }, `${name} listens`);
  tellParent({ type: 'listening', port });
  return {
    app,
    port,
    close: async () => {
      stopping = true;
      await running().close();
    },
  };
}

/**
 * The routes that are asked for on every request of customers, on a Fastify of their own. Fastify hands each hook of an
 * instance down to all that was registered on it, before or after, and Nest adds eight.
 */
async function hotInstance(options: HttpAppOptions, filter: ProblemFilter): Promise<HotInstance> {
  const instance = createServer(options, filter);
  const targets = new Set<string>();
  instance.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) targets.add(`${one} ${url}`);
  });
  addHotRoutes(instance, options, filter);
  await instance.ready();
  return { instance, targets };
}

function addHotRoutes(instance: FastifyInstance, options: HttpAppOptions, filter: ProblemFilter): void {
  instance.setErrorHandler((error, request, reply) => filter.answer(error, request, reply));
  options.hotRoutes?.(instance);
}

interface HotInstance {
  instance: FastifyInstance;
  /** What it is to be asked for: a method and a URL, whole. */
  targets: ReadonlySet<string>;
}

/** Lets the hot instance answer what it is for; it ends with the other. */
function prefer({ instance, targets }: HotInstance, other: FastifyInstance): void {
  const [rest] = other.server.listeners('request') as [RequestListener];
  other.server.removeAllListeners('request').on('request', (request, response) => {
    if (targets.has(`${request.method} ${request.url}`)) instance.routing(request, response);
    else rest(request, response);
  });
  other.addHook('preClose', () => instance.close());
}

function createServer(options: HttpAppOptions, filter: ProblemFilter): FastifyInstance {
  const { trustedProxies } = options;
  const server = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    genReqId: (request) => requestIdOf(request.headers),
    forceCloseConnections: 'idle',
    // What arrives on an open connection while we stop is still answered, with `Connection: close`.
    return503OnClosing: false,
    exposeHeadRoutes: true,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
    frameworkErrors: (error, request, reply) => filter.answer(error, request, reply),
  });
  takeJsonOnly(server);
  return server;
}

/** Echoes the request id, forbids caching and measures, on every route that is not `bare`. */
function measureRoutes(server: FastifyInstance, metrics: Metrics): void {
  const seconds = metrics.histogram('keyledger_http_request_duration_seconds', 'Time to answer a request', [
    'method',
    'route',
    'status',
  ]);
  server.addHook('onRoute', (route: RouteOptions) => {
    if (route.config?.bare) return;
    route.onRequest = [
      (request, reply, done) => {
        reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' });
        done();
      },
      ...[route.onRequest ?? []].flat(),
    ];
    route.onResponse = [
      (request, reply, done) => {
        const labels = { method: request.method, route: route.url, status: String(reply.statusCode) };
        seconds.observe(labels, reply.elapsedTime / 1000);
        done();
      },
      ...[route.onResponse ?? []].flat(),
    ];
  });
}
