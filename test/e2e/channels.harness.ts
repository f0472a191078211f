import { expect } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { eventually, type Answer, type Client, type Delivery, type Receiver } from '../support/index.js';

type Body = Answer['body'];

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
