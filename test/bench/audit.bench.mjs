/** The audit trail over a long log: `BENCH_EVENTS` events (1,000,000 unless it says less) in the embedded store. */
import { stop } from './processes.mjs';
import { benchHistory, seedEvents } from './audit-history.bench.mjs';
import { startEventStore } from './system.mjs';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 1_000_000);

export async function benchAudit() {
  const eventStore = await startEventStore();
  await seedEvents(eventStore.url, EVENTS);
  await benchHistory(eventStore.url, EVENTS);
  await stop(eventStore.child);
}
