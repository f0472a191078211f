/** Where the store is: for the client with everything, for people without credentials. */
export interface StoreAddress {
  forClient: string;
  /** Scheme and hosts only. */
  shown: string;
  /** A text of the client's with the password taken out, should it ever quote one. */
  scrub: (text: string) => string;
}

const FORM = 'kurrentdb://[user:password@]host:port[,host:port][?tls=true&…], or kurrentdb+discover://…';
const SCHEMES = new Map([
  ['kurrentdb', 'kurrentdb'],
  ['kurrent', 'kurrentdb'],
  ['kdb', 'kurrentdb'],
  ['esdb', 'kurrentdb'],
]);
const OPTIONS = [
  'tls',
  'tlsVerifyCert',
  'tlsCAFile',
  'userCertFile',
  'userKeyFile',
  'nodePreference',
  'connectionName',
  'defaultDeadline',
  'discoveryInterval',
  'maxDiscoverAttempts',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
];

/**
 * Reads a connection string of the official client. The client itself prints a string with an unknown option, password
 * and all, and puts pieces of a broken one into its error: so what it cannot read never reaches it. Dropped are
 * `throwOnAppendFailure`, without which it reports wrong revisions, and credentials in plaintext mode (`tls=false`):
 * it would ignore them for appends but send them in clear for reads.
 * @throws RangeError that names what is wrong and what would be right, without credentials.
 */
export function parseConnectionString(text: string): StoreAddress {
  const [, scheme = '', discover = '', rest = ''] = /^([a-z]+)(\+discover)?:\/\/(.*)$/s.exec(text.trim()) ?? [];
  const family = SCHEMES.get(scheme);
  if (family === undefined) throw unreadable('it names no known scheme', FORM);
  const [credentials = ''] = /^[^:]+:[^@]+@/.exec(rest) ?? [];
  const [beforeQuery = '', query, ...more] = rest.slice(credentials.length).split('?');
  const hosts = beforeQuery.replace(/\/+$/, '');
  if (more.length > 0) throw unreadable('it has more than one "?"', FORM);
  if (!hosts.split(',').every(isHost)) {
    throw unreadable('a host or the credentials are not as they should be', `${FORM}; a password percent-encoded`);
  }
  const options = optionsOf(query ?? '');
  const plaintext = options.some(([name, value]) => name === 'tls' && value === 'false');
  const search = options.map(([name, value]) => `${name}=${value}`).join('&');
  const shown = `${family}${discover}://${hosts}`;
  const sent = plaintext ? shown : `${family}${discover}://${credentials}${hosts}`;
  return {
    forClient: search === '' ? sent : `${sent}?${search}`,
    shown,
    scrub: scrubber(credentials),
  };
}

function optionsOf(query: string): [name: string, value: string][] {
  const pairs = query.split('&').filter((pair) => pair !== '');
  return pairs.flatMap((pair): [string, string][] => {
    const [key = '', ...values] = pair.split('=');
    const value = values.join('=');
    const flat = flatCase(key);
    if (flat === 'throwonappendfailure') return [];
    const name = OPTIONS.find((option) => flatCase(option) === flat);
    if (name === undefined) throw unreadable(`its option "${key}" is unknown`, `one of ${OPTIONS.join(', ')}`);
    if (value === '') throw unreadable(`its option "${name}" has no value`, `${name}=…`);
    return [[name, value]];
  });
}

const flatCase = (name: string): string => name.trim().toLowerCase().replace(/[_-]/g, '');
const isHost = (host: string): boolean => /^[A-Za-z0-9._-]+(:\d{1,5})?$/.test(host);

function scrubber(credentials: string): (text: string) => string {
  const password = credentials.slice(credentials.indexOf(':') + 1, -1);
  if (password === '') return (text) => text;
  const forms = [password, decoded(password)];
  return (text) => forms.reduce((clean, form) => clean.replaceAll(form, '***'), text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unreadable(problem: string, fix: string): RangeError {
  return new RangeError(`The event store's URL cannot be read: ${problem}. Right would be ${fix}`);
}
