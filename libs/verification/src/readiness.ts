import { OnItsWay } from '@keyledger/platform';
import { ReadModelUnavailable, type ReadModelView } from '@keyledger/read-model';

/** For the readiness of whoever answers by the read model. @throws ReadModelUnavailable; OnItsWay while it is made current */
export function assertCurrent({ fresh, reason = 'stale', reached }: ReadModelView): void {
  if (fresh) return;
  const unavailable = new ReadModelUnavailable(reason);
  if (reached === undefined) throw unavailable;
  throw new OnItsWay(`${unavailable.message}; position ${reached} of the log is reached`, Number(reached));
}
