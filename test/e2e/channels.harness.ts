import { expect } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import {
  eventually,
  startReceiver,
  startSystem,
  type Answer,
  type Behaviour,
  type Client,
  type Delivery,
  type Receiver,
  type System,
} from '../support/index.js';
import { Desk } from './api.harness.js';
import type { Ledger } from './clock.desk.js';

type Body = Answer['body'];

/** A whole system whose messages may go to a receiver of the test's own, and a keyspace in it. */
export interface ToldSystem {
  system: System;
  desk: Desk;
  receiver: Receiver;
  keyspaceId: string;
  stop: () => Promise<void>;
}

export async function startToldSystem(
  behaviours: Record<string, Behaviour>,
  env: NodeJS.ProcessEnv = {},
): Promise<ToldSystem> {
  const receiver = await startReceiver(behaviours);
  const system = await startSystem({ KEYLEDGER_ALLOWED_TARGETS: '127.0.0.1', ...env });
  const desk = new Desk(system);
  const stop = async (): Promise<void> => {
    await desk.dispose();
    await system.stop();
    await receiver.close();
  };
  return { system, desk, receiver, keyspaceId: await desk.keyspace(), stop };
}

/** Registers a webhook and expects success. */
export async function webhook(client: Client, url: string, more: object = {}): Promise<Body> {
  const request = { name: 'test', type: 'webhook', audience: 'system', target: { url }, ...more };
  const { status, body } = await client.post('/v1/channels', request);
  expect({ status, body }).toMatchObject({ status: 201 });
  return body;
}

/** The payload of a message, once its signature was checked by the reference library. */
export function verified(delivery: Delivery, signingSecret: string): Body {
  return new Webhook(signingSecret).verify(delivery.text, delivery.headers as Record<string, string>);
}

/** The first message to a path that the condition takes. */
export function arrival(
  receiver: Receiver,
  path: string,
  fits: (payload: Body) => boolean = () => true,
): Promise<Delivery> {
  return eventually(`a message came to ${path}`, () => {
    const found = receiver.at(path).find(({ text }) => fits(JSON.parse(text)));
    if (!found) throw new Error(`there are ${receiver.at(path).length} others`);
    return found;
  });
}

/** A notification, once it has come to a state. */
export function outcome(client: Client, notificationId: string, state: string): Promise<Body> {
  return eventually(`the notification is ${state}`, async () => {
    const { body } = await client.get(`/v1/notifications/${notificationId}`);
    if (body.state !== state) throw new Error(JSON.stringify(body));
    return body;
  });
}

/** The warnings of a key's ends that are on record, each as kind, key and day: what quiet rules go by. */
export async function recordedWarnings(ledger: Ledger, keyId: string): Promise<string[]> {
  return (await ledger.key(keyId)).flatMap(({ event, recordedAt }) => {
    if (event.type !== 'KeyExpiryAnnounced') return [];
    const kind = event.data.end === 'key' ? 'key.expiring' : 'key.grace_ending';
    return [`${kind} ${keyId} ${recordedAt.slice(0, 10)}`];
  });
}

/** The warnings that came to a path, in the same words. */
export function toldWarnings(receiver: Receiver, path: string): string[] {
  return receiver.at(path).flatMap(({ text }) => {
    const { type, data } = JSON.parse(text);
    return data.events.map(({ keys, happenedAt }: { keys: { keyId: string }[]; happenedAt: string }) => {
      return `${type} ${keys[0]?.keyId} ${happenedAt.slice(0, 10)}`;
    });
  });
}
