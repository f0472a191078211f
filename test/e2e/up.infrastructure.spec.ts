import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { claimPort, eventually, isAlive, startEventStore, startRedis } from '../support/index.js';
import { expectGone, isTaken, PORT_VARIABLES, supervisor, upLines, type Supervisor } from './supervisor.js';

const ONLY = ['--only', 'redis,eventstore'];
const started: Supervisor[] = [];
const webServers: Server[] = [];

const up = async (...given: Parameters<typeof supervisor>): Promise<Supervisor> => {
  const one = await supervisor(...given);
  started.push(one);
  return one;
};

afterEach(async () => {
  for (const one of started.splice(0)) await one.process.stop();
  for (const one of webServers.splice(0)) one.close().closeAllConnections();
});

async function startWebServer(): Promise<number> {
  const server = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  webServers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const redisSays = (port: number, command: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });

describe('a stop', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'by %s leaves no process behind and exits with 0',
    async (signal) => {
      const system = await up(ONLY);
      await system.start();
      const children = system.children();
      expect(children.map(({ command }) => command).join('\n')).toMatch(/redis-server|valkey-server/);
      expect(children.map(({ command }) => command).join('\n')).toMatch(/eventstore\/src\/main\.js/);

      system.process.signal(signal);
      system.process.signal(signal);
      await system.process.ended();

      expect(system.process.exitCode).toBe(0);
      expect(children.filter(({ pid }) => isAlive(pid))).toEqual([]);
      expect(isTaken(system.folder)).toBe(false);
    },
  );

  it('in the middle of a start leaves no process behind and exits with 0', async () => {
    const system = await up(ONLY);
    const ending = system.process.runToEnd();
    const children = await eventually('a first process is there', () => {
      const some = system.children();
      return some.length > 0 && some;
    });
    system.process.signal('SIGTERM');
    expect(await ending).toBe(0);
    await expectGone(children);
    expect(upLines(system.process)).toEqual([]);
  });

  it('loses nothing that Redis acknowledged', async () => {
    const system = await up(ONLY);
    await system.start();
    expect(await redisSays(system.ports.redis, 'SET kept yes')).toBe('+OK\r\n');
    await system.process.stop();
    await system.start();
    expect(await redisSays(system.ports.redis, 'GET kept')).toContain('yes');
  });
});

describe('SIGKILL of the supervisor', () => {
  it('leaves no process behind, and the next one starts on the same folder and ports', async () => {
    const system = await up(ONLY);
    await system.start();
    const children = system.children();
    expect(children.length).toBeGreaterThanOrEqual(3);

    await system.process.kill();
    await system.start();

    await expectGone(children);
    expect(upLines(system.process)).toHaveLength(2);
  });

  it('together with its watchdog costs at most the patience of the next start', async () => {
    const system = await up(ONLY);
    await system.start();
    const children = system.children();
    const watchdog = children.find(({ command }) => command.includes('keyledger-watchdog'));
    process.kill(watchdog?.pid ?? NaN, 'SIGKILL');
    await system.process.kill();
    await system.start();
    await expectGone(children);
  });
});

describe('a child that dies', () => {
  it.each(['redis', 'eventstore'] as const)('is started again: %s', async (name) => {
    const system = await up(ONLY);
    await system.start();
    const before = system.child(name);
    process.kill(before, 'SIGKILL');
    await eventually(`${name} is back`, () => system.process.logs().includes(`${name} is back`));
    expect(system.child(name)).not.toBe(before);
    expect(system.process.logs()).toContain(`${name} ended (SIGKILL)`);
    expect(upLines(system.process)).toHaveLength(1);
  });
});

