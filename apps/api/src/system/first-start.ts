import {
  ADMIN_SCOPES,
  streams,
  SYSTEM_KEYSPACE,
  type CommandContext,
  type Instant,
  type KeyEvent,
} from '@keyledger/contracts';
import {
  keyDecider,
  keyspaceDecider,
  type KeyCommand,
  type KeyspaceCommand,
  type KeyspaceState,
  type KeyState,
} from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { idFrom, newId, systemClock, type KeyDigests, type Logger } from '@keyledger/platform';
import { setTimeout as wait } from 'node:timers/promises';
import { importedKeyId, importedSecret, mint, secretRecord } from '../keys/secrets.js';
import type { Minted } from '../keys/key.view.js';
import { accepted, conflictIfOvertaken, expecting } from '../outcome.js';
import type { Visibility } from '../visibility.js';

const ENVIRONMENT = 'live';
const OWNER = { id: 'keyledger-admin', type: 'account' } as const;
const NAME = 'First admin key';
const JUSTIFICATION = 'The first management key; issue others with it, then revoke it or keep it in a safe.';
/** The admin key that is made here has one stream, whatever process makes it and however often it is tried. */
const MADE_KEY_ID = idFrom('the admin key of the first start');

const RETRY_MS = [100, 200, 500, 1000, 2000];
const GIVE_UP_MS = 120_000;
/** How long another process may take between making the admin key and showing it. */
const SHOWN_WITHIN_MS = 10_000;

export interface FirstStartMeans {
  decisions: Decisions;
  digests: KeyDigests;
  visibility: Visibility;
  logger: Logger;
  /** KEYLEDGER_ADMIN_KEY. */
  given: string | undefined;
  /** Shows a key that was made here to a person, this once. */
  show: (key: string) => void;
}

/**
 * Makes the keyspace of the management keys and the first of them, once, whichever of several processes comes first.
 *
 * The keyspace is created last, after the admin key has been shown. So a process that dies on the way leaves a system
 * without that keyspace, and the next start gives the admin key a new secret and shows that.
 */
export class FirstStart {
  /** What keeps it from being done; absent once it is. */
  private pending: string | undefined = 'has not begun';
  private readonly stopped = new AbortController();

  private readonly decisions: Decisions;
  private readonly digests: KeyDigests;
  private readonly visibility: Visibility;
  private readonly logger: Logger;

  constructor(private readonly means: FirstStartMeans) {
    ({ decisions: this.decisions, digests: this.digests, visibility: this.visibility, logger: this.logger } = means);
  }

  /** For readiness. @throws Error that says what it waits for */
  assertDone(): void {
    if (this.pending !== undefined) throw new Error(`first start: ${this.pending}`);
  }

  stop(): void {
    this.stopped.abort();
  }

