import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { refusal } from '@keyledger/contracts';
import { DeliveryList, ListDeliveriesQuery, PickedUpDelivery } from '@keyledger/contracts/http';
import { contextOf, CurrentCaller, RefusalError, type Caller } from '@keyledger/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ByPossession, Needs } from '../http/needs.js';
import { DeliveryReaders } from './delivery-readers.js';
import { deliveryView } from './delivery.view.js';
import { PickUpDelivery } from './pick-up-delivery.handler.js';

/** New secrets of rotations by policy, on their way to receivers. */
@Controller('v1/deliveries')
export class DeliveriesController {
  constructor(
    private readonly commands: CommandBus,
    private readonly readers: DeliveryReaders,
  ) {}

  /** List the deliveries of a key, the newest first. What they bring is not shown. */
  @Get()
  @Needs('keys:read', { refusals: [404] })
  async list(@Query() { keyId }: ListDeliveriesQuery, @CurrentCaller() caller: Caller): Promise<DeliveryList> {
    return { items: (await this.readers.list(caller, keyId)).map(deliveryView) };
  }

  /**
   * Pick up a new secret, encrypted to the receiver's public key. It is given out once: a second request, or one after
   * its end, gets 410. Needs a management key with `keys:rotate` there, or a secret of the very key, such as the old one.
   */
  @Get(':deliveryId')
  @ByPossession({ refusals: [403, 404, 410] })
  async pickUp(
    @Param('deliveryId') deliveryId: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PickedUpDelivery> {
    // Fastify answers HEAD with what GET would do, and that would take the secret away.
    if (request.method !== 'GET') {
      throw new RefusalError(refusal('METHOD_NOT_ALLOWED', 'A delivery is picked up with GET.'));
    }
    const { principal } = await this.readers.readerOf(request, deliveryId);
    const picked = await this.commands.execute(new PickUpDelivery(deliveryId, contextOf(request, principal)));
    void reply.header('cache-control', 'no-store');
    return picked;
  }
}
