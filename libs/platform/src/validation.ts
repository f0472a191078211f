import { ValidationPipe, type ValidationError } from '@nestjs/common';
import { refusal, type FieldError } from '@keyledger/contracts';
import { RefusalError, summary } from './problem.js';

/**
 * The pipe of every management route: a DTO's rules (class-validator), unknown fields refused, nothing coerced unless
 * the DTO says so. A rule's `context: { fix }` says what would be right.
 */
export function requestValidation(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    stopAtFirstError: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => {
      const fields = fieldErrorsOf(errors);
      return new RefusalError(refusal('INVALID', summary(fields), fields));
    },
  });
}

/** Nested class-validator errors as one flat list of fields, `owner.type` and `scopes[2]`. */
function fieldErrorsOf(errors: readonly ValidationError[], path = ''): FieldError[] {
  return errors.flatMap((error) => {
    const { property, constraints = {}, contexts = {}, children = [] } = error;
    const field = /^\d+$/.test(property) ? `${path}[${property}]` : path === '' ? property : `${path}.${property}`;
    const own = Object.entries(constraints).map(([rule, message]) =>
      fieldError(field, property, rule, message, contexts[rule]),
    );
    return [...own, ...fieldErrorsOf(children, field)];
  });
}

/** What is right for rules of class-validator that say so in one way everywhere. */
const FIXES: Readonly<Record<string, string>> = {
  isBoolean: 'true or false, without quotes',
  isObject: 'an object, {…}',
  nestedValidation: 'an object, {…}',
};

function fieldError(field: string, property: string, rule: string, message: string, context: unknown): FieldError {
  if (rule === 'whitelistValidation') return { field, message: 'is no field of this request', fix: 'leave it out' };
  const fix = (context as { fix?: unknown } | undefined)?.fix ?? FIXES[rule];
  const text = message.startsWith(`${property} `) ? message.slice(property.length + 1) : message;
  return typeof fix === 'string' ? { field, message: text, fix } : { field, message: text };
}
