import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import { Decisions, EventStore } from '@keyledger/event-store';
import { TrailReader } from '@keyledger/audit';
import { AccessLog } from './audit/access-log.js';
import { Differences } from './audit/differences.js';
import { AuditEventsController } from './audit/events.controller.js';
import { TrailNews } from './audit/news.js';
import { AuditPastController } from './audit/past.controller.js';
import { Past } from './audit/past.js';
import { ReportsController } from './audit/reports.controller.js';
import { Reports } from './audit/reports.js';
import { ProofController } from './audit/proof.controller.js';
import { Proofs } from './audit/proofs.js';
import { Incidents } from '@keyledger/leaks';
import { AuthGuard, KeyDigests, PersonalData, READINESS, Sealing } from '@keyledger/platform';
import { ChannelDirectory, IncidentIndex, NotificationIndex, ReadModel } from '@keyledger/read-model';
import { BulkRequests } from './bulk-requests.js';
import type { Parts } from './parts.js';
import {
  ChangeChannelHandler,
  ChannelDecisions,
  RegisterChannelHandler,
  RotateChannelSecretHandler,
} from './channels/channel.handlers.js';
import { ChannelsController } from './channels/channels.controller.js';
import { ReplayNotificationHandler, TestChannelHandler } from './channels/notification.handlers.js';
import { NotificationsController } from './channels/notifications.controller.js';
import { DeliveriesController } from './deliveries/deliveries.controller.js';
import { DeliveryReaders } from './deliveries/delivery-readers.js';
import { PickUpDeliveryHandler } from './deliveries/pick-up-delivery.handler.js';
import { UnreadInputGuard } from './http/unread-input.js';
import { ChangeKeyHandler } from './keys/change-key.handler.js';
import { ImportKeysHandler } from './keys/import-keys.handler.js';
import { IssueKeyHandler } from './keys/issue-key.handler.js';
import { KeyCatalogue } from './keys/key-catalogue.js';
import { KeyHolders } from './keys/key-holders.js';
import { KeysController } from './keys/keys.controller.js';
import { RevokeKeyHandler, RevokeKeysHandler } from './keys/revoke-keys.handlers.js';
import { RotateKeyHandler } from './keys/rotate-key.handler.js';
import { SelfController } from './keys/self.controller.js';
import { ChangeKeyspaceHandler, CreateKeyspaceHandler } from './keyspaces/keyspace.handlers.js';
import { KeyspacesController } from './keyspaces/keyspaces.controller.js';
import { FoundIntake } from './leaks/found-intake.js';
import { LeakLog } from './leaks/leak-log.js';
import { ReportLeakHandler, ResolveLeakHandler } from './leaks/leak.handlers.js';
import { LeaksController } from './leaks/leaks.controller.js';
import { Visibility } from './visibility.js';
import { EraseSubjectHandler } from './privacy/erase-subject.handler.js';
import { Erasures } from './privacy/erasures.js';
import { PrivacyController } from './privacy/privacy.controller.js';
import { Subjects } from './privacy/subjects.js';
import { Receipts } from './receipts.js';
import { ReviewBoard } from './reviews/review-board.js';
import { AttestAccessHandler, CloseReviewHandler } from './reviews/review.handlers.js';
import { ReviewsController } from './reviews/reviews.controller.js';
import { StartReviewHandler } from './reviews/start-review.handler.js';
import { SelfAttestController } from './reviews/self-attest.controller.js';
import { EmbeddedStore } from './system/embedded-store.js';
import { SystemController } from './system/system.controller.js';

const HANDLERS = [
  CreateKeyspaceHandler,
  ChangeKeyspaceHandler,
  IssueKeyHandler,
  ImportKeysHandler,
  RotateKeyHandler,
  ChangeKeyHandler,
  RevokeKeyHandler,
  RevokeKeysHandler,
  ReportLeakHandler,
  ResolveLeakHandler,
  EraseSubjectHandler,
  RegisterChannelHandler,
  ChangeChannelHandler,
  RotateChannelSecretHandler,
  TestChannelHandler,
  ReplayNotificationHandler,
  PickUpDeliveryHandler,
  StartReviewHandler,
  AttestAccessHandler,
  CloseReviewHandler,
];

/** The routes and what they are made of. Of CQRS only the CommandBus: what happened is told by the event store. */
@Module({})
export class ApiModule {
  static of(parts: Parts): DynamicModule {
    return {
      module: ApiModule,
      imports: [CqrsModule.forRoot()],
      controllers: [
        SelfController,
        KeysController,
        KeyspacesController,
        AuditEventsController,
        AuditPastController,
        ProofController,
        ChannelsController,
        NotificationsController,
        LeaksController,
        PrivacyController,
        DeliveriesController,
        SelfAttestController,
        ReportsController,
        ReviewsController,
        SystemController,
      ],
      providers: [
        ...HANDLERS,
        { provide: EventStore, useValue: parts.eventStore },
        { provide: Decisions, useValue: parts.decisions },
        { provide: ReadModel, useValue: parts.readModel },
        { provide: KeyDigests, useValue: parts.digests },
        { provide: Receipts, useValue: parts.receipts },
        { provide: BulkRequests, useValue: new BulkRequests(parts.decisions) },
        { provide: Visibility, useValue: parts.visibility },
        { provide: Incidents, useValue: parts.incidents },
        { provide: IncidentIndex, useValue: parts.incidentIndex },
        { provide: FoundIntake, useValue: parts.foundIntake },
        { provide: LeakLog, useValue: parts.leakLog },
        { provide: KeyCatalogue, useValue: new KeyCatalogue(parts.readModel, parts.usage) },
        { provide: KeyHolders, useValue: new KeyHolders(parts.verification, parts.decisions, parts.failed) },
        { provide: PersonalData, useValue: parts.personal },
        { provide: Subjects, useValue: parts.subjects },
        { provide: Erasures, useValue: parts.erasures },
        ...auditProviders(parts),
        { provide: Sealing, useValue: parts.sealing },
        { provide: ChannelDirectory, useValue: parts.channels },
        { provide: NotificationIndex, useValue: parts.notifications },
        {
          provide: ChannelDecisions,
          useValue: new ChannelDecisions(parts.decisions, parts.receipts, parts.sealing, parts.channels),
        },
        {
          provide: DeliveryReaders,
          useValue: new DeliveryReaders(parts.credentials, parts.verification, parts.decisions, parts.failed),
        },
        { provide: Reports, useValue: new Reports(parts.eventStore, parts.history, parts.personal) },
        { provide: ReviewBoard, useValue: parts.reviewBoard },
        { provide: EmbeddedStore, useValue: parts.embedded },
        { provide: APP_GUARD, useValue: new AuthGuard(parts.credentials, parts.failed) },
        { provide: APP_GUARD, useValue: new UnreadInputGuard() },
        { provide: READINESS, useValue: parts.readiness },
      ],
    };
  }
}

function auditProviders({ eventStore, history, personal, proofs }: Parts) {
  const trail = new TrailReader(eventStore, history.marks, (events) => personal.revealDeep(events));
  const past = new Past(eventStore, history, trail, personal);
  return [
    { provide: TrailReader, useValue: trail },
    { provide: Past, useValue: past },
    { provide: Proofs, useValue: proofs },
    { provide: Differences, useValue: new Differences(eventStore, history, past) },
    { provide: AccessLog, useValue: new AccessLog(eventStore, (context) => personal.context(context)) },
    { provide: TrailNews, useValue: new TrailNews(eventStore) },
  ];
}
