import type { Problem } from '@keyledger/contracts';

/** What the exit code of `keyledger` says. Scripts rely on these numbers: they never change their meaning. */
export const EXIT = {
  ok: 0,
  /** The server refused, or failed: the problem stands on standard error. */
  refused: 1,
  /** The command line is wrong; nothing was sent. */
  usage: 2,
  /** The server cannot be reached, or cannot answer now (503): worth trying again. */
  unreachable: 3,
  /** `verify` only: the key is not valid for what was asked. */
  notValid: 4,
  /** `scan` only: keys were found. */
  found: 5,
  /** `audit verify`, `verify-receipt`, `fsck`: something does not fit; the first event that does not is named. */
  mismatch: 6,
  /** `up` only: the configuration, or a file that it names, is wrong. As every process of ours ends on it (EX_CONFIG). */
  misconfigured: 78,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line, a file that it names, or the environment is wrong. Thrown before anything is sent. */
export class UsageError extends Error {}

/** The server said no. */
export class Refused extends Error {
  constructor(readonly problem: Partial<Problem> & { status: number; title: string }) {
    super(problem.title);
  }
}

/** No answer, or one that says that a part of the system is away. */
export class Unreachable extends Error {
  /** Of a change: a try of it was not answered, so that it may have been carried out all the same. */
  mayBeDone = false;
  /** Of a change: repeated with it, it gives the receipt of a try that was carried out. */
  idempotencyKey?: string | undefined;

  constructor(
    message: string,
    readonly problem?: Partial<Problem>,
  ) {
    super(message);
  }
}

/** A signal came before the answer. */
export class Interrupted extends Unreachable {
  constructor(readonly signal: 'SIGINT' | 'SIGTERM') {
    super(`${signal} came before the answer`);
  }
}
