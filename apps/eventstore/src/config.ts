/** The process's settings, from the environment. */
import { resolve } from 'node:path';

export interface EventStoreConfig {
  /** 0 takes a free one. */
  readonly port: number;
  /** Absolute; the store's own folder lies in it. */
  readonly dataDir: string;
}

/** The message names the variable, what it was, and what would be right. */
export class InvalidConfig extends Error {
  override name = 'InvalidConfig';
}

const DEFAULT_PORT = 7410;

/** @throws InvalidConfig */
export function readConfig(env: NodeJS.ProcessEnv): EventStoreConfig {
  return {
    port: readPort(env['KEYLEDGER_EVENTSTORE_PORT']),
    dataDir: readDataDir(env['KEYLEDGER_DATA_DIR']),
  };
}

function readPort(value: string | undefined): number {
  if (value === undefined || value === '') return DEFAULT_PORT;
  const port = Number(value);
  if (/^\d+$/.test(value) && port <= 65_535) return port;
  throw new InvalidConfig(`KEYLEDGER_EVENTSTORE_PORT is "${value}"; it must be a port from 0 (any free one) to 65535`);
}

function readDataDir(value: string | undefined): string {
  if (value?.includes('\0')) throw new InvalidConfig('KEYLEDGER_DATA_DIR holds a NUL character');
  return resolve(value === undefined || value === '' ? './data' : value);
}
