import { streams, type DeliveryEvent } from '@keyledger/contracts';
import { deliveryDecider, type DeliveryCommand, type DeliveryState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { clockContext } from '../clock-context.js';

/** A command on a delivery, in the name of time. @throws as `Decisions.run`; Error where it is refused */
export async function decideDelivery(
  decisions: Decisions,
  deliveryId: string,
  command: DeliveryCommand,
  reason: string,
): Promise<{ state: DeliveryState | undefined; revision: number }> {
  const outcome = await decisions.run<DeliveryCommand, DeliveryState | undefined, DeliveryEvent>(
    deliveryDecider,
    streams.delivery(deliveryId),
    command,
    clockContext(`${command.type} ${deliveryId}`, reason, command.now),
  );
  if (!outcome.accepted) throw new Error(outcome.refusal.detail);
  return outcome;
}
