import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Whether a text is an IPv4 or IPv6 address, or a CIDR block of either. */
export function isAddressBlock(text: string): boolean {
  return blockOf(text) !== undefined;
}

/**
 * Whether an address lies in one of the blocks. An IPv4 address in its IPv6-mapped form counts as the IPv4 address, and
 * so does a block of such; other IPv6 blocks hold no IPv4 address. What is no address lies nowhere.
 */
export function addressAllowed(blocks: readonly string[], address: string): boolean {
  const client = addressOf(address);
  if (!client) return false;
  const [plain] = withoutMapping(client, widthOf(client));
  return blocks.some((text) => {
    const block = blockOf(text);
    return block !== undefined && block[0].kind() === plain.kind() && plain.match(...block);
  });
}

/** Strict: four decimal parts, for `10.1` and `010.0.0.1` mean one address to some and another to others. */
function addressOf(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return text.includes(':') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}

const BITS = /^(?:0|[1-9]\d{0,2})$/;

function blockOf(text: string): [Address, number] | undefined {
  const slash = text.indexOf('/');
  const network = addressOf(slash < 0 ? text : text.slice(0, slash));
  if (!network || text.includes('%')) return undefined;
  const size = slash < 0 ? String(widthOf(network)) : text.slice(slash + 1);
  return BITS.test(size) && Number(size) <= widthOf(network) ? withoutMapping(network, Number(size)) : undefined;
}

function withoutMapping(network: Address, bits: number): [Address, number] {
  if (network instanceof ipaddr.IPv4 || bits < 96 || !network.isIPv4MappedAddress()) return [network, bits];
  return [network.toIPv4Address(), bits - 96];
}

function widthOf(address: Address): 32 | 128 {
  return address.kind() === 'ipv4' ? 32 : 128;
}

/** `scheme://host[:port]` with nothing behind it; the host may begin with `*.` for every subdomain. */
const ORIGIN_PATTERN = /^(https?):\/\/(\*\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::\d{1,5})?$/;

/** Whether a text is an origin pattern whose host is written as browsers write it. */
export function isOriginPattern(text: string): boolean {
  const host = ORIGIN_PATTERN.exec(text)?.[3];
  return text.length <= 253 && host !== undefined && originOf(text.replace('*.', ''))?.hostname === host;
}

/** Whether the origin of a request (an `Origin` or a whole referrer URL) is one that the patterns allow. */
export function originAllowed(patterns: readonly string[], originOrReferrer: string): boolean {
  const asked = originOf(originOrReferrer);
  if (!asked) return false;
  return patterns.some((pattern) => {
    const allowed = originOf(pattern.replace('*.', ''));
    if (allowed?.protocol !== asked.protocol) return false;
    return pattern.includes('*.') ? asked.host.endsWith(`.${allowed.host}`) : asked.host === allowed.host;
  });
}

/** A web URL, whose `host` leaves out the port where it is the scheme's own. */
function originOf(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined;
}
