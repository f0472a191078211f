import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

/** What the traffic was told about one key: only what a response acknowledged. */
export interface KnownKey {
  keyId: string;
  key: string;
  /** Secrets that a rotation replaced with a grace that outlives the test. */
  previous?: string;
  /** Since a revocation was sent. */
  revoking?: true;
  revoked: boolean;
  /** Whether every answer so far said that verifiers know of the change. */
  effective: boolean;
}

/** How long a client waits before it repeats a request that failed. */
const CLIENT_BACKOFF_MS = 25;
/** Leaves the machine to the traffic. */
const WITNESS_PAUSE_MS = 5;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/**
 * Lanes that issue, rotate and revoke keys without pause until they are stopped. A request that gets no answer, or a
 * 503, is repeated under its Idempotency-Key until it gets one: what a careful client does.
 */
export class Traffic {
  readonly keys: KnownKey[] = [];
  acknowledged = 0;
  private running = true;
  private readonly lanes: Promise<void>[];

  constructor(
    private readonly api: () => string,
    private readonly credential: string,
    private readonly keyspaceId: string,
    lanes = 8,
  ) {
    this.lanes = Array.from({ length: lanes }, (_, lane) => this.lane(lane));
  }

  /** Ends when every lane has its last answer. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.lanes);
  }

  private async lane(lane: number): Promise<void> {
    for (let round = 0; this.running; round++) {
      const known = await this.issue(`lane ${lane} round ${round}`);
      if (round % 3 === 1) await this.rotate(known);
      if (round % 3 === 2) await this.revoke(known);
    }
  }

  private async issue(name: string): Promise<KnownKey> {
    const owner = { id: 'traffic', type: 'service' };
    const request = { keyspaceId: this.keyspaceId, environment: 'live', name, owner, scopes: ['a:read'] };
    const { status, body } = await this.post('/v1/keys', request);
    if (status !== 201) throw new Error(`issue: ${status} ${JSON.stringify(body)}`);
    const { keyId, key, effective } = body as { keyId: string; key: string; effective: boolean };
    const known: KnownKey = { keyId, key, revoked: false, effective };
    this.keys.push(known);
    return known;
  }

  private async rotate(known: KnownKey): Promise<void> {
    const { status, body } = await this.post(`/v1/keys/${known.keyId}/rotate`, { graceSeconds: 86_400 });
    if (status !== 200) throw new Error(`rotate: ${status} ${JSON.stringify(body)}`);
    known.previous = known.key;
    known.key = body.key as string;
    known.effective &&= body.effective as boolean;
  }

  private async revoke(known: KnownKey): Promise<void> {
    known.revoking = true;
    const { status, body } = await this.post(`/v1/keys/${known.keyId}/revoke`, { reason: 'other' });
    if (status !== 200) throw new Error(`revoke: ${status} ${JSON.stringify(body)}`);
    known.revoked = true;
    known.effective &&= body.effective as boolean;
  }

  /** Bounded: a system that does not come back within a minute fails the test. */
  private async post(path: string, body: unknown): Promise<Answer> {
    const idempotencyKey = randomUUID();
    const deadline = Date.now() + 60_000;
    for (;;) {
      const answer = await this.once(path, body, idempotencyKey).catch((error: unknown) => String(error));
      if (typeof answer === 'object' && answer.status < 500 && answer.body.code !== 'IN_PROGRESS') {
        this.acknowledged++;
        return answer;
      }
      if (Date.now() > deadline) throw new Error(`POST ${path} had no answer for a minute: ${JSON.stringify(answer)}`);
      await pause(CLIENT_BACKOFF_MS);
    }
  }

  private async once(path: string, body: unknown, idempotencyKey: string): Promise<Answer> {
    const response = await fetch(this.api() + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.credential}`,
        'content-type': 'application/json',
        'idempotency-key': idempotencyKey,
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }
}

/**
 * Asks a verifier all the time about the keys of a traffic, and keeps the answers that must not be: of a change that was
 * acknowledged as effective it may say the truth, 503, or nothing at all.
 */
export class Witness {
  readonly wrong: string[] = [];
  /** How many verdicts it heard. */
  verdicts = 0;
  private running = true;
  private readonly asking: Promise<void>;

  constructor(
    private readonly verifier: () => string,
    private readonly credential: string,
    private readonly traffic: Traffic,
  ) {
    this.asking = this.ask();
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.asking;
  }

  private async ask(): Promise<void> {
    while (this.running) {
      const { keys } = this.traffic;
      const known = keys[Math.floor(Math.random() * keys.length)];
      const { key, revoked, effective } = known ?? {};
      const code = key !== undefined && effective ? await this.verdict(key).catch(() => undefined) : undefined;
      await pause(code === undefined ? CLIENT_BACKOFF_MS : WITNESS_PAUSE_MS);
      if (code === undefined) continue;
      this.verdicts++;
      const right = revoked ? ['REVOKED'] : known?.revoking ? ['VALID', 'REVOKED'] : ['VALID'];
      if (!right.includes(code)) this.wrong.push(`${code} instead of ${right.join(' or ')}`);
    }
  }

  /** The verdict; `undefined` if there was none. */
  private async verdict(key: string): Promise<string | undefined> {
    const response = await fetch(`${this.verifier()}/v1/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.credential}`, 'content-type': 'application/json' },
      body: JSON.stringify({ key }),
      signal: AbortSignal.timeout(15_000),
    });
    const body = (await response.json()) as { code: string };
    if (response.status !== 200 && response.status !== 503) this.wrong.push(`status ${response.status}`);
    return response.status === 200 ? body.code : undefined;
  }
}