describe('a start that cannot succeed', () => {
  it('names every taken port with its variable, and starts nothing', async () => {
    const one = await up(ONLY);
    await one.start();
    const two = await up([], { ports: one.ports });
    expect(await two.process.runToEnd()).toBe(1);
    for (const name of ['redis', 'eventstore'] as const) {
      expect(two.process.logs()).toContain(`port ${one.ports[name]} of ${name} is taken`);
      expect(two.process.logs()).toContain(PORT_VARIABLES[name]);
    }
    expect(existsSync(join(two.folder, 'redis'))).toBe(false);
    expect(isTaken(two.folder)).toBe(false);
  });

  it("never uses somebody else's Redis on its port, and does that one no harm", async () => {
    const foreign = await startRedis();
    await redisSays(foreign.port, 'SET theirs 1');
    const { port: eventstore } = await claimPort();
    const system = await up(ONLY, { ports: { redis: foreign.port, eventstore, api: 1, verifier: 2, worker: 3 } });
    expect(await system.process.runToEnd()).toBe(1);
    expect(system.process.logs()).toContain(`port ${foreign.port} of redis is taken`);
    expect(system.process.logs()).toContain('REDIS_URL');
    expect(await redisSays(foreign.port, 'GET theirs')).toContain('1');
  });

  it('is refused on a folder that another one uses, which runs on', async () => {
    const one = await up(ONLY);
    await one.start();
    const two = await up(ONLY, { folder: one.folder });
    expect(await two.process.runToEnd()).toBe(1);
    expect(two.process.logs()).toContain(`is in use by another \`keyledger up\` (process ${one.process.pid})`);
    expect(await redisSays(one.ports.redis, 'PING')).toBe('+PONG\r\n');
  });

  it('stops what it had started, and says why with the last lines of the process that failed', async () => {
    const system = await up(ONLY);
    mkdirSync(system.folder, { recursive: true });
    writeFileSync(join(system.folder, 'eventstore'), 'not a folder');
    expect(await system.process.runToEnd()).toBe(1);
    expect(system.process.logs()).toMatch(/eventstore did not start: it ended \(exit code \d+\)\n {2}fatal: /);
    expect(upLines(system.process)).toEqual([]);
    await expect(redisSays(system.ports.redis, 'PING')).rejects.toThrow('ECONNREFUSED');
    expect(isTaken(system.folder)).toBe(false);
  });

  it.each([
    ['REDIS_URL', 'redis://app:hush-hush@127.0.0.1:1/0'],
    ['EVENTSTORE_URL', 'esdb://app:hush-hush@127.0.0.1:1?tls=false'],
  ])('says that nothing answers at %s, without its password', async (variable, url) => {
    const system = await up([], { env: { [variable]: url } });
    expect(await system.process.runToEnd()).toBe(1);
    expect(system.process.logs()).toContain(`${variable} is `);
    expect(system.process.logs()).toContain('127.0.0.1:1 cannot be reached');
    expect(system.process.logs()).not.toContain('hush');
  });

  it.each(['not a host', '10.99.99.99', 'nowhere.invalid'])(
    'names KEYLEDGER_HOST and no port where nothing can be bound on it: %s',
    async (host) => {
      const system = await up([], { env: { KEYLEDGER_HOST: host } });
      expect(await system.process.runToEnd()).toBe(78);
      expect(system.process.logs().match(/KEYLEDGER_\w+/g)).toEqual(['KEYLEDGER_HOST']);
      expect(isTaken(system.folder)).toBe(false);
    },
  );

  it('names both variables that ask for one port', async () => {
    const { port } = await claimPort();
    const ports = { KEYLEDGER_API_PORT: String(port), KEYLEDGER_VERIFIER_PORT: String(port) };
    const system = await up([], { env: ports });
    expect(await system.process.runToEnd()).toBe(78);
    expect(system.process.logs()).toContain(`KEYLEDGER_API_PORT and KEYLEDGER_VERIFIER_PORT are both ${port}`);
  });

  it.each([
    ['REDIS_URL', 'redis://127.0.0.1:99999'],
    ['EVENTSTORE_URL', 'kurrentdb://127.0.0.1:99999?tls=false'],
    ['KEYLEDGER_SUBJECT_KEYS_DIR', '/dev/null'],
  ])('names %s before anything is started where it can never be right: %s', async (variable, value) => {
    const system = await up([], { env: { [variable]: value } });
    expect(await system.process.runToEnd()).toBe(78);
    expect(system.process.logs()).toContain(variable);
    expect(existsSync(join(system.folder, 'redis'))).toBe(false);
  });

  it.each([
    ['a Redis', async () => (await startRedis()).port],
    ['a web server', startWebServer],
  ])('says at once that %s is no event store', async (_, start) => {
    const port = await start();
    const system = await up([], { env: { EVENTSTORE_URL: `kurrentdb://127.0.0.1:${port}?tls=false` } });
    expect(await system.process.runToEnd()).toBe(1);
    expect(system.process.logs()).toContain(`127.0.0.1:${port} does not answer as an event store`);
    expect(system.process.logs()).toContain('EVENTSTORE_URL');
    expect(existsSync(join(system.folder, 'redis'))).toBe(false);
  });

  it('is none where EVENTSTORE_URL names a store in plaintext', async () => {
    const store = await startEventStore();
    const system = await up(['--only', 'redis'], { env: { EVENTSTORE_URL: store.url } });
    await system.start();
    expect(store.isRunning).toBe(true);
  });

  it.each(['kurrentdb://ADDRESS?tls=true', 'kurrentdb+discover://ADDRESS?tls=false'])(
    'is none where what listens cannot be asked what it is: %s',
    async (url) => {
      const address = `127.0.0.1:${await startWebServer()}`;
      const system = await up(['--only', 'redis'], { env: { EVENTSTORE_URL: url.replace('ADDRESS', address) } });
      await system.start();
      expect(upLines(system.process)).toHaveLength(1);
    },
  );

  it('names every variable that cannot be used', async () => {
    const env = { KEYLEDGER_API_PORT: 'seventy', KEYLEDGER_ADMIN_KEY: 'short', REDIS_URL: 'localhost' };
    const system = await up([], { env });
    expect(await system.process.runToEnd()).toBe(78);
    for (const name of Object.keys(env)) expect(system.process.logs()).toContain(name);
    expect(system.process.logs()).not.toContain('short"');
  });

  it.each([
    ['a damaged sealing key', 'sealing.key', 'hello\n', 'base64'],
    ['an empty sealing key', 'sealing.key', '', 'it is empty'],
    ['a damaged signing key', 'signing.key', 'PRIVATE+KEY+keyledger.local/x+00000000+AAAA\n', 'entry 1'],
    ['an empty signing key', 'signing.key', '\n', 'it is empty'],
  ])('names the file of %s, and starts nothing', async (_, file, text, reason) => {
    const system = await up([]);
    mkdirSync(system.folder, { recursive: true });
    writeFileSync(join(system.folder, file), text);
    expect(await system.process.runToEnd()).toBe(78);
    expect(system.process.logs()).toContain(join(system.folder, file));
    expect(system.process.logs()).toContain(reason);
    expect(system.process.logs()).not.toMatch(/KEYLEDGER_S|starting|hello|AAAA/);
    expect(existsSync(join(system.folder, 'redis'))).toBe(false);
  });

  it.each(['/proc/keyledger', '/dev/null', '/dev/null/data', '/proc'])(
    'is refused on %s, which is no folder to write into',
    async (folder) => {
      const system = await up(ONLY, { folder });
      expect(await system.process.runToEnd()).toBe(78);
      expect(system.process.logs()).toContain(`KEYLEDGER_DATA_DIR is "${folder}", which cannot be used`);
    },
  );
});
