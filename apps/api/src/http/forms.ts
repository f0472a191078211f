import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, getSchemaPath } from '@nestjs/swagger';

export const header = (description: string) => ({ description, schema: { type: 'string' as const } });

/** `Content-Disposition` of an answer that has CSV among its forms. */
export const DOWNLOADED = { 'Content-Disposition': header('With CSV only: an attachment, and the name of its file') };

/** Of a 403; the other reasons for one have no challenge. */
export const SCOPE_CHALLENGE = { 'WWW-Authenticate': header('Where a scope is missing: the challenge that names it') };

export interface Forms {
  /** Media types in which it is text, lines of JSON among them. */
  text: readonly string[];
  /** The media type in which it is a list of something else. */
  list?: { type: string; of: Type };
  headers?: Readonly<Record<string, ReturnType<typeof header>>>;
}

/** An answer that is this model as JSON and has other forms besides, each with the schema of what is really sent. */
export const AnswersIn = (model: Type, { text, list, headers = {} }: Forms) =>
  applyDecorators(
    ApiExtraModels(model, ...(list ? [list.of] : [])),
    ApiOkResponse({
      content: {
        'application/json': { schema: { $ref: getSchemaPath(model) } },
        ...Object.fromEntries(text.map((type) => [type, { schema: { type: 'string' } }])),
        ...(list && { [list.type]: { schema: { type: 'array', items: { $ref: getSchemaPath(list.of) } } } }),
      },
      headers: { ...headers },
    }),
  );
