import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { redact, redactDeep, redactKeys } from './redact.js';

export type Logger = PinoLogger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The JSON log of a process, one object per line on standard output. Every message, field, binding and error passes
 * `redact` on its way, and the finished line once more for keys of our format, so a caller cannot leak one by mistake.
 */
export function createLogger(name: string, level: LogLevel = 'info', destination?: DestinationStream): Logger {
  return pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        bindings: (bindings) => redactDeep(bindings) as Record<string, unknown>,
        log: (fields) => redactDeep(fields) as Record<string, unknown>,
      },
      // A child's bindings are formatted by their serializers only; they are plain words in our own code.
      serializers: { err: redactDeep, error: redactDeep },
      hooks: {
        logMethod(parts, write) {
          const [first, ...rest] = parts as unknown[];
          const safe = (part: unknown) => (typeof part === 'string' ? redact(part) : redactDeep(part));
          if (typeof first === 'string') return write.apply(this, [redact(first), ...rest.map(safe)] as never);
          // Left to itself pino takes the message of a bare error from the error, past every formatter.
          if (first instanceof Error && rest.length === 0) rest.push(first.message);
          const fields = first instanceof Error ? { err: first } : first;
          return write.apply(this, [fields, ...rest.map(safe)] as never);
        },
        streamWrite: redactKeys,
      },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/** What Nest itself says, in our log. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...parts: unknown[]): void {
    this.write('debug', message, parts);
  }
  error(message: unknown, ...parts: unknown[]): void {
    this.write('error', message, parts);
  }
  fatal(message: unknown, ...parts: unknown[]): void {
    this.write('fatal', message, parts);
  }
  warn(message: unknown, ...parts: unknown[]): void {
    this.write('warn', message, parts);
  }
  debug(message: unknown, ...parts: unknown[]): void {
    this.write('debug', message, parts);
  }
  verbose(message: unknown, ...parts: unknown[]): void {
    this.write('trace', message, parts);
  }

  /** Nest passes its context last, and the stack of an error before it. */
  private write(level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal', message: unknown, parts: unknown[]): void {
    const context = typeof parts.at(-1) === 'string' ? parts.at(-1) : undefined;
    const details = context === undefined ? parts : parts.slice(0, -1);
    const fields = {
      ...(context !== undefined && { context }),
      ...(message instanceof Error && { err: message }),
      ...(details.length > 0 && { details }),
    };
    const text =
      message instanceof Error ? message.message : typeof message === 'string' ? message : JSON.stringify(message);
    this.logger[level](fields, text);
  }
}