  /**
   * Tries until it is done, with growing pauses, for at most two minutes.
   * @throws the last failure
   */
  async run(): Promise<void> {
    const deadline = performance.now() + GIVE_UP_MS;
    for (let attempt = 0; !this.stopped.signal.aborted; attempt++) {
      try {
        await this.once();
        this.pending = undefined;
        return;
      } catch (error) {
        if (this.stopped.signal.aborted) return;
        if (performance.now() > deadline) throw error;
        this.pending = error instanceof Error ? error.message : 'failed';
        this.logger.warn({ err: error, attempt }, 'the first start is not done yet');
        await this.pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] as number);
      }
    }
  }

  private async once(): Promise<void> {
    const exists = (await this.loadKeyspace()) !== undefined;
    const keyspace = this.futureKeyspace();
    if (this.means.given !== undefined) await this.importGiven(this.means.given, keyspace);
    else if (!exists) await this.makeAdminKey(keyspace);
    if (!exists) await this.createKeyspace();
  }

  private async loadKeyspace(): Promise<KeyspaceState | undefined> {
    const { state } = await this.decisions.load(keyspaceDecider, streams.keyspace(SYSTEM_KEYSPACE));
    return state;
  }

  /** The keyspace as it will be; for an existing one its policy may differ, which does not bind the first key. */
  private futureKeyspace(): KeyspaceState {
    const decision = keyspaceDecider.decide(creation(systemClock()), undefined);
    const [created] = decision.accepted ? decision.events : [];
    const keyspace = created && keyspaceDecider.evolve(undefined, created);
    if (!keyspace) throw new Error('the reserved keyspace is not possible');
    return keyspace;
  }

  private async createKeyspace(): Promise<void> {
    const context = this.context('keyspace');
    const outcome = await this.decisions.run(
      keyspaceDecider,
      streams.keyspace(SYSTEM_KEYSPACE),
      creation(context.now),
      context,
    );
    const { state, revision } = accepted(outcome);
    if (state) await this.visibility.keyspace(state, revision);
  }

  /** A key that is known already stays as it is: one that was revoked stays revoked. */
  private async importGiven(text: string, keyspace: KeyspaceState): Promise<void> {
    const sha256 = this.digests.sha256(text);
    const keyId = importedKeyId(sha256);
    const context = this.context(`key ${keyId}`);
    const { state: known } = await this.decisions.load(keyDecider, streams.key(keyId));
    if (known) return;
    const command = {
      type: 'ImportKey',
      ...this.terms(keyId, keyspace, context),
      secret: importedSecret(sha256),
    } as const;
    const outcome = await this.decisions.run(keyDecider, streams.key(keyId), command, context);
    const { state, revision } = accepted(outcome);
    if (state) await this.visibility.key(state, revision);
    this.logger.info({ keyId }, 'the admin key of KEYLEDGER_ADMIN_KEY is imported');
  }

  private async makeAdminKey(keyspace: KeyspaceState): Promise<void> {
    const minted = mint({ prefix: keyspace.prefix, environment: ENVIRONMENT, kind: 'secret' });
    const before = await this.decisions.load(keyDecider, streams.key(MADE_KEY_ID));
    if (before.state) {
      // Whoever made it shows it and then creates the keyspace. If it does not come, that process is gone.
      if (await this.keyspaceAppears()) return;
      await this.replaceUnseenSecret(keyspace, minted, before.revision);
      return;
    }
    const context = this.context('admin key');
    const secret = secretRecord(minted, this.digests);
    const command = { type: 'IssueKey', ...this.terms(MADE_KEY_ID, keyspace, context), secret } as const;
    await this.commit(command, context, minted);
  }

  private async replaceUnseenSecret(keyspace: KeyspaceState, minted: Minted, expectedRevision: number): Promise<void> {
    const context = this.context(`admin key ${newId()}`);
    const secret = secretRecord(minted, this.digests);
    const command = { type: 'RotateKey', keyspace, secret, graceSeconds: 0, now: context.now } as const;
    await this.commit(command, context, minted, expectedRevision);
  }

  private async commit(
    command: KeyCommand,
    context: CommandContext,
    minted: Minted,
    expectedRevision?: number,
  ): Promise<void> {
    const outcome = await this.decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(MADE_KEY_ID),
      command,
      context,
      expecting(expectedRevision),
    );
    const { state, revision } = accepted(conflictIfOvertaken(outcome));
    if (!state) throw new Error('an accepted decision left no key');
    await this.visibility.key(state, revision);
    // Another process was first, and shows its own.
    if (state.secrets[0]?.secretId !== minted.secretId) throw new Error('another process makes the admin key');
    this.means.show(minted.key);
  }

  private terms(keyId: string, keyspace: KeyspaceState, { now }: CommandContext) {
    return {
      keyId,
      keyspace,
      environment: ENVIRONMENT,
      kind: 'secret' as const,
      name: NAME,
      owner: OWNER,
      scopes: [...ADMIN_SCOPES],
      expiresAt: null,
      restrictions: {},
      metadata: {},
      justification: JUSTIFICATION,
      now,
    };
  }

  private context(what: string): CommandContext {
    const commandId = `first-start ${what}`;
    const actor = { type: 'system', id: 'first-start' } as const;
    return { commandId, now: systemClock(), actor, reason: 'the first start of the system', requestId: commandId };
  }

  private async keyspaceAppears(): Promise<boolean> {
    const deadline = performance.now() + SHOWN_WITHIN_MS;
    while (performance.now() < deadline && !this.stopped.signal.aborted) {
      if (await this.loadKeyspace()) return true;
      await this.pause(200);
    }
    return false;
  }

  private async pause(millis: number): Promise<void> {
    await wait(millis, undefined, { signal: this.stopped.signal, ref: false }).catch(() => undefined);
  }
}

function creation(now: Instant): KeyspaceCommand {
  return {
    type: 'CreateKeyspace',
    keyspaceId: SYSTEM_KEYSPACE,
    name: 'Management keys',
    environments: [ENVIRONMENT],
    policy: { nonExpiring: true },
    reserved: true,
    now,
  };
}
