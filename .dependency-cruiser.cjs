// The table of design section 2 as rules. Folders decide, not file names.
const lib = (name) => `^libs/${name}/`;
const only = (name, from, forbidden, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: from },
  to: forbidden,
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    only(
      'contracts-alone',
      lib('contracts'),
      { path: '^(libs/(?!contracts/)|apps/|test/)' },
      'contracts import nothing of ours',
    ),
    only(
      'domain-on-contracts',
      lib('domain'),
      { path: '^(libs/(?!domain/|contracts/)|apps/|test/)' },
      'domain imports contracts only',
    ),
    only(
      'domain-is-pure',
      lib('domain') + '(?!.*\\.spec\\.ts$)',
      { dependencyTypes: ['core'] },
      'no I/O, no clock: domain uses no Node module',
    ),
    only('domain-no-frameworks', lib('domain'), {
      path: 'node_modules/(@nestjs|ioredis|bullmq|@kurrent|fastify|pino)',
    }),
    only('event-store-borders', lib('event-store'), {
      path: '^(libs/(?!event-store/|contracts/|domain/)|apps/|test/)',
    }),
    only('read-model-borders', lib('read-model'), {
      path: '^(libs/(?!read-model/|contracts/|domain/|event-store/src/index)|apps/|test/)',
    }),
    only('audit-borders', lib('audit'), {
      path: '^(libs/(?!audit/|contracts/|domain/|event-store/src/index)|apps/|test/)',
    }),
    only('leaks-borders', lib('leaks'), {
      path: '^(libs/(?!leaks/|contracts/|domain/|event-store/|read-model/|platform/)|apps/|test/)',
    }),
    only(
      'verification-borders',
      lib('verification'),
      { path: '^(libs/(?!verification/|contracts/|domain/|read-model/|platform/)|apps/|test/)' },
      'a verification asks Redis and the judge: no event store, no proof of history',
    ),
    only('platform-borders', lib('platform'), { path: '^(libs/(?!platform/|contracts/)|apps/|test/)' }),
    only('apps-apart', '^apps/([^/]+)/', { path: '^apps/', pathNot: '^apps/$1/' }, 'an app never imports another app'),
    only(
      'verifier-libs',
      '^apps/verifier/',
      { path: '^libs/(?!verification/|read-model/|platform/|contracts/|domain/)' },
      'the hot path has no event store',
    ),
    only(
      'eventstore-libs',
      '^apps/eventstore/',
      { path: '^libs/(?!contracts/)' },
      'the embedded event store knows a protocol and bytes, nothing of keys',
    ),
    only(
      'cli-libs',
      '^apps/cli/',
      { path: '^libs/(?!contracts/|audit/|platform/|event-store/|domain/)' },
      'the command line asks over HTTP, or checks history by itself',
    ),
    only(
      'cli-format-of-keys',
      '^apps/cli/(?!.*\\.spec\\.ts$)',
      { path: '^libs/domain/src/(?!key-format\\.ts$)' },
      'of the domain the scanner needs the format of keys; decisions are made by the api',
    ),
    only(
      'cli-event-store',
      '^apps/cli/(?!src/commands/audit-fsck\\.ts$)',
      { path: '^libs/event-store/' },
      'only audit fsck reads the log itself',
    ),
    only(
      'libs-by-their-face',
      '^(apps|test)/',
      {
        path: '^libs/[^/]+/src/(?!(http/)?index\\.ts$)',
        pathNot: '^libs/(domain/src/key-format|platform/src/(folders|heap))\\.ts$',
      },
      'a lib is used through its index, some of it also alone: what must be quick to load, and what is set before anything is loaded',
    ),
    only(
      'libs-by-their-face-inside',
      '^libs/([^/]+)/',
      { path: '^libs/[^/]+/src/(?!index\\.ts$)', pathNot: '^libs/$1/' },
      'a lib is used through its index',
    ),
    only(
      'event-store-client-home',
      '^(apps|libs)/(?!event-store/)',
      { path: 'node_modules/@kurrent' },
      'the client lives in libs/event-store',
    ),
    only(
      'ioredis-home',
      '^(apps/(?!worker/)|libs/(?!read-model/))',
      { path: 'node_modules/ioredis' },
      'Redis lives in libs/read-model',
    ),
    only('bullmq-home', '^(apps/(?!worker/)|libs/)', { path: 'node_modules/bullmq' }, 'BullMQ only in worker'),
    only(
      'cqrs-home',
      '^(apps/(?!api/|worker/)|libs/)',
      { path: 'node_modules/@nestjs/cqrs' },
      'buses only in api and worker',
    ),
    only(
      'nest-home',
      '^(libs/(?!platform/|contracts/)|apps/(eventstore|cli)/)',
      { path: 'node_modules/@nestjs' },
      'Nest is wiring only',
    ),
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|^data/)' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
