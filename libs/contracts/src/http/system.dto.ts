import { ApiProperty } from '@nestjs/swagger';
import { LIMITS, Line } from './fields.js';

const CAUSES = ['request', 'version', 'missing'] as const;
type RebuildCause = (typeof CAUSES)[number];
const REBUILD_STATES = ['idle', 'requested', 'building'] as const;

export class BuildingView {
  generation: string;
  /** Position of the log up to which it has come. */
  position: string;
  startedAt: string;
  /** It was asked for, the projection has a new version, or there was no complete model. */
  @ApiProperty({ enum: CAUSES })
  cause: RebuildCause;
}

export class RebuildReportView {
  rebuildId: string;
  @ApiProperty({ enum: CAUSES })
  cause: RebuildCause;
  generation: string;
  startedAt: string;
  finishedAt: string;
  eventsApplied: number;
  keys: number;
  /** Of all records of the new generation, whatever their order; absent if there was none before to compare it with. */
  digestNew?: string;
  /** Of the generation before. */
  digestLive?: string;
  equal?: boolean;
  /** Ids that differed, the first twenty. */
  differing: string[];
  differingCount: number;
}

export class RebuildView {
  /** `requested`: it waits for a worker. */
  @ApiProperty({ enum: REBUILD_STATES })
  state: (typeof REBUILD_STATES)[number];
  rebuildId?: string;
  requestedAt?: string;
  building?: BuildingView;
  lastRebuild?: RebuildReportView;
}

export class ProjectionsView {
  /** The build of the read model that answers; absent while there is none. */
  generation?: string;
  /** Version of the projection that made it. */
  projectionVersion?: number;
  /** Version of the projection that this process has. */
  expectedVersion: number;
  /** Position of the log up to which the read model has come. */
  position: string;
  /** Position of the newest event that a worker has heard of. */
  head?: string;
  /** What lies between the two; positions are not consecutive. */
  lag?: string;
  /** How long ago a worker said that the model is current. */
  heartbeatAgeMs?: number;
  /** Whether verification can rely on it. */
  current: boolean;
  rebuild: RebuildView;
}

export class StartedRebuild {
  /** Its report appears under it in `GET /v1/system/projections`. */
  rebuildId: string;
}

export class StoreStatus {
  reachable: boolean;
  /** What came instead of an answer. */
  detail?: string;
}

export class SystemStatus {
  /** Version of Keyledger. */
  version: string;
  /** Version of Node.js. */
  node: string;
  /** Since when this process runs. */
  startedAt: string;
  eventStore: StoreStatus;
  redis: StoreStatus;
  /** Absent while Redis cannot be reached. */
  projections?: ProjectionsView;
}

export class BackupRequest {
  /**
   * A folder on the event store's machine that is new or empty, by its absolute path.
   * @example '/var/backups/keyledger-2026-11-23'
   */
  @Line(LIMITS.path)
  folder: string;
}

export class BackupView {
  folder: string;
  /** The last position that the copy holds. */
  position: string;
  bytes: number;
}
