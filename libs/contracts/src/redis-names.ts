/**
 * Names of everything that the read model keeps in Redis. A name of a generation carries one of 64 hash tags, so that on
 * a Cluster the keys spread over 64 slots, and each tag has a marker key beside it in the same slot: whoever misses a
 * record reads record and marker in one atomic step, and an absent marker says that the model is gone, not the record.
 */
const TAGS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The hash tags, one for each base64url digit with which a secret's hash can begin. */
export const REDIS_TAGS: readonly string[] = [...TAGS];

/** Secrets made here and secrets imported by their SHA-256 are looked up apart: their hashes come from different texts. */
export type SecretNamespace = 'issued' | 'imported';

/** Two letters that tell the kind of a name apart; short, because every key of a generation pays for them. */
const NAMESPACE_LETTER: Record<SecretNamespace, 'v' | 'f'> = { issued: 'v', imported: 'f' };

/** The hash tag of a name that does not bring its own. Any fixed spread would do; changing it needs a rebuild. */
export function redisTagOf(text: string): string {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
  return TAGS.charAt((sum ^ (sum >>> 6) ^ (sum >>> 12)) & 63);
}

/** The hash tags of the list of incidents and of those of notifications. */
export const LEAKS_TAG = 'leaks';
export const NOTIFICATIONS_TAG = 'notifications';

export const redisNames = {
  /** Hash: which generation is live, building or retiring, and how far it has come. */
  meta: 'kl:{meta}',
  /** Written by a projector that is alive and not behind; its absence says that the model is stale. */
  heartbeat: 'kl:{meta}:heartbeat',
  /** Held by the one worker that rebuilds. */
  lease: 'kl:{meta}:lease',

  /** Pattern of every key of every generation, for SCAN. */
  everyGeneration: 'kl:?????????:?:*',
  /** Pattern of every key of one generation, for SCAN. */
  allOf: (generation: string) => `kl:${generation}:*`,
  /** The generation that a key belongs to, or `undefined` for a name of another kind. */
  generationOf: (name: string): string | undefined => /^kl:([0-9a-z]{9}):/.exec(name)?.[1],
  /** What is behind the generation in a name, and such a name in a generation. */
  suffixOf: (name: string): string => name.slice(name.indexOf(':', 3) + 1),
  inGeneration: (generation: string, suffix: string): string => `kl:${generation}:${suffix}`,

  /** A key by the hash of one of its secrets: `<revision> <json>`, or `<revision> @<keyId>` for a secret that is over. */
  record: (generation: string, namespace: SecretNamespace, hash: string) =>
    `kl:${generation}:${NAMESPACE_LETTER[namespace]}:{${hash.charAt(0)}}${hash.slice(1)}`,
  /** Pattern of the records of a generation, for SCAN. */
  everyRecord: (generation: string) => `kl:${generation}:[vfs]:*`,
  /** Where the records of a key are: `<revision> v:<hash>`, written when all else of that revision is. */
  pointer: (generation: string, keyId: string) => `kl:${generation}:k:{${redisTagOf(keyId)}}${keyId}`,
  /** Pattern of the pointers of a generation, for SCAN. */
  everyPointer: (generation: string) => `kl:${generation}:k:*`,
  keyspace: (generation: string, keyspaceId: string) => `kl:${generation}:s:{${redisTagOf(keyspaceId)}}${keyspaceId}`,
  /** Present once the generation is complete. Holds the position up to which every event is in this slot's records. */
  marker: (generation: string, tag: string) => `kl:${generation}:m:{${tag}}`,
  /** A sorted set of hints, read in the order of its members' text. */
  index: (generation: string, kind: RedisIndex, name: string) => {
    const own = `${kind}:${name}`;
    return `kl:${generation}:i:{${redisTagOf(own)}}${own}`;
  },

  /** Sorted set of when what has to be looked at next, and beside it how far the log is in it; spread over a few tags. */
  deadlines: (index: DeadlineIndexName, tag: string) => `kl:d:{${tag}}${index}`,
  deadlineMarker: (index: DeadlineIndexName, tag: string) => `kl:d:{${tag}}${index}:at`,
  /**
   * Hash: how a key was used, counted by verifiers; of no generation. Two names follow from its hash tag: the
   * keys of this slot whose use is not on record yet (`due`), and the mark of how far what is on record is here (`at`).
   */
  usage: (keyId: string) => `kl:u:{${redisTagOf(keyId)}}${keyId}`,
  usageDue: (tag: string) => `kl:u:{${tag}}:due`,
  usageMarker: (tag: string) => `kl:u:{${tag}}:at`,

  /** How far a reactor of the worker has come in the log. */
  checkpoint: (reactor: string) => `kl:r:{${reactor}}`,
  /** Which of several workers does the work of a reactor that only one of them is to do; expires. */
  reactorHolder: (reactor: string) => `kl:r:{${reactor}}:holder`,

  /**
   * Incidents, all in one slot, so that what is lost is lost together: the record of one; sorted sets by when they were
   * reported, of all or of one keyspace, in one state or any; and the mark of how far the log is in them.
   */
  leak: (leakId: string) => `kl:leak:{${LEAKS_TAG}}:i:${leakId}`,
  leakIndex: (state: string, keyspaceId?: string) =>
    `kl:leak:{${LEAKS_TAG}}:${keyspaceId === undefined ? 'a' : `k:${keyspaceId}`}:${state}`,
  leaksMarker: `kl:leak:{${LEAKS_TAG}}:at`,

  /** Stream: decoys that somebody presented and that no worker has told of yet. Capped. */
  decoySightings: 'kl:seen:{decoys}',
  /** What is kept of notifications, all in one slot so that one script can write it. */
  notifications: {
    /** How far the log is in the lists. */
    marker: `kl:n:{${NOTIFICATIONS_TAG}}:at`,
    /** `<revision> <member> <state> <channelId> <json>` */
    item: (notificationId: string) => `kl:n:{${NOTIFICATIONS_TAG}}:i:${notificationId}`,
    /** A sorted set of `<ms since the epoch, 15 digits>-<notificationId>`, all or those of one channel. */
    list: (state: string, channelId?: string) =>
      `kl:n:{${NOTIFICATIONS_TAG}}:${state}${channelId === undefined ? '' : `:${channelId}`}`,
    /** How the tries of a pending one went so far. */
    tries: (notificationId: string) => `kl:n:{${NOTIFICATIONS_TAG}}:t:${notificationId}`,
  },

  /** Hash: what is known of a request with an Idempotency-Key, by an id that does not tell it; beside it the sealed text. */
  receipt: (id: string) => `kl:i:{${id}}`,
  sealedReceipt: (id: string) => `kl:i:{${id}}:sealed`,
} as const;

/**
 * The indexes: every keyspace; by keyspace and environment; by owner; by keyspace those that were ever suspended, were
 * revoked, and by expiry.
 */
export type RedisIndex = 'keyspaces' | 'environment' | 'owner' | 'suspended' | 'revoked' | 'expiry';

/** What is looked at when its time comes. */
export type DeadlineIndexName = 'keys' | 'deliveries';

/** The tags over which deadlines are spread: a few, since every look at what is due asks all of them. */
export const DEADLINE_TAGS: readonly string[] = REDIS_TAGS.slice(0, 8);
