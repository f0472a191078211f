import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * Says which addresses messages may be sent to: those of the public internet, and what the operator allows besides
 * (`KEYLEDGER_ALLOWED_TARGETS`). Everything else is inside: loopback, private, link-local with its metadata services,
 * unique-local, carrier-grade NAT, multicast, reserved, and IPv6 forms that lead to an IPv4 address.
 */
export class TargetGuard {
  private readonly allowed: readonly [Address, number][];

  /**
   * @param allowed addresses and CIDR blocks
   * @param ownPorts of Keyledger's own services, which no channel may reach inside whatever is allowed
   */
  constructor(
    allowed: readonly string[],
    private readonly ownPorts: ReadonlySet<number>,
  ) {
    this.allowed = allowed.map(blockOf);
  }

  /** Why nothing is sent to an address, or `undefined` if it is allowed. */
  problemWith(text: string, port: number): string | undefined {
    const plain = text.replace(/%.*$/, '');
    if (!ipaddr.isValid(plain)) return `leads to ${text}, which is no address`;
    const address = ipaddr.process(plain);
    const range = address.range();
    if (range === 'unicast' && isGlobal(address)) return undefined;
    const kind = `leads to ${plain}, a ${range === 'unicast' ? 'special' : (KINDS[range] ?? range)} address`;
    const isAllowed = this.allowed.some(
      ([block, bits]) => block.kind() === address.kind() && address.match(block, bits),
    );
    if (!isAllowed) return `${kind}; KEYLEDGER_ALLOWED_TARGETS names those that are allowed`;
    return this.ownPorts.has(port) ? `${kind}, at port ${port} of Keyledger itself` : undefined;
  }
}

/** All that was ever given out for the internet; the rest of IPv6 has forms like `::127.0.0.1` that lead elsewhere. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

const isGlobal = (address: Address): boolean => address instanceof ipaddr.IPv4 || address.match(GLOBAL_IPV6);

/** The ports of Keyledger's own services, as far as their settings tell: of the apps, and of both stores. */
export function ownPorts(settings: { ports: readonly number[]; urls: readonly string[] }): Set<number> {
  const inUrls = settings.urls.flatMap((url) =>
    [...url.matchAll(/:(\d{1,5})(?=[,/?]|$)/g)].map((match) => Number(match[1])),
  );
  return new Set([...settings.ports, ...inUrls, ...USUAL_PORTS]);
}

/** Of Redis, Sentinel, and EventStoreDB or KurrentDB, for an address that leaves its port out. */
const USUAL_PORTS = [6379, 26_379, 1113, 2113];

const KINDS: Partial<Record<string, string>> = {
  carrierGradeNat: 'carrier-grade NAT',
  linkLocal: 'link-local',
  uniqueLocal: 'unique-local',
};

function blockOf(text: string): [Address, number] {
  if (text.includes('/')) {
    const [address, bits] = ipaddr.parseCIDR(text);
    const mapped = address instanceof ipaddr.IPv6 && bits >= 96 && address.isIPv4MappedAddress();
    return mapped ? [address.toIPv4Address(), bits - 96] : [address, bits];
  }
  const address = ipaddr.process(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}
