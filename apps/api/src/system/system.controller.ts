import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import {
  BackupRequest,
  BackupView,
  ProjectionsView,
  StartedRebuild,
  StoreStatus,
  SystemStatus,
} from '@keyledger/contracts/http';
import { EventStore } from '@keyledger/event-store';
import { instantOf } from '@keyledger/contracts';
import { ReadModel } from '@keyledger/read-model';
import { Needs } from '../http/needs.js';
import { VERSION } from '../version.js';
import { EmbeddedStore } from './embedded-store.js';

const startedAt = instantOf(Date.now());

@Controller('v1/system')
export class SystemController {
  constructor(
    private readonly eventStore: EventStore,
    private readonly readModel: ReadModel,
    private readonly embedded: EmbeddedStore,
  ) {}

  /** Say how the system is: versions, whether its stores answer, how far the read model is. */
  @Get('status')
  @Needs('system:read')
  async status(): Promise<SystemStatus> {
    const [eventStore, projections] = await Promise.all([
      answers(this.eventStore.ping()),
      this.readModel.projectionStatus().catch((error: unknown) => error as Error),
    ]);
    const reachable = !(projections instanceof Error);
    return {
      version: VERSION,
      node: process.version,
      startedAt,
      eventStore,
      redis: reachable ? { reachable } : { reachable, detail: projections.message },
      ...(reachable && { projections }),
    };
  }

  /** Say how far the read model is behind the events, and how a rebuild goes. */
  @Get('projections')
  @Needs('system:read')
  async projections(): Promise<ProjectionsView> {
    return this.readModel.projectionStatus();
  }

  /** Build the read model anew from the first event, beside the one that answers, and switch when it is complete. */
  @Post('projections/rebuild')
  @HttpCode(202)
  @Needs('system:operate')
  async rebuild(): Promise<StartedRebuild> {
    return this.readModel.requestRebuild();
  }

  /** Copy the embedded event store into a folder of its machine while it runs. Any other store is left to its tools. */
  @Post('backup')
  @HttpCode(200)
  @Needs('system:operate', { refusals: [422] })
  async backup(@Body() request: BackupRequest): Promise<BackupView> {
    return { folder: request.folder, ...(await this.embedded.backup(request.folder)) };
  }
}

async function answers(ping: Promise<void>): Promise<StoreStatus> {
  try {
    await ping;
    return { reachable: true };
  } catch (error) {
    return { reachable: false, detail: error instanceof Error ? error.message : 'it does not answer' };
  }
}
