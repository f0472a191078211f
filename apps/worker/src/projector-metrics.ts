import type { Metrics } from '@keyledger/platform';
import type { Projector } from '@keyledger/read-model';

/** What a projector says of itself, as gauges. */
export function measureProjector(projector: Projector, metrics: Metrics): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge(`keyledger_projector_${name}`, help, [], (own) => own.set(value()));
  };
  const state = () => projector.state();
  gauge('position', 'Position of the log up to which the read model has come', () => Number(state().position));
  gauge('lag_positions', 'How far the read model is behind the newest position of the log that is known', () => {
    const { head, position } = state();
    return head > position ? Number(head - position) : 0;
  });
  gauge('subscribed', '1 while the subscription to the event store is up', () => Number(state().subscribed));
  gauge('vouching', '1 while this worker says that the read model is current', () => Number(state().vouching));
  gauge('rebuilding', '1 while this worker builds a generation of the read model', () => Number(state().rebuilding));
  gauge('rebuild_events', 'Events in the generation that is being built, so far', () => state().rebuildEvents);
}
