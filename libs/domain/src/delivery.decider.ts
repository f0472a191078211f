import { refusal, type DeliveryEvent, type Instant, type SecretDeliveryPrepared } from '@keyledger/contracts';
import { accept, refuse, type Decider, type Decision } from './decider.js';

/** What was made for a receiver, before anybody has it. */
export type DeliveryTerms = Omit<SecretDeliveryPrepared['data'], 'preparedAt'>;

/** The way of one new secret to its receiver, as its events make it. */
export interface DeliveryState extends DeliveryTerms {
  preparedAt: Instant;
  status: 'open' | 'delivered' | 'failed';
  /** How often it was tried, as far as it is on record. */
  attempts: number;
  deliveredAt?: Instant;
  failedAt?: Instant;
  problem?: string;
}

export type DeliveryCommand =
  | { type: 'PrepareDelivery'; terms: DeliveryTerms; now: Instant }
  /** The receiver's webhook took it. What was already sent when the time ran out counts. */
  | { type: 'ConfirmDelivery'; attempts: number; now: Instant }
  /** Somebody who may have it asks for it: he is the one who gets it, and nobody after him. */
  | { type: 'PickUp'; now: Instant }
  | { type: 'FailDelivery'; attempts: number; problem: string; now: Instant };

export const deliveryDecider: Decider<DeliveryCommand, DeliveryState | undefined, DeliveryEvent> = {
  initialState: undefined,
  decide: decideDelivery,
  evolve: evolveDelivery,
};

function decideDelivery(command: DeliveryCommand, delivery: DeliveryState | undefined): Decision<DeliveryEvent> {
  const { now } = command;
  if (command.type === 'PrepareDelivery') {
    // The first that was made is the one that counts: the key may be rotated to it already.
    if (delivery) return accept();
    return accept({ type: 'SecretDeliveryPrepared', data: { ...command.terms, preparedAt: now } });
  }
  if (!delivery) return refuse(refusal('NOT_FOUND', 'There is no such delivery.'));
  const { deliveryId, keyId, status } = delivery;
  if (command.type === 'PickUp') return pickUp(delivery, now);
  if (status !== 'open') return accept();
  const { attempts } = command;
  if (command.type === 'FailDelivery') {
    const { problem } = command;
    return accept({ type: 'SecretDeliveryFailed', data: { deliveryId, keyId, attempts, problem, failedAt: now } });
  }
  const data = { deliveryId, keyId, via: 'webhook', attempts, deliveredAt: now } as const;
  return accept({ type: 'SecretDelivered', data });
}

function pickUp({ deliveryId, keyId, via, status, expiresAt }: DeliveryState, now: Instant): Decision<DeliveryEvent> {
  if (via !== 'pickup') {
    return refuse(refusal('NOT_ALLOWED', `The delivery ${deliveryId} goes to a webhook and cannot be picked up.`));
  }
  if (status !== 'open' || expiresAt <= now) {
    const why = status === 'delivered' ? 'was picked up' : 'is over';
    return refuse(refusal('GONE', `The delivery ${deliveryId} ${why}; it is given out once, and only until its end.`));
  }
  return accept({ type: 'SecretDelivered', data: { deliveryId, keyId, via, attempts: 1, deliveredAt: now } });
}

function evolveDelivery(state: DeliveryState | undefined, event: DeliveryEvent): DeliveryState {
  if (event.type === 'SecretDeliveryPrepared') return { ...event.data, status: 'open', attempts: 0 };
  if (!state) throw new RangeError(`${event.type} stands before the delivery was prepared`);
  if (event.type === 'SecretDelivered') {
    const { attempts, deliveredAt } = event.data;
    return { ...state, status: 'delivered', attempts, deliveredAt };
  }
  const { attempts, problem, failedAt } = event.data;
  return { ...state, status: 'failed', attempts, problem, failedAt };
}
