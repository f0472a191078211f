/** What a text was wrong with, and what would be right. Never holds the text itself where that is a secret. */
export class NotUsable extends Error {
  constructor(
    readonly what: string,
    readonly fix: string,
  ) {
    super(`${what}; ${fix}`);
  }
}

/** One environment variable: everything that docs/configuration.md says about it, and how it is read. */
export interface Variable<T> {
  name: string;
  description: string;
  /** As an operator would write it. Absent: the variable is required, unless `optional`. */
  default?: string;
  optional?: boolean;
  /** The value must never be shown. */
  secret?: boolean;
  /** @throws NotUsable */
  parse: (text: string) => T;
}

export type Spec = Record<string, Variable<unknown>>;
export type Config<S extends Spec> = { [K in keyof S]: S[K] extends Variable<infer T> ? T : never };

/** Everything that is wrong with the environment, at once; a process ends with exit code 78 (EX_CONFIG) on it. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

export const EXIT_CONFIG = 78;

/**
 * The variables of a spec, read and typed. An empty variable counts as one that is not set.
 * @throws ConfigError that names every variable that is missing or cannot be used.
 */
export function loadConfig<S extends Spec>(spec: S, env: NodeJS.ProcessEnv = process.env): Config<S> {
  const config: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, variable] of Object.entries(spec)) {
    const given = env[variable.name]?.trim();
    const text = given === undefined || given === '' ? variable.default : given;
    if (text === undefined) {
      if (!variable.optional) problems.push(`${variable.name} is not set: ${variable.description}`);
      continue;
    }
    try {
      config[name] = variable.parse(text);
    } catch (error) {
      if (!(error instanceof NotUsable)) throw error;
      const shown = variable.secret ? '' : ` is "${text.slice(0, 200)}"`;
      problems.push(`${variable.name}${shown}: it ${error.what}; right would be ${error.fix}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config as Config<S>;
}

/** Variables with our prefix that no part of Keyledger reads: most likely misspelt. */
export function unknownVariables(known: Spec, env: NodeJS.ProcessEnv = process.env): string[] {
  const names = new Set(Object.values(known).map(({ name }) => name));
  return Object.keys(env).filter((name) => name.startsWith('KEYLEDGER_') && !names.has(name));
}
