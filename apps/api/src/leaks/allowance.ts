import { isIP } from 'node:net';

export interface AllowanceOptions {
  /** For one address (an IPv6 address counts with its /64), and for all together; each refills over a minute. */
  perAddress: number;
  altogether: number;
}

interface Bucket {
  left: number;
  atMs: number;
}

const MINUTE_MS = 60_000;
const ADDRESSES_KEPT = 10_000;

/** How much anybody may do here in a minute: a bucket for each address and one for all, in this process. */
export class Allowance {
  private readonly addresses = new Map<string, Bucket>();
  private readonly all: Bucket;

  constructor(
    private readonly options: AllowanceOptions,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.all = { left: options.altogether, atMs: nowMs() };
  }

  /** 0 if it may be done, and it counts then; else in how many seconds to ask again. */
  take(address: string): number {
    const { perAddress, altogether } = this.options;
    const name = networkOf(address);
    const own = this.addresses.get(name) ?? { left: perAddress, atMs: this.nowMs() };
    const wait = Math.max(this.refill(own, perAddress), this.refill(this.all, altogether));
    if (wait > 0) return wait;
    own.left--;
    this.all.left--;
    // The newest stand last; one that is forgotten begins with a full bucket, and all together bound what that gives.
    this.addresses.delete(name);
    this.addresses.set(name, own);
    const [oldest] = this.addresses.size > ADDRESSES_KEPT ? this.addresses.keys() : [];
    if (oldest !== undefined) this.addresses.delete(oldest);
    return 0;
  }

  private refill(bucket: Bucket, perMinute: number): number {
    const now = this.nowMs();
    bucket.left = Math.min(perMinute, bucket.left + ((now - bucket.atMs) / MINUTE_MS) * perMinute);
    bucket.atMs = now;
    return bucket.left >= 1 ? 0 : Math.ceil(((1 - bucket.left) / perMinute) * 60);
  }
}

/** Whoever has one IPv6 address has the 2^64 of its network. */
function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...gap, ...right].slice(0, 4).join(':');
}
