// One configuration for every suite; `npm test` picks suites by path. Specs beside the code are unit and property
// tests; specs under test/ run against real processes built into dist/.
const base = {
  extensionsToTreatAsEsm: ['.ts'],
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },
  moduleNameMapper: {
    '^@keyledger/([^/]+)$': '<rootDir>/libs/$1/src/index.ts',
    '^@keyledger/contracts/http$': '<rootDir>/libs/contracts/src/http/index.ts',
    '^@keyledger/domain/key-format$': '<rootDir>/libs/domain/src/key-format.ts',
    '^@keyledger/platform/(folders|heap)$': '<rootDir>/libs/platform/src/$1.ts',
    '^(\\.{1,2}/.*)\\.js$': ['$1.ts', '$1.js'],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/data'],
};

export default {
  // Long enough for a machine that is busy; what a test promises about time it measures nowhere.
  testTimeout: 180_000,
  projects: [
    { ...base, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs}/**/*.spec.ts'] },
    { ...base, displayName: 'contract', testMatch: ['<rootDir>/test/contract/**/*.spec.ts'] },
    { ...base, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.spec.ts'] },
    { ...base, displayName: 'fault', testMatch: ['<rootDir>/test/fault/**/*.spec.ts'] },
  ],
};
