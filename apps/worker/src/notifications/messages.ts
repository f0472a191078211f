import type { NotificationKind } from '@keyledger/contracts';
import type { NewsItem, NotificationState } from '@keyledger/domain';

/** More pieces of news than this are counted, not listed, so that a message stays below 20 kB. */
const LISTED = 30;

/** What goes to a webhook: `type` and `timestamp` as Standard Webhooks has them, `data` the same for one and for many. */
export interface WebhookPayload {
  type: NotificationKind;
  timestamp: string;
  data: {
    notificationId: string;
    channelId: string;
    /** How many pieces of news it is about; `events` lists the first of them. */
    count: number;
    events: Pick<NewsItem, 'eventId' | 'happenedAt' | 'keyspaceId' | 'ownerId' | 'keys' | 'details'>[];
  };
}

export function webhookPayload({ notificationId, channelId, kind, items }: NotificationState): WebhookPayload {
  const events = items.slice(0, LISTED).map(({ eventId, happenedAt, keyspaceId, ownerId, keys, details }) => ({
    eventId,
    happenedAt,
    ...(keyspaceId !== undefined && { keyspaceId }),
    ...(ownerId !== undefined && { ownerId }),
    keys,
    details,
  }));
  const timestamp = items[0]?.happenedAt ?? '';
  return { type: kind, timestamp, data: { notificationId, channelId, count: items.length, events } };
}

const TITLES: Record<NotificationKind, string> = {
  'key.issued': 'was issued',
  'key.rotated': 'was rotated',
  'key.revoked': 'was revoked',
  'key.suspended': 'was suspended',
  'key.reinstated': 'works again',
  'key.changed': 'was changed',
  'key.expiring': 'expires soon',
  'key.expired': 'has expired',
  'key.grace_ending': 'has an old secret that ends soon',
  'key.grace_ended': 'has no old secret any more',
  'key.rotation_due': 'is due for rotation',
  'key.unused': 'is not used',
  'key.leaked': 'was found where it should not be',
  'secret.ready': 'has a new secret to pick up',
  'secret.delivery_failed': 'has a new secret that could not be delivered',
  'leak.reported': 'was reported as leaked',
  'leak.resolved': 'leak incident was closed',
  'keyspace.changed': 'keyspace was changed',
  'audit.mismatch': 'audit trail does not match its checkpoint',
  'channel.test': 'this is a test of the channel',
};

/** One line: what happened, and to which key. */
export function titleOf({ kind, items }: NotificationState): string {
  const [first] = items;
  if (items.length > 1) return `${items.length} × ${kind}${where(first)}`;
  const [key] = first?.keys ?? [];
  const title = TITLES[kind];
  if (!key) return `${title.charAt(0).toUpperCase()}${title.slice(1)}${where(first)}`;
  const name = key.name === '' ? key.keyId : `"${key.name}"`;
  return `Key ${name} ${title}${where(first, key.environment)}`;
}

function where(item: NewsItem | undefined, environment?: string): string {
  if (item?.keyspaceId === undefined) return '';
  return ` (${item.keyspaceId}${environment === undefined ? '' : ` ${environment}`})`;
}

/** The same for people, with everything that is known. */
export function textOf(notification: NotificationState): string {
  const { items, kind, notificationId } = notification;
  const blocks = items.slice(0, LISTED).map(blockOf);
  const more = items.length > LISTED ? [`and ${items.length - LISTED} more`] : [];
  return [titleOf(notification), ...blocks, ...more, `${kind}, notification ${notificationId}`].join('\n\n');
}

function blockOf({ happenedAt, ownerId, keys, details }: NewsItem): string {
  const lines = keys.flatMap(({ keyId, name, environment, mask }) => [
    `key: ${[name, mask, keyId].filter(Boolean).join(', ')}`,
    `environment: ${environment}`,
  ]);
  const facts = Object.entries(details).map(([name, value]) => {
    return `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });
  return [...lines, ...(ownerId === undefined ? [] : [`owner: ${ownerId}`]), ...facts, `at: ${happenedAt}`].join('\n');
}

/** What Slack and its kin take. Names of keys cannot address people or make links: the three letters are escaped. */
export function slackPayload(notification: NotificationState): { text: string } {
  const text = textOf(notification).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const [title = '', ...rest] = text.split('\n');
  return { text: [`*${title}*`, ...rest].join('\n') };
}
