// Documents and answers are walked whatever their shape.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

/** What of a value is not as its schema says: fields it does not have, that are missing, or of another type. */
export function mismatches(schemas: Record<string, Json>, name: string, value: Json, path = name): string[] {
  return against(schemas, { $ref: `#/components/schemas/${name}` }, value, path);
}

export function against(schemas: Record<string, Json>, schema: Json, value: Json, path: string): string[] {
  // `true`, `{}` or none: anything goes.
  if (Object.keys(schema ?? {}).length === 0) return [];
  if (schema.$ref) return against(schemas, schemas[schema.$ref.split('/').at(-1)], value, path);
  if (schema.allOf) return against(schemas, schema.allOf[0], value, path);
  const types = [schema.type ?? []].flat();
  if (types.length > 0 && !types.includes(typeOf(value))) return [`${path} is ${typeOf(value)}, not ${types.join()}`];
  if (Array.isArray(value))
    return value.flatMap((item, index) => against(schemas, schema.items, item, `${path}[${index}]`));
  if (typeOf(value) !== 'object') return [];
  const missing = (schema.required ?? []).filter((field: string) => !(field in value));
  return [
    ...missing.map((field: string) => `${path}.${field} is missing`),
    ...Object.entries(value).flatMap(([field, item]) => {
      const inner = schema.properties?.[field] ?? schema.additionalProperties;
      return inner ? against(schemas, inner, item, `${path}.${field}`) : [`${path}.${field} is not documented`];
    }),
  ];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}
