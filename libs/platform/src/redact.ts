/**
 * The one place that takes secrets out of text and of anything that is logged or shown in an error.
 *
 * A key of our format is told by its tail, `<secretId>_<secret>`, wherever it stands: what is glued to its front cannot
 * shift the match, because a secretId is bounded by `_` on both sides. Other secrets have no shape of their own, so they
 * are told by the name in front of them (`Authorization`, `x-api-key`, `password=…`) or by their place in a URL.
 */
const SECRET_LENGTH = 49;
const KEY_TAIL = /([0-9A-Za-z]{12})_([0-9A-Za-z]{16,})/g;
const MASKED_KEY = /^[a-z][a-z0-9]{1,13}_[a-z][a-z0-9]{1,11}_[0-9A-Za-z]{12}_…[0-9A-Za-z]{0,4}$/;
const SCHEME = /\b(bearer|basic|digest)[ \t]+([^\s"'\\,;]{4,})/gi;
const NAMED =
  /\b(authorization|(?:x-)?api[_-]?key|[a-z0-9_]{0,64}_key|key|secret|(?:[a-z]+[_-])?token|password|passwd|peppers?|cookie)(\\*["']?\s*[:=]\s*\\*["']?)((?!bearer|basic|digest)[^\s"'\\&,;]{8,})/gi;
/** The password of a URL. Bounded, so that a hostile text costs no more than its length. */
const URL_PASSWORD = /(:\/\/[^\s:/@"']{0,256}):[^\s"']{1,512}@/g;

/** Names under which a whole value is secret, in lower case without `-` and `_`. */
const SECRET_NAMES = new Set(
  'authorization proxyauthorization xapikey apikey key secret token accesstoken password cookie setcookie pepper peppers presented keyledgeradminkey keyledgerpeppers keyledgersealingkeys keyledgersigningkey keyledgerauditpublish keyledgerkey keyledgersmtpurl signingsecret'.split(
    ' ',
  ),
);
/** A signing secret of a webhook, as Standard Webhooks writes it. */
const SIGNING_SECRET = /\bwhsec_[A-Za-z0-9+/=_-]{8,}/g;
/** A signing key of the audit log: whatever follows its public id is secret. */
const SIGNING_KEY = /(PRIVATE\+KEY\+[^\s+,]{1,256}\+[0-9a-f]{8}\+)[A-Za-z0-9+/=]{8,}/g;
const HIDDEN = '…';
const MAX_DEPTH = 8;
const MAX_ITEMS = 200;
const MAX_TEXT_LENGTH = 16_384;

/** Our own keys in a text, masked: everything up to the secret stays, and the last four characters of a whole key. */
export function redactKeys(text: string): string {
  return text.replace(KEY_TAIL, (_, secretId: string, secret: string) => {
    return `${secretId}_${HIDDEN}${secret.length >= SECRET_LENGTH ? secret.slice(-4) : ''}`;
  });
}

/** Whether a whole key of our format stands somewhere in a text. */
export function holdsKey(text: string): boolean {
  return [...text.matchAll(KEY_TAIL)].some(([, , secret = '']) => secret.length >= SECRET_LENGTH);
}

/** A text without the secrets in it. What is longer than 16 KiB is cut, after masking. */
export function redact(text: string): string {
  const masked = redactKeys(text)
    .replace(SIGNING_KEY, `$1${HIDDEN}`)
    .replace(SIGNING_SECRET, `whsec_${HIDDEN}`)
    .replace(URL_PASSWORD, `$1:${HIDDEN}@`)
    .replace(SCHEME, (whole, scheme: string, value: string) => (MASKED_KEY.test(value) ? whole : `${scheme} ${HIDDEN}`))
    .replace(NAMED, (whole, name: string, between: string, value: string) =>
      MASKED_KEY.test(value) ? whole : `${name}${between}${HIDDEN}`,
    );
  return masked.length > MAX_TEXT_LENGTH ? `${masked.slice(0, MAX_TEXT_LENGTH)}${HIDDEN}` : masked;
}

/** What may be shown of a presented credential: the mask of a key of our format, nothing of any other text. */
export function shownOf(presented: string): string | undefined {
  const mask = redactKeys(presented);
  return MASKED_KEY.test(mask) ? mask : undefined;
}

/**
 * A copy of anything, fit for a log line: every string through `redact`, values under secret names hidden, errors as
 * plain objects with their causes, buffers by their size, and nothing deeper or longer than a log line should be.
 */
export function redactDeep(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? '[function]' : value;
  if (depth >= MAX_DEPTH) return '[deeper]';
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => redactDeep(item, depth + 1));
  if (value instanceof Map) return redactDeep(Object.fromEntries(value), depth);
  if (value instanceof Set) return redactDeep([...value], depth);
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value).slice(0, MAX_ITEMS)) {
    copy[redact(name)] = SECRET_NAMES.has(name.toLowerCase().replace(/[-_]/g, ''))
      ? hide(item)
      : redactDeep(item, depth + 1);
  }
  return copy;
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  return {
    type: error.name,
    message: redact(error.message),
    ...(error.stack !== undefined && { stack: redact(error.stack) }),
    ...(error.cause !== undefined && { cause: redactDeep(error.cause, depth + 1) }),
    ...(redactDeep({ ...error }, depth + 1) as object),
  };
}

function hide(value: unknown): unknown {
  if (value === undefined || value === null || typeof value === 'boolean') return value;
  return (typeof value === 'string' ? shownOf(value) : undefined) ?? HIDDEN;
}
