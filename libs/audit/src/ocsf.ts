import type { EventType, LedgerEvent, RecordedEvent } from '@keyledger/contracts';
import { isIP } from 'node:net';
import { happenedAt } from './replay.js';
import type { Subject } from './subject.js';

/**
 * Events for a SIEM: OCSF 1.8.0 in the structured form of CloudEvents 1.0.2. The table below is the whole mapping.
 */
const OCSF_VERSION = '1.8.0';

const ENTITY_MANAGEMENT = { category_uid: 3, class_uid: 3004, class_name: 'entity_management' } as const;
const DETECTION_FINDING = { category_uid: 2, class_uid: 2004, class_name: 'detection_finding' } as const;

/** Activities of Entity Management (3004). */
const CREATE = 1;
const READ = 2;
const UPDATE = 3;
const DELETE = 4;
const DISABLE = 9;
const SUSPEND = 12;
const RESUME = 13;
const OTHER = 99;
/** Activities of Detection Finding (2004). */
const OPEN = 1;
const CHANGE = 2;
const CLOSE = 3;

const INFORMATIONAL = 1;
const LOW = 2;
const MEDIUM = 3;
const HIGH = 4;
const CRITICAL = 5;

interface Mapping {
  class: typeof ENTITY_MANAGEMENT | typeof DETECTION_FINDING;
  activity: number;
  severity: number;
  /** What kind of thing it is about. */
  entity: string;
}

const entity = (of: string, activity: number, severity = INFORMATIONAL): Mapping => ({
  class: ENTITY_MANAGEMENT,
  activity,
  severity,
  entity: of,
});
const finding = (activity: number, severity: number): Mapping => ({
  class: DETECTION_FINDING,
  activity,
  severity,
  entity: 'Leak',
});

const KEY = 'API Key';
const KEYSPACE = 'Keyspace';
const CHANNEL = 'Notification Channel';
const NOTIFICATION = 'Notification';
const DELIVERY = 'Secret Delivery';
const TRAIL = 'Audit Trail';
const REVIEW = 'Access Review';

/** What is not named here is "other", of informational severity, with everything it says in `unmapped`. */
const MAPPINGS: { readonly [T in EventType]?: Mapping } = {
  KeyIssued: entity(KEY, CREATE),
  KeyImported: entity(KEY, CREATE),
  KeyRotated: entity(KEY, UPDATE),
  KeyRevoked: entity(KEY, DISABLE, LOW),
  KeySuspended: entity(KEY, SUSPEND, LOW),
  KeyReinstated: entity(KEY, RESUME, LOW),
  KeyDetailsChanged: entity(KEY, UPDATE),
  KeyExpiryAnnounced: entity(KEY, OTHER),
  KeyRotationAnnounced: entity(KEY, OTHER),
  KeyUnusedAnnounced: entity(KEY, OTHER),
  KeyExpired: entity(KEY, DISABLE),
  KeyGraceEnded: entity(KEY, UPDATE),
  KeyGraceExtended: entity(KEY, UPDATE),
  KeyLeakReported: finding(OPEN, CRITICAL),
  KeyspaceCreated: entity(KEYSPACE, CREATE),
  KeyspacePolicyChanged: entity(KEYSPACE, UPDATE, LOW),
  KeyspaceArchived: entity(KEYSPACE, DISABLE, LOW),
  LeakReported: finding(OPEN, HIGH),
  LeakMatched: finding(CHANGE, CRITICAL),
  LeakActionTaken: finding(CHANGE, HIGH),
  LeakResolved: finding(CLOSE, INFORMATIONAL),
  ChannelRegistered: entity(CHANNEL, CREATE),
  ChannelChanged: entity(CHANNEL, UPDATE),
  ChannelRemoved: entity(CHANNEL, DELETE),
  NotificationRequested: entity(NOTIFICATION, CREATE),
  NotificationDelivered: entity(NOTIFICATION, UPDATE),
  NotificationFailed: entity(NOTIFICATION, UPDATE, MEDIUM),
  SecretDeliveryPrepared: entity(DELIVERY, CREATE),
  SecretDelivered: entity(DELIVERY, UPDATE),
  SecretDeliveryFailed: entity(DELIVERY, UPDATE, MEDIUM),
  KeyUsageRecorded: entity(KEY, OTHER),
  AccessReviewStarted: entity(REVIEW, CREATE),
  AccessReviewScoped: entity(REVIEW, UPDATE),
  AccessAttested: entity(KEY, OTHER),
  AccessReviewClosed: entity(REVIEW, UPDATE),
  AuditTrailRead: entity(TRAIL, READ),
  AuditTrailExported: entity(TRAIL, READ, LOW),
};

const FAILURES: readonly EventType[] = ['NotificationFailed', 'SecretDeliveryFailed'];

