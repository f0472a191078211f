import { QUEUES, type QueueName } from '@keyledger/contracts';
import type { Metrics } from '@keyledger/platform';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Queues } from './queues.js';

const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'failed'] as const;
const READ_WITHIN_MS = 1000;

/** Depth, lateness and outcomes of every queue. Where Redis does not answer, the gauges are left out. */
export function measureQueues(queues: Queues, metrics: Metrics): void {
  const settled = metrics.counter('keyledger_queue_jobs_settled_total', 'Tries of jobs that ended, by how', [
    'queue',
    'outcome',
  ] as const);
  queues.onSettled((queue, outcome) => settled.inc({ queue, outcome }));
  metrics.gauge('keyledger_queue_jobs', 'Jobs in a queue by their state', ['queue', 'state'], async (gauge) => {
    await eachQueue(
      async (name) => {
        const counts = await queues.queue(name).getJobCounts(...STATES);
        for (const state of STATES) gauge.set({ queue: name, state }, counts[state] ?? 0);
      },
      () => gauge.reset(),
    );
  });
  const help = 'How long the job that waits longest has been due';
  metrics.gauge('keyledger_queue_lateness_seconds', help, ['queue'], async (gauge) => {
    await eachQueue(
      async (name) => gauge.set({ queue: name }, await latenessSeconds(queues, name)),
      () => gauge.reset(),
    );
  });
}

async function latenessSeconds(queues: Queues, name: QueueName): Promise<number> {
  const queue = queues.queue(name);
  const [waiting, delayed] = await Promise.all([queue.getJobs(['waiting'], 0, 0, true), queue.getDelayed(0, 0)]);
  const dueAt = [...waiting, ...delayed].flatMap((job) => (job ? [job.timestamp + (job.delay ?? 0)] : []));
  return dueAt.length === 0 ? 0 : Math.max(0, (Date.now() - Math.min(...dueAt)) / 1000);
}

/** Clients of queues wait for Redis for ever; whoever reads the metrics does not. */
async function eachQueue(read: (name: QueueName) => Promise<void>, give: () => void): Promise<void> {
  const late = new AbortController();
  const tooLong = sleep(READ_WITHIN_MS, 'late', { signal: late.signal, ref: false }).catch(() => 'done');
  const all = Promise.all(QUEUES.map(read)).then(
    () => 'done',
    () => 'late',
  );
  if ((await Promise.race([all, tooLong])) === 'late') give();
  late.abort();
}
