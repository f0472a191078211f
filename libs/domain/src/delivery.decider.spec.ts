import { describe, expect, it } from '@jest/globals';
import type { DeliveryEvent } from '@keyledger/contracts';
import { at, DAY, given, HOUR, secretOf, START } from './decider.spec-support.js';
import { deliveryDecider, type DeliveryTerms } from './delivery.decider.js';

const terms: DeliveryTerms = {
  deliveryId: 'delivery1',
  keyId: 'key1',
  keyspaceId: 'acme',
  ownerId: 'billing',
  secret: secretOf(2),
  previousSecretId: secretOf(1).secretId,
  channelId: 'channel1',
  via: 'pickup',
  jwe: 'a.b.c.d.e',
  expiresAt: at(DAY),
};
const prepared = (changes: Partial<DeliveryTerms> = {}): DeliveryEvent => ({
  type: 'SecretDeliveryPrepared',
  data: { ...terms, ...changes, preparedAt: START },
});
const delivered = (via: 'pickup' | 'webhook', attempts: number, deliveredAt = at(HOUR)): DeliveryEvent => ({
  type: 'SecretDelivered',
  data: { deliveryId: 'delivery1', keyId: 'key1', via, attempts, deliveredAt },
});
const failed: DeliveryEvent = {
  type: 'SecretDeliveryFailed',
  data: { deliveryId: 'delivery1', keyId: 'key1', attempts: 3, problem: 'answered 500', failedAt: at(HOUR) },
};
const confirm = { type: 'ConfirmDelivery', attempts: 2, now: at(HOUR) } as const;
const fail = { type: 'FailDelivery', attempts: 3, problem: 'answered 500', now: at(HOUR) } as const;
const pickUp = (now = at(HOUR)) => ({ type: 'PickUp', now }) as const;

describe('preparing a delivery', () => {
  it('records the encrypted secret', () => {
    given(deliveryDecider).when({ type: 'PrepareDelivery', terms, now: START }).thenAppends(prepared());
  });

  it('keeps the secret that was prepared first, so that a repeated rotation finds it', () => {
    const again = { ...terms, secret: secretOf(3), jwe: 'f.g.h.i.j' };
    const delivery = given(deliveryDecider, prepared());
    delivery.when({ type: 'PrepareDelivery', terms: again, now: at(1) }).thenAppends();
    expect(delivery.state).toMatchObject({ secret: secretOf(2), jwe: 'a.b.c.d.e', status: 'open' });
  });
});

describe('a delivery by webhook', () => {
  const webhook = given(deliveryDecider, prepared({ via: 'webhook' }));

  it('is done with the first confirmation, or has failed, and stays as it was', () => {
    webhook.when(confirm).thenAppends(delivered('webhook', 2));
    webhook.when(fail).thenAppends(failed);
    for (const end of [delivered('webhook', 2), failed]) {
      const over = given(deliveryDecider, prepared({ via: 'webhook' }), end);
      over.when(confirm).thenAppends();
      over.when(fail).thenAppends();
    }
  });

  it('counts although its time ran out while it was on its way', () => {
    const late = { ...confirm, now: at(2 * DAY) };
    webhook.when(late).thenAppends(delivered('webhook', 2, at(2 * DAY)));
  });

  it('cannot be picked up', () => {
    webhook.when(pickUp()).thenRefuses('NOT_ALLOWED');
  });
});

describe('picking up', () => {
  it('gives the secret out once', () => {
    given(deliveryDecider, prepared()).when(pickUp()).thenAppends(delivered('pickup', 1));
    given(deliveryDecider, prepared(), delivered('pickup', 1)).when(pickUp()).thenRefuses('GONE');
  });

  it('gives nothing out at its end, nor after it failed', () => {
    const open = given(deliveryDecider, prepared());
    open.when(pickUp(at(DAY - 0.001))).thenAppends(delivered('pickup', 1, at(DAY - 0.001)));
    open.when(pickUp(at(DAY))).thenRefuses('GONE');
    given(deliveryDecider, prepared(), failed).when(pickUp()).thenRefuses('GONE');
  });
});

it('a delivery that nobody prepared takes no command', () => {
  for (const command of [confirm, fail, pickUp()]) given(deliveryDecider).when(command).thenRefuses('NOT_FOUND');
});

it('the record of a delivery tells how it ended', () => {
  expect(given(deliveryDecider, prepared(), failed).state).toMatchObject({
    status: 'failed',
    attempts: 3,
    problem: 'answered 500',
    failedAt: at(HOUR),
  });
});
