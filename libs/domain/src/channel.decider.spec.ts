import { describe, expect, it } from '@jest/globals';
import type { ChannelEvent, ChannelSecret, ChannelTerms } from '@keyledger/contracts';
import { channelDecider, signingSecrets, type ChannelCommand, type ChannelState } from './channel.decider.js';
import { at, DAY, given, HOUR, START } from './decider.spec-support.js';

type Register = Extract<ChannelCommand, { type: 'RegisterChannel' }>;

const secret = (n: number, endsAt?: string): ChannelSecret => ({
  secretId: `s${n}`,
  sealed: `k1.sealed${n}`,
  createdAt: START,
  ...(endsAt !== undefined && { endsAt }),
});

const register = (changes: Partial<Register> = {}): Register => ({
  type: 'RegisterChannel',
  channelId: 'ch1',
  name: 'on call',
  channelType: 'webhook',
  audience: { keyspaceId: 'acme' },
  target: { url: 'https://hooks.example/a' },
  secret: secret(1),
  now: START,
  ...changes,
});

const registered = (changes: Partial<ChannelTerms> = {}): ChannelEvent => ({
  type: 'ChannelRegistered',
  data: {
    channelId: 'ch1',
    name: 'on call',
    type: 'webhook',
    audience: { keyspaceId: 'acme' },
    target: { url: 'https://hooks.example/a' },
    secrets: [secret(1)],
    createdAt: START,
    ...changes,
  },
});

const disabled: ChannelEvent = {
  type: 'ChannelChanged',
  data: { channelId: 'ch1', changes: { disabled: { after: 'answered 410' } }, changedAt: at(HOUR) },
};
const removed: ChannelEvent = { type: 'ChannelRemoved', data: { channelId: 'ch1', removedAt: at(HOUR) } };

const TRAIL = { url: 'https://siem.example/in', format: 'cloudevents' as const };
const P256 = { kty: 'EC', crv: 'P-256', x: 'x'.repeat(43), y: 'y'.repeat(43) };
const X25519 = { kty: 'OKP', crv: 'X25519', x: 'x'.repeat(43) };

describe('registering a channel', () => {
  it('records where it leads, whom it concerns and its secret', () => {
    given(channelDecider)
      .when(register({ kinds: ['key.leaked'] }))
      .thenAppends(registered({ kinds: ['key.leaked'] }));
  });

  it('takes a webhook for the trail of the system or a keyspace', () => {
    given(channelDecider)
      .when(register({ target: TRAIL }))
      .thenAppends(registered({ target: TRAIL }));
    given(channelDecider)
      .when(register({ target: TRAIL, audience: 'system' }))
      .thenAppends(registered({ target: TRAIL, audience: 'system' }));
  });

  it('keeps a secret only where something is signed with it', () => {
    const target = { addresses: ['ops@example.com'] };
    given(channelDecider)
      .when(register({ channelType: 'email', target }))
      .thenAppends(registered({ type: 'email', target, secrets: [] }));
    const pickup = { publicKey: X25519, via: 'pickup' as const };
    given(channelDecider)
      .when(register({ channelType: 'receiver', audience: { ownerId: 'o' }, target: pickup }))
      .thenAppends(registered({ type: 'receiver', audience: { ownerId: 'o' }, target: pickup, secrets: [] }));
  });

  it.each<[string, Partial<Register>, string[]]>([
    ['a webhook without url', { target: {} }, ['target.url']],
    ['a webhook with addresses', { target: { url: 'https://a.example/', addresses: [] } }, ['target.addresses']],
    ['what is no URL', { target: { url: 'hooks.example' } }, ['target.url']],
    ['another scheme', { target: { url: 'ftp://hooks.example/' } }, ['target.url']],
    ['a password in a URL', { target: { url: 'https://a:b@hooks.example/' } }, ['target.url']],
    ['a fragment', { target: { url: 'https://hooks.example/#a' } }, ['target.url']],
    ['no addresses', { channelType: 'email', target: { addresses: [] } }, ['target.addresses']],
    [
      'what is no address, and one twice',
      { channelType: 'email', target: { addresses: ['a@b.example', 'a b@c', 'a@b.example', 'x@y\r\nz'] } },
      ['target.addresses[1]', 'target.addresses[2]', 'target.addresses[3]'],
    ],
    ['a Slack webhook without url', { channelType: 'slack', target: {} }, ['target.url']],
    ['an empty audience', { audience: {} as never }, ['audience']],
    [
      'a receiver without an owner',
      { channelType: 'receiver', target: { publicKey: P256, via: 'pickup' } },
      ['audience.ownerId'],
    ],
    [
      'a receiver by webhook without url',
      { channelType: 'receiver', audience: { ownerId: 'o' }, target: { publicKey: P256, via: 'webhook' } },
      ['target.url'],
    ],
    [
      'a private key',
      {
        channelType: 'receiver',
        audience: { ownerId: 'o' },
        target: { publicKey: { ...P256, d: 'x' }, via: 'pickup' },
      },
      ['target.publicKey'],
    ],
    [
      'a key on another curve',
      {
        channelType: 'receiver',
        audience: { ownerId: 'o' },
        target: { publicKey: { ...P256, crv: 'P-384' }, via: 'pickup' },
      },
      ['target.publicKey'],
    ],
    [
      'a format of anything but a webhook',
      { channelType: 'email', target: { addresses: ['a@b.example'], format: 'cloudevents' } },
      ['target.format'],
    ],
    [
      'a format that there is not',
      { target: { url: 'https://a.example/', format: 'xml' as never } },
      ['target.format'],
    ],
    ['kinds where the whole trail goes', { target: TRAIL, kinds: ['key.leaked'] }, ['kinds']],
    ['the trail of an owner', { target: TRAIL, audience: { keyspaceId: 'acme', ownerId: 'o' } }, ['audience.ownerId']],
    ['no kinds', { kinds: [] }, ['kinds']],
    ['a kind twice', { kinds: ['key.leaked', 'key.leaked'] }, ['kinds[1]']],
  ])('refuses %s and names the field', (_what, changes, fields) => {
    given(channelDecider)
      .when(register(changes))
      .thenRefuses('UNPROCESSABLE', ...fields);
  });

  it('refuses an id that is taken', () => {
    given(channelDecider, registered()).when(register()).thenRefuses('CONFLICT');
  });
});

