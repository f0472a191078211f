import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { claimPort, startSystem, type System } from '../support/index.js';

let system: System;
beforeAll(async () => {
  system = await startSystem({ KEYLEDGER_ALLOWED_TARGETS: '127.0.0.1' });
}, 120_000);
afterAll(() => system?.stop());

describe('npm run tour', () => {
  it('gets the answers that the README shows, and gets them again from a system that is known by its ports', async () => {
    const ports = {
      KEYLEDGER_URL: '',
      KEYLEDGER_VERIFIER_URL: '',
      KEYLEDGER_API_PORT: String(system.api.port),
      KEYLEDGER_VERIFIER_PORT: String(system.verifier.port),
    };
    for (const env of [{}, ports]) {
      const { code, output } = await tour(env);
      expect(`${output}\nexit code ${code}`).toMatch(/all as the README shows\.\n\nexit code 0$/);
      expect(output).not.toMatch(/[a-z0-9]+_(live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}/);
    }
  }, 300_000);

  it('fails when the system answers otherwise than the README shows', async () => {
    const { code, output } = await tour({ KEYLEDGER_KEY: 'x'.repeat(40) });
    expect(code).toBe(1);
    expect(output).toContain('of the tour failed');
  }, 60_000);

  it.each([
    ['KEYLEDGER_URL', 'api'],
    ['KEYLEDGER_VERIFIER_URL', 'verifier'],
  ])('says before it begins which address does not answer, and that %s names it', async (setting, app) => {
    const { port } = await claimPort();
    const { code, output } = await tour({ [setting]: `http://127.0.0.1:${port}` });
    expect(code).toBe(1);
    expect(output).toContain(`the ${app} is not at http://127.0.0.1:${port}: ECONNREFUSED`);
    expect(output).toContain(`export ${setting} `);
    expect(output).not.toContain('$ ');
  });

  it('says what is missing when it has no management key', async () => {
    const { code, output } = await tour({ KEYLEDGER_KEY: '' });
    expect(code).toBe(1);
    expect(output).toContain('KEYLEDGER_KEY is not set');
  });
});

async function tour(env: Record<string, string> = {}): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['scripts/tour.mjs'], {
    env: {
      ...process.env,
      KEYLEDGER_URL: system.api.baseUrl,
      KEYLEDGER_VERIFIER_URL: system.verifier.baseUrl,
      KEYLEDGER_KEY: system.adminKey,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}