/** An event as OCSF has it. `unmapped` is what the trail shows of its data. */
function ocsfOf(
  recorded: RecordedEvent,
  subject: Subject,
  unmapped: Record<string, unknown>,
  productVersion: string,
): Record<string, unknown> {
  const { event, id, stream, recordedAt, position, metadata } = recorded;
  const { class: of, activity, severity, entity: kind } = MAPPINGS[event.type] ?? entity('Other', OTHER);
  const { actor, reason, clientAddress, userAgent } = metadata;
  const isKey = actor.type === 'key';
  // Withheld or erased it is a word, and a receiver that checks what it gets takes nothing but an address for `ip`.
  const address = clientAddress === undefined || isIP(clientAddress) === 0 ? undefined : clientAddress;
  return {
    activity_id: activity,
    ...(activity === OTHER && { activity_name: event.type }),
    category_uid: of.category_uid,
    class_uid: of.class_uid,
    type_uid: of.class_uid * 100 + activity,
    severity_id: severity,
    status_id: FAILURES.includes(event.type) ? 2 : 1,
    time: Date.parse(happenedAt(recorded)),
    message: `${event.type}: ${reason}`,
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Keyledger', vendor_name: 'Keyledger', version: productVersion },
      uid: id,
      event_code: event.type,
      correlation_uid: metadata.$correlationId,
      logged_time: Date.parse(recordedAt),
      ...(subject.keyspaceId !== undefined && { tenant_uid: subject.keyspaceId }),
    },
    actor: { user: { uid: actor.id, ...(isKey ? { type_id: 99, type: KEY } : { type_id: 3, type: 'System' }) } },
    ...(address !== undefined && { src_endpoint: { ip: address } }),
    ...(userAgent !== undefined && { http_request: { user_agent: userAgent } }),
    ...about(of, kind, recorded, subject),
    unmapped: {
      position: String(position),
      stream,
      request_id: metadata.requestId,
      ...(clientAddress !== address && { client_address: clientAddress }),
      ...(actor.onBehalfOf !== undefined && { on_behalf_of: actor.onBehalfOf }),
      ...(subject.ownerId !== undefined && { owner_id: subject.ownerId }),
      data: unmapped,
    },
  };
}

function about(of: Mapping['class'], kind: string, recorded: RecordedEvent, subject: Subject): Record<string, unknown> {
  const { event, stream, id } = recorded;
  const uid = subject.keyId ?? stream.slice(stream.indexOf('-') + 1);
  if (of === DETECTION_FINDING) {
    const { leakId } = event.data as { leakId?: string };
    return {
      is_alert: event.type === 'KeyLeakReported' || event.type === 'LeakMatched',
      finding_info: { uid: leakId ?? id, title: 'An API key was found where it should not be', types: [event.type] },
      ...(subject.keyId !== undefined && { resources: [{ uid: subject.keyId, type: KEY }] }),
    };
  }
  const thing = { type_id: 99, type: kind, uid: kind === KEY ? uid : stream.slice(stream.indexOf('-') + 1) };
  const name = nameIn(event);
  const result = resultOf(event);
  return {
    entity: { ...thing, ...(name !== undefined && { name }) },
    ...(result && { entity_result: { ...thing, ...result } }),
  };
}

function nameIn({ data }: LedgerEvent): string | undefined {
  return 'name' in data && typeof data.name === 'string' ? data.name : undefined;
}

/** What a rotation made of the key. */
function resultOf(event: LedgerEvent): Record<string, unknown> | undefined {
  return event.type === 'KeyRotated' ? { data: { secret_id: event.data.secret.secretId } } : undefined;
}

const SCHEMAS = `https://schema.ocsf.io/${OCSF_VERSION}/classes/`;

/** The same in an envelope that any receiver of events knows. `sequence` orders as text. */
export function cloudEventOf(
  recorded: RecordedEvent,
  subject: Subject,
  unmapped: Record<string, unknown>,
  productVersion: string,
): Record<string, unknown> {
  const { event, id, stream, recordedAt, position, metadata } = recorded;
  return {
    specversion: '1.0',
    id,
    source: 'urn:keyledger',
    type: `keyledger.${event.type}`,
    subject: subject.keyId ?? stream,
    time: happenedAt(recorded),
    datacontenttype: 'application/json',
    dataschema: `${SCHEMAS}${(MAPPINGS[event.type] ?? entity('Other', OTHER)).class.class_name}`,
    sequence: String(position).padStart(20, '0'),
    recordedtime: recordedAt,
    authtype: metadata.actor.type === 'key' ? 'api_key' : 'system',
    authid: metadata.actor.id,
    data: ocsfOf(recorded, subject, unmapped, productVersion),
  };
}
