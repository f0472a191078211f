import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';

it.each(['api', 'verifier', 'worker'])('the %s says how its heap may grow before it loads anything', (app) => {
  const main = readFileSync(new URL(`../../../apps/${app}/src/main.ts`, import.meta.url), 'utf8');
  expect(main).toMatch(/^import '@keyledger\/platform\/heap';\n/);
});
