/**
 * The two ways to read. Both hold at most two chunks per client and no transaction, so a client that stops reading
 * costs its two chunks; the cursor picks up where it was when the client comes back.
 */
import { randomUUID } from 'node:crypto';
import { firstVisible, isMissing, isTombstoned } from '../streams/stream-state.js';
import type { Store } from '../store.js';
import { type Answers, streamDeleted } from '../transport.js';
import {
  caughtUpMessage,
  confirmationMessage,
  firstStreamPositionMessage,
  lastStreamPositionMessage,
  type ReadRequest,
  streamNotFoundMessage,
} from '../wire/read-messages.js';
import { ChunkReader } from './chunks.js';
import { followingCursor, rangeCursor } from './cursor.js';

/** A read that ends: at its count, or at what was the end when it began. */
export async function readRange(store: Store, request: ReadRequest, answers: Answers): Promise<void> {
  await readable(store);
  let sending: Promise<void> = Promise.resolve();
  if (request.stream !== undefined) {
    const state = store.state(request.stream);
    if (isTombstoned(state)) throw streamDeleted(request.stream);
    if (isMissing(state)) {
      await answers.send([streamNotFoundMessage(request.stream)]);
      answers.end();
      return;
    }
    if (request.compatibility >= 1) {
      sending = answers.send([firstStreamPositionMessage(firstVisible(state)), lastStreamPositionMessage(state.last)]);
    }
  }
  const reader = new ChunkReader(store, rangeCursor(store, request), request);
  for (let ended = false; !ended && !answers.over;) {
    const chunk = reader.take();
    await sending;
    sending = answers.send(chunk.messages);
    ended = chunk.ended;
    await giveWay(store);
  }
  await sending;
  answers.end();
}

/** A subscription: all that follows its start, then every commit as it comes, until the client leaves. */
export async function subscribe(store: Store, request: ReadRequest, answers: Answers): Promise<void> {
  await readable(store);
  const alarm = new Alarm();
  const stopListening = store.onCommit(() => alarm.ring());
  answers.whenOver(() => {
    stopListening();
    alarm.ring();
  });
  const reader = new ChunkReader(store, followingCursor(store, request), request);
  let sending = answers.send([confirmationMessage(randomUUID())]);
  if (request.stream !== undefined && isTombstoned(store.state(request.stream))) {
    await sending;
    throw streamDeleted(request.stream);
  }
  let live = false;
  while (!answers.over) {
    alarm.reset();
    const { messages, ended } = reader.take();
    const tombstoned = ended && request.stream !== undefined && isTombstoned(store.state(request.stream));
    if (ended && !live) {
      live = true;
      messages.push(...reader.checkpointAt(store.head), caughtUp(store, request));
    }
    await sending;
    sending = answers.send(messages);
    if (tombstoned) {
      await sending;
      throw streamDeleted(request.stream ?? '');
    }
    if (ended) await alarm.rung();
    await giveWay(store);
  }
}

/** Tells the client that it has all there was. */
function caughtUp(store: Store, request: ReadRequest): Buffer {
  const at = request.stream === undefined ? { position: store.head } : { revision: store.state(request.stream).last };
  return caughtUpMessage(at, Date.now());
}

/** Lets other work run. */
async function giveWay(store: Store): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  store.remapIfDue();
  await readable(store);
}

/** Waits while the file is mapped anew. */
async function readable(store: Store): Promise<void> {
  while (store.ready !== undefined) await store.ready;
}

/** Rings once for however many commits came since `reset`. */
class Alarm {
  #ringing = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#ringing = true;
    this.#wake?.();
  }

  reset(): void {
    this.#ringing = false;
  }

  rung(): Promise<void> {
    if (this.#ringing) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
