import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { streams, type CommandContext, type DeliveryEvent } from '@keyledger/contracts';
import type { PickedUpDelivery } from '@keyledger/contracts/http';
import { deliveryDecider, type DeliveryCommand, type DeliveryState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { accepted } from '../outcome.js';
import { deliveryView } from './delivery.view.js';

export class PickUpDelivery extends Command<PickedUpDelivery> {
  constructor(
    readonly deliveryId: string,
    readonly context: CommandContext,
  ) {
    super();
  }
}

/** On record before the answer goes out: of two readers at once the store lets one be the first. */
@CommandHandler(PickUpDelivery)
export class PickUpDeliveryHandler implements ICommandHandler<PickUpDelivery> {
  constructor(private readonly decisions: Decisions) {}

  async execute({ deliveryId, context }: PickUpDelivery): Promise<PickedUpDelivery> {
    const outcome = await this.decisions.run<DeliveryCommand, DeliveryState | undefined, DeliveryEvent>(
      deliveryDecider,
      streams.delivery(deliveryId),
      { type: 'PickUp', now: context.now },
      context,
    );
    const { state } = accepted(outcome);
    if (!state) throw new Error(`the delivery ${deliveryId} was picked up, but is not there`);
    return { ...deliveryView(state), jwe: state.jwe };
  }
}
