import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { eventually, http, Line, startApp, startSystem, type App, type System } from '../support/index.js';

let system: System;
/** Of the worker to the log, and of the api to Redis. */
let [log, redis]: Line[] = [];
let apps: App[] = [];

beforeEach(async () => {
  system = await startSystem({ KEYLEDGER_MAX_STALENESS_SECONDS: '5' });
  await system.worker.stop();
  await system.api.stop();
  [log, redis] = [await Line.to(system.eventStore.port), await Line.to(system.redis.port)];
  apps = await Promise.all([
    startApp('worker', { ...system.env, EVENTSTORE_URL: `kurrentdb://127.0.0.1:${log.port}?tls=false` }),
    startApp('api', { ...system.env, REDIS_URL: `redis://127.0.0.1:${redis.port}` }),
  ]);
});

afterEach(async () => {
  await Promise.all(apps.map((app) => app.stop()));
  log?.close();
  redis?.close();
  await system.stop();
});

/** A key that is revoked while the worker is cut off from the log and the api from Redis. */
async function revokedUnseen(): Promise<string> {
  const api = http((apps[1] as App).baseUrl, system.adminKey);
  await api.post('/v1/keyspaces', { name: 'Cut', prefix: 'cut' });
  const request = {
    keyspaceId: 'cut',
    environment: 'live',
    name: 'one',
    owner: { id: 'o', type: 'service' },
    scopes: [],
  };
  const { body: issued } = await api.post('/v1/keys', request);
  expect(await verify(issued.key)).toBe('VALID');
  log?.break();
  redis?.break();
  await eventually('the revocation is recorded', async () => {
    const { status, body } = await api.post(`/v1/keys/${issued.keyId}/revoke`, { reason: 'compromised' });
    expect({ status, effective: body.effective }).toEqual({ status: 200, effective: false });
  });
  return issued.key;
}

/** The verdict's code, or the status of an answer that is none. */
async function verify(key: string): Promise<string> {
  const { status, body } = await http(system.verifier.baseUrl, system.adminKey).post('/v1/verify', { key });
  return status === 200 ? String(body.code) : String(status);
}

it('a change that could not be shown is shown by the api as soon as it can, though the worker is cut off', async () => {
  const key = await revokedUnseen();
  redis?.mend();
  await eventually('it is in effect', async () => expect(await verify(key)).toBe('REVOKED'));
});

it('a worker that is cut off from a log which went on is believed no longer than the bound', async () => {
  const key = await revokedUnseen();
  await apps.pop()?.kill();
  apps.push(await startApp('api', system.env));
  await eventually('nothing is answered', async () => expect(await verify(key)).toBe('503'));
  log?.mend();
  await eventually('the truth is told', async () => expect(await verify(key)).toBe('REVOKED'));
});

it('a worker that is cut off from a log where nothing happens is believed for as long as it lasts', async () => {
  const api = http((apps[1] as App).baseUrl, system.adminKey);
  log?.break();
  // Said anew after the line was cut, more often than the bound is long.
  let ages: number[] = [];
  await eventually('its word is renewed', async () => {
    const { heartbeatAgeMs = Infinity, current } = (await api.get('/v1/system/projections')).body;
    expect(current).toBe(true);
    ages = [...ages, heartbeatAgeMs];
    const renewed = ages.filter((age, index) => index > 0 && age < (ages[index - 1] ?? 0)).length;
    return renewed >= 7;
  });
});
