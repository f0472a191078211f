import type { SubjectView } from '@keyledger/contracts/http';
import { Command, Option } from 'commander';
import { UsageError } from '../exit.js';
import { pathTo } from '../id.js';
import { changing, examples } from '../options.js';
import { fields } from '../print.js';
import type { RunWith } from '../run.js';
import type { ChangeOptions, Session } from '../session.js';

/** Whose data: by one of these, or by the id that `show` gave. */
interface SubjectOptions {
  owner?: string;
  person?: string;
  credential?: string;
  address?: string;
}

const PATH = '/v1/privacy/subjects';

export function privacyCommand(runWith: RunWith): Command {
  const privacy = new Command('privacy').description('personal data: what is kept about whom, and its erasure');

  examples(
    choosing(privacy.command('show')),
    'privacy show --person jane@example.com',
    'privacy show --owner app-7 --json',
  )
    .description('what is kept about a person, an owner’s contact, a key’s holder or an address')
    .action(
      runWith(async (session, [id], options: SubjectOptions) => {
        const subject = await found(session, id, options);
        session.show(subject, () => subjectText(subject));
      }),
    );

  examples(
    changing(choosing(privacy.command('erase')), { withReason: false }),
    'privacy erase --person jane@example.com --reason "request of the person"',
    'privacy erase SUBJECT_ID --reason "end of the contract"',
  )
    .description('destroy the key of that data, for good; events and their proofs stay as they are')
    .requiredOption('--reason <text>', 'why, for the audit trail; name nobody')
    .option('--comment <text>', 'more about it; name nobody')
    .action(
      runWith(async (session, [id], options: SubjectOptions & ChangeOptions & { comment?: string }) => {
        const subjectId = id ?? (await found(session, id, options)).subjectId;
        const body = { reason: options.reason, comment: options.comment };
        // The reason is in the body; as a header it would be said twice.
        const sent = { onBehalfOf: options.onBehalfOf, idempotencyKey: options.idempotencyKey };
        const path = `${pathTo(PATH, subjectId, 'subjectId')}/erase`;
        const subject = await session.change<SubjectView>('POST', path, body, withoutUndefined(sent));
        session.show(subject, () => subjectText(subject));
        if (!subject.erasures.at(-1)?.keyDestroyed) {
          session.note(
            'Recorded; the key could not be destroyed yet, and is tried until it is. See the log of the api.',
          );
        }
      }),
    );

  return privacy;
}

function choosing(command: Command): Command {
  const names = ['owner', 'person', 'credential', 'address'];
  const choice = (name: string, value: string, what: string) =>
    new Option(`--${name} <${value}>`, what).conflicts(names.filter((other) => other !== name));
  return command
    .argument('[subjectId]', 'as show gave it; or name the subject by one of the options')
    .addOption(choice('owner', 'id', 'the contact of this owner'))
    .addOption(choice('person', 'text', 'for whom something was done (--on-behalf-of), however it is spelt'))
    .addOption(choice('credential', 'keyId', 'where this key acted from, for nobody in particular'))
    .addOption(choice('address', 'ip', 'what came from this address with no credential'));
}

async function found(session: Session, id: string | undefined, options: SubjectOptions): Promise<SubjectView> {
  const { owner, person, credential, address } = options;
  const named = withoutUndefined({ ownerId: owner, onBehalfOf: person, keyId: credential, address });
  const byName = Object.keys(named).length > 0;
  if ((id === undefined) !== byName) {
    throw new UsageError('Name one subject: its id, or --owner, --person, --credential or --address');
  }
  return byName
    ? session.call<SubjectView>({ method: 'POST', path: `${PATH}/find`, body: named })
    : session.call<SubjectView>({ method: 'GET', path: pathTo(PATH, id, 'subjectId') });
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as never;
}

function subjectText({ subjectId, kind, name, state, fields: own, heldSince, keyIds, erasures }: SubjectView): string {
  return fields([
    ['subject', subjectId],
    ['kind', kind],
    ['name', name],
    ['state', state],
    ['held since', heldSince],
    ['fields', own.join(', ')],
    ['keys', keyIds?.join(', ')],
    ...erasures.map(({ generation, erasedAt, reason, keyDestroyed }): [string, string] => [
      'erased',
      `${erasedAt}, generation ${generation}, ${reason}${keyDestroyed ? '' : ' (its key is still there)'}`,
    ]),
  ]);
}