describe('changing a channel', () => {
  it('records before and after of what changed, and nothing where nothing did', () => {
    const channel = given(channelDecider, registered());
    channel.when({ type: 'ChangeChannel', name: 'EU', kinds: ['key.expired'], now: at(DAY) }).thenAppends({
      type: 'ChannelChanged',
      data: {
        channelId: 'ch1',
        changes: { name: { before: 'on call', after: 'EU' }, kinds: { after: ['key.expired'] } },
        changedAt: at(DAY),
      },
    });
    channel.when({ type: 'ChangeChannel', name: 'on call', enabled: true, now: at(DAY) }).thenAppends();
  });

  it('never makes a channel for news one for the trail, nor the other way round', () => {
    given(channelDecider, registered())
      .when({ type: 'ChangeChannel', target: TRAIL, now: at(DAY) })
      .thenRefuses('UNPROCESSABLE', 'target.format');
    given(channelDecider, registered({ target: TRAIL }))
      .when({ type: 'ChangeChannel', target: { url: TRAIL.url }, now: at(DAY) })
      .thenRefuses('UNPROCESSABLE', 'target.format');
  });

  it('takes kinds away with null', () => {
    given(channelDecider, registered({ kinds: ['key.leaked'] }))
      .when({ type: 'ChangeChannel', kinds: null, now: at(DAY) })
      .thenAppends({
        type: 'ChannelChanged',
        data: { channelId: 'ch1', changes: { kinds: { before: ['key.leaked'] } }, changedAt: at(DAY) },
      });
  });

  it('is disabled once, keeps its reason, and can be enabled again', () => {
    given(channelDecider, registered())
      .when({ type: 'DisableChannel', reason: 'answered 410', now: at(HOUR) })
      .thenAppends(disabled);
    const dead = given(channelDecider, registered(), disabled);
    dead.when({ type: 'DisableChannel', reason: 'again', now: at(DAY) }).thenAppends();
    dead.when({ type: 'ChangeChannel', enabled: true, now: at(DAY) }).thenAppends({
      type: 'ChannelChanged',
      data: { channelId: 'ch1', changes: { disabled: { before: 'answered 410' } }, changedAt: at(DAY) },
    });
    expect(dead.state?.disabled).toBe('answered 410');
  });

  it('is gone for every command once it was removed', () => {
    const gone = given(channelDecider, registered(), removed);
    gone.when({ type: 'RemoveChannel', now: at(DAY) }).thenRefuses('NOT_FOUND');
    gone.when({ type: 'ChangeChannel', name: 'x', now: at(DAY) }).thenRefuses('NOT_FOUND');
    given(channelDecider)
      .when({ type: 'RemoveChannel', now: at(DAY) })
      .thenRefuses('NOT_FOUND');
  });
});

describe('the signing secrets of a webhook', () => {
  const rotate = (overlapEndsAt: string): ChannelCommand => ({
    type: 'RotateChannelSecret',
    secret: secret(2),
    overlapEndsAt,
    now: at(HOUR),
  });
  const changedTo = (...after: ChannelSecret[]): ChannelEvent => ({
    type: 'ChannelChanged',
    data: { channelId: 'ch1', changes: { secrets: { before: [secret(1)], after } }, changedAt: at(HOUR) },
  });

  it('both sign until the overlap ends, then the new one alone', () => {
    const event = changedTo(secret(2), secret(1, at(DAY)));
    given(channelDecider, registered())
      .when(rotate(at(DAY)))
      .thenAppends(event);
    const state = given(channelDecider, registered(), event).state as ChannelState;
    expect(signingSecrets(state, at(DAY - 1)).map(({ secretId }) => secretId)).toEqual(['s2', 's1']);
    expect(signingSecrets(state, at(DAY)).map(({ secretId }) => secretId)).toEqual(['s2']);
  });

  it('end at once without an overlap', () => {
    given(channelDecider, registered())
      .when(rotate(at(HOUR)))
      .thenAppends(changedTo(secret(2)));
  });

  it('keep their overlap: a second rotation within it is refused, unless it ends all that was', () => {
    const overlapping = registered({ secrets: [secret(3), secret(1, at(2 * HOUR))] });
    given(channelDecider, overlapping)
      .when(rotate(at(DAY)))
      .thenRefuses('CONFLICT');
    given(channelDecider, overlapping)
      .when(rotate(at(HOUR)))
      .thenAppends({
        type: 'ChannelChanged',
        data: {
          channelId: 'ch1',
          changes: { secrets: { before: [secret(3), secret(1, at(2 * HOUR))], after: [secret(2)] } },
          changedAt: at(HOUR),
        },
      });
  });

  it('do not exist for an e-mail channel', () => {
    given(channelDecider, registered({ type: 'email', target: { addresses: ['a@b.example'] }, secrets: [] }))
      .when(rotate(at(DAY)))
      .thenRefuses('UNPROCESSABLE');
  });
});
