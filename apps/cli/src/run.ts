import type { ExitCode } from './exit.js';
import type { Session } from './session.js';

/** What a command does, given its arguments and options. A code that it returns is the exit code; none is `ok`. */
export type Run<A extends string[], O extends object> = (
  session: Session,
  args: A,
  options: O,
) => Promise<ExitCode | void>;
export type RunWith = <A extends string[] = [string], O extends object = object>(
  run: Run<A, O>,
) => (...given: unknown[]) => Promise<void>;
