import { CHANNEL_FORMATS, type ChannelTarget, type ChannelType, type FieldError } from '@keyledger/contracts';

/** What a target of each type has to have, and may not leave out. */
const MEMBERS: Record<ChannelType, readonly (keyof ChannelTarget)[]> = {
  webhook: ['url'],
  email: ['addresses'],
  slack: ['sealedUrl'],
  receiver: ['publicKey', 'via'],
};

/** What it may have besides. */
const OPTIONAL: Partial<Record<ChannelType, readonly (keyof ChannelTarget)[]>> = { webhook: ['format'] };

/** As callers write the member: an address that is a credential reaches the domain sealed. */
const WRITTEN: Partial<Record<keyof ChannelTarget, string>> = { sealedUrl: 'url' };
const MAX_ADDRESSES = 20;
const MAX_URL = 2048;

/** What is wrong with where a channel of a type is to be reached. */
export function targetErrors(type: ChannelType, target: ChannelTarget): FieldError[] {
  const wanted =
    type === 'receiver' && target.via === 'webhook' ? [...MEMBERS.receiver, 'url' as const] : MEMBERS[type];
  const given = (Object.keys(target) as (keyof ChannelTarget)[]).filter((name) => target[name] !== undefined);
  const errors: FieldError[] = [
    ...wanted.filter((name) => !given.includes(name)).map((name) => missing(type, name)),
    ...given
      .filter((name) => ![...wanted, ...(OPTIONAL[type] ?? [])].includes(name))
      .map((name) => needless(type, name)),
  ];
  if (errors.length > 0) return errors;
  return [
    ...(target.url === undefined ? [] : urlErrors(target.url)),
    ...(target.addresses ? addressErrors(target.addresses) : []),
    ...(target.publicKey ? publicKeyErrors(target.publicKey) : []),
    ...(target.format === undefined || CHANNEL_FORMATS.includes(target.format) ? [] : formatErrors()),
  ];
}

const formatErrors = (): FieldError[] => [
  { field: 'target.format', message: 'is no format', fix: `one of ${CHANNEL_FORMATS.join(', ')}, or leave it out` },
];

function missing(type: ChannelType, name: keyof ChannelTarget): FieldError {
  const article = type === 'email' ? 'an' : 'a';
  return { field: fieldOf(name), message: `is missing`, fix: `${article} ${type} channel needs it` };
}

function needless(type: ChannelType, name: keyof ChannelTarget): FieldError {
  const article = type === 'email' ? 'an' : 'a';
  return { field: fieldOf(name), message: `means nothing for ${article} ${type} channel`, fix: 'leave it out' };
}

const fieldOf = (name: keyof ChannelTarget): string => `target.${WRITTEN[name] ?? name}`;

/** What is wrong with an address to which messages are posted. Whether it may be reached is looked at when it is. */
export function urlErrors(text: string): FieldError[] {
  const error = (message: string, fix: string): FieldError[] => [{ field: 'target.url', message, fix }];
  const example = 'e.g. "https://hooks.example/keyledger"';
  if (text.length > MAX_URL) return error('is too long', `at most ${MAX_URL} characters`);
  if (!URL.canParse(text)) return error('is no URL', example);
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return error('is no https URL', example);
  if (url.username !== '' || url.password !== '') {
    return error('carries a user or password', 'without them; receivers know us by the signature');
  }
  return url.hash === '' ? [] : error('has a fragment, which is never sent', 'without "#" and what follows');
}

/** One mailbox, as SMTP takes it and without the forms that nobody uses (RFC 5321 section 4.1.2). */
const MAILBOX =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9-]{1,63}$/;

function addressErrors(addresses: string[]): FieldError[] {
  if (addresses.length === 0 || addresses.length > MAX_ADDRESSES) {
    const message = addresses.length === 0 ? 'is empty' : 'is too long';
    return [{ field: 'target.addresses', message, fix: `1 to ${MAX_ADDRESSES} e-mail addresses` }];
  }
  return addresses.flatMap((address, index) => {
    const field = `target.addresses[${index}]`;
    if (address.length > 254 || !MAILBOX.test(address)) {
      return [{ field, message: 'is no e-mail address', fix: 'e.g. "oncall@example.com"' }];
    }
    return addresses.indexOf(address) < index ? [{ field, message: 'stands there twice', fix: 'name it once' }] : [];
  });
}

const COORDINATE = /^[A-Za-z0-9_-]{43}$/;
const KEY_FIX =
  'a public JWK (RFC 7517) of P-256 {"kty":"EC","crv":"P-256","x","y"} or X25519 {"kty":"OKP","crv":"X25519","x"}';

/** Its form; whether the point lies on the curve is for a library of cryptography to say. */
function publicKeyErrors(jwk: Record<string, string>): FieldError[] {
  const error = (message: string): FieldError[] => [{ field: 'target.publicKey', message, fix: KEY_FIX }];
  if ('d' in jwk || 'k' in jwk) {
    const fix = 'leave out "d", make a new pair and keep its private part to yourself';
    return [{ field: 'target.publicKey', message: 'holds a private key', fix }];
  }
  const point = jwk['kty'] === 'EC' && jwk['crv'] === 'P-256' ? ['x', 'y'] : [];
  const scalar = jwk['kty'] === 'OKP' && jwk['crv'] === 'X25519' ? ['x'] : [];
  const coordinates = [...point, ...scalar];
  if (coordinates.length === 0) return error('is no key that secrets can be encrypted to');
  return coordinates.every((name) => COORDINATE.test(jwk[name] ?? '')) ? [] : error('lacks a coordinate');
}
