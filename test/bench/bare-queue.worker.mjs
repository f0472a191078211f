/** A queue of BullMQ, filled with jobs that do nothing, and one worker on it: `<redis url> <jobs> <concurrency>`. */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { randomUUID } from 'node:crypto';

const [url, count, concurrency] = process.argv.slice(2);
const COUNT = Number(count);
const connect = () => new Redis(url, { maxRetriesPerRequest: null });
const clients = [connect(), connect()];
const prefix = '{bench}';
const queue = new Queue('bare', { connection: clients[0], prefix });
for (let from = 0; from < COUNT; from += 1000) {
  await queue.addBulk(
    Array.from({ length: Math.min(1000, COUNT - from) }, (_, index) => ({
      name: 'look',
      data: { id: randomUUID(), at: Date.now() },
      opts: { jobId: `bare-${from + index}`, removeOnComplete: true },
    })),
  );
}
const before = process.cpuUsage();
const began = performance.now();
await new Promise((resolve) => {
  let done = 0;
  const options = { connection: clients[1], prefix, concurrency: Number(concurrency) };
  const worker = new Worker('bare', async () => undefined, options);
  worker.on('completed', () => {
    done += 1;
    if (done === COUNT) resolve();
  });
});
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ perSecond: COUNT / seconds, cpuMicros: (user + system) / COUNT }));
await queue.obliterate({ force: true });
process.exit();
