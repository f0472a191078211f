import type { NotificationList, NotificationSummary } from '@keyledger/contracts/http';
import { Command, Option } from 'commander';
import { pathTo } from '../id.js';
import { changing, examples, paged } from '../options.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import type { ChangeOptions } from '../session.js';

interface ListOptions {
  state?: string;
  channel?: string;
  limit?: number;
  cursor?: string;
}

export function notificationsCommand(runWith: RunWith): Command {
  const notifications = new Command('notifications').description('what channels were told, and the dead letters');

  examples(
    paged(notifications.command('list')),
    'notifications list',
    'notifications list --state pending --channel 4f9k…',
  )
    .description('list notifications, newest first; the dead letters if no state is named')
    .addOption(new Option('--state <state>', 'which (default: failed)').choices(['pending', 'delivered', 'failed']))
    .option('--channel <id>', 'of this channel only')
    .action(
      runWith(async (session, _: [], { state, channel, limit, cursor }: ListOptions) => {
        const query = { state, channelId: channel, limit, cursor };
        const page = await session.call<NotificationList>({ method: 'GET', path: '/v1/notifications', query });
        session.show(page, () => table(page.items, COLUMNS, session.terminal));
        session.noteMore(page);
      }),
    );

  examples(
    changing(notifications.command('replay').argument('<notification>', 'its id')),
    'notifications replay 4f9kQ2LmZ7aB4f9kQ2LmZ7 --reason "receiver mended"',
  )
    .description('try a dead letter again, from the beginning and under the same webhook-id')
    .action(
      runWith(async (session, [id], options: ChangeOptions) => {
        const path = `${pathTo('/v1/notifications', id, 'notification')}/replay`;
        const { notificationId, state } = await session.change<NotificationSummary>('POST', path, {}, options);
        session.show({ notificationId, state }, () =>
          fields([
            ['notification', notificationId],
            ['state', state],
          ]),
        );
      }),
    );

  return notifications;
}

const COLUMNS: Column<NotificationSummary>[] = [
  { head: 'NOTIFICATION', of: ({ notificationId }) => notificationId, whole: true },
  { head: 'CHANNEL', of: ({ channelId }) => channelId, whole: true },
  { head: 'KIND', of: ({ kind, count }) => (count > 1 ? `${kind} × ${count}` : kind) },
  { head: 'STATE', of: ({ state }) => state },
  { head: 'TRIES', of: ({ attempts, tries }) => String(attempts ?? tries?.attempts ?? 0) },
  { head: 'OUTCOME', of: ({ outcome, tries }) => outcome ?? tries?.problem },
  { head: 'REQUESTED', of: ({ requestedAt }) => requestedAt },
];
