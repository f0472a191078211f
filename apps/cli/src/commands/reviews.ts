import { ATTESTATION_DECISIONS, KEY_STATES } from '@keyledger/contracts';
import type { AttestedKey, ReviewDetail, ReviewedKeyView, ReviewList, ReviewView } from '@keyledger/contracts/http';
import { Argument, Command, Option } from 'commander';
import { checkedId, pathTo } from '../id.js';
import { changing, examples, list, paged } from '../options.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import type { ChangeOptions } from '../session.js';

const PATH = '/v1/audit/reviews';
const pathOf = (reviewId: string): string => pathTo(PATH, reviewId, 'review');

interface StartOptions extends ChangeOptions {
  name: string;
  due: string;
  keyspace?: string;
  owner?: string;
  environment?: string;
  scope?: string;
  state?: string;
  reviewer?: string;
}

interface PageOptions {
  limit?: number;
  cursor?: string;
}

export function reviewsCommand(runWith: RunWith): Command {
  const reviews = new Command('reviews').description('access reviews: is every key still needed?');
  start(reviews, runWith);
  listAndShow(reviews, runWith);
  attest(reviews, runWith);
  close(reviews, runWith);
  return reviews;
}

function start(reviews: Command, runWith: RunWith): void {
  const command = reviews
    .command('start')
    .description('start a review over the keys that the filter finds now')
    .requiredOption('--name <name>', 'for people')
    .requiredOption('--due <instant>', 'when it has to be done, e.g. 2027-01-31T00:00:00Z')
    .option('--keyspace <id>', 'keys of this keyspace')
    .option('--owner <id>', 'keys of this owner')
    .option('--environment <name>', 'keys of this environment')
    .option('--scope <scope>', 'keys whose scopes grant this one')
    .addOption(new Option('--state <state>', 'default: neither revoked nor expired').choices(KEY_STATES))
    .option('--reviewer <who>', '"owner", or the id of a management key (default: whoever may attest)');
  examples(
    changing(command),
    'reviews start --name "Payments, second quarter" --keyspace acme --due 2027-06-30T00:00:00Z',
    'reviews start --name "Who can write" --scope payments:write --reviewer owner --due 2027-06-30T00:00:00Z',
  ).action(
    runWith(async (session, _, options: StartOptions) => {
      const { name, due, keyspace, owner, environment, scope, state, reviewer } = options;
      const filter = { keyspaceId: keyspace, ownerId: owner, environment, scope, state };
      const body = { name, filter, reviewer, dueAt: due };
      const review = await session.change<ReviewView>('POST', PATH, body, options);
      session.show(review, () => reviewText(review));
    }),
  );
}

function listAndShow(reviews: Command, runWith: RunWith): void {
  examples(paged(reviews.command('list')), 'reviews list --status open')
    .description('list the reviews, newest first')
    .addOption(new Option('--status <status>', 'only those').choices(['preparing', 'open', 'closed']))
    .action(
      runWith(async (session, _, { status, limit, cursor }: PageOptions & { status?: string }) => {
        const query = { status, limit, cursor };
        const page = await session.call<ReviewList>({ method: 'GET', path: PATH, query });
        session.show(page, () => table(page.items, REVIEW_COLUMNS, session.terminal));
        session.noteMore(page);
      }),
    );

  examples(
    paged(reviews.command('show').argument('<review>', 'its id')),
    'reviews show 4f9kQ2LmZ7aB0c1d2e3f4g --decision outstanding',
  )
    .description('show a review with its keys: who attested what, and what is outstanding')
    .addOption(
      new Option('--decision <decision>', 'only keys of which this is the decision').choices([
        'outstanding',
        ...ATTESTATION_DECISIONS,
      ]),
    )
    .action(
      runWith(async (session, [id], { decision, limit, cursor }: PageOptions & { decision?: string }) => {
        const query = { decision, limit, cursor };
        const review = await session.call<ReviewDetail>({ method: 'GET', path: pathOf(id), query });
        session.show(review, () => `${reviewText(review)}\n${table(review.keys, KEY_COLUMNS, session.terminal)}`);
        session.noteMore(review);
      }),
    );
}

interface AttestOptions extends ChangeOptions {
  comment?: string;
  scopes?: string[];
  replacement?: string;
}

function attest(reviews: Command, runWith: RunWith): void {
  const command = reviews
    .command('attest')
    .argument('<review>', 'its id')
    .argument('<key>', 'id of the key')
    .addArgument(new Argument('<decision>', 'revoke revokes at once').choices(ATTESTATION_DECISIONS))
    .description('say what is to become of a key')
    .option('--comment <text>', 'why')
    .option('--scopes <list>', 'of narrow: the scopes that are enough', list)
    .option('--replacement <key>', 'of narrow, once it was issued: the key in its place');
  examples(
    changing(command),
    'reviews attest 4f9kQ2LmZ7aB0c1d2e3f4g 7Hd2kQ9xLmZ7aB0c1d2e3f keep --comment "still in use"',
    'reviews attest 4f9kQ2LmZ7aB0c1d2e3f4g 7Hd2kQ9xLmZ7aB0c1d2e3f narrow --scopes payments:read',
  ).action(
    runWith<[string, string, string], AttestOptions>(async (session, [id, keyId, decision], options) => {
      const { comment, scopes, replacement } = options;
      const body = { keyId: checkedId(keyId, 'key'), decision, comment, scopes, replacementKeyId: replacement };
      const attested = await session.change<AttestedKey>('POST', `${pathOf(id)}/attest`, body, options);
      session.show(attested, () => attestedText(attested));
    }),
  );
}

function close(reviews: Command, runWith: RunWith): void {
  const command = reviews
    .command('close')
    .argument('<review>', 'its id')
    .description('close a review; keys that nobody attested stay on record as outstanding')
    .option('--comment <text>', 'why');
  examples(changing(command), 'reviews close 4f9kQ2LmZ7aB0c1d2e3f4g').action(
    runWith(async (session, [id], options: ChangeOptions & { comment?: string }) => {
      const body = { comment: options.comment };
      const review = await session.change<ReviewView>('POST', `${pathOf(id)}/close`, body, options);
      session.show(review, () => reviewText(review));
    }),
  );
}

const statusOf = ({ status, overdue }: ReviewView): string => (overdue ? `${status}, overdue` : status);

function reviewText(review: ReviewView): string {
  const { keys, keep, narrow, revoke, outstanding } = review.counts;
  const filter = Object.entries(review.filter).map(([name, value]) => `${name}=${value}`);
  return fields([
    ['review', review.reviewId],
    ['name', review.name],
    ['status', statusOf(review)],
    ['filter', filter.join(' ') || 'every key'],
    ['reviewer', review.reviewer ?? 'whoever may attest'],
    ['started', review.startedAt],
    ['due', review.dueAt],
    ['closed', review.closedAt],
    ['keys', `${keys}: keep ${keep}, narrow ${narrow}, revoke ${revoke}, outstanding ${outstanding}`],
  ]);
}

function attestedText(attested: AttestedKey): string {
  return fields([
    ['key', attested.keyId],
    ['decision', attested.decision],
    ['scopes', attested.scopes?.join(', ')],
    ['replacement', attested.replacementKeyId],
    ['comment', attested.comment],
    ['attested by', `${attested.attestedBy ?? ''} (${attested.attestedAs ?? ''})`],
    ['at', attested.attestedAt],
    ['effective', attested.effective ? 'yes' : 'not yet: verifiers will hear of it within moments'],
  ]);
}

const REVIEW_COLUMNS: Column<ReviewView>[] = [
  { head: 'REVIEW', of: ({ reviewId }) => reviewId, whole: true },
  { head: 'NAME', of: ({ name }) => name },
  { head: 'STATUS', of: statusOf },
  { head: 'DUE', of: ({ dueAt }) => dueAt, whole: true },
  { head: 'KEYS', of: ({ counts }) => String(counts.keys) },
  { head: 'OUTSTANDING', of: ({ counts }) => String(counts.outstanding) },
];

const KEY_COLUMNS: Column<ReviewedKeyView>[] = [
  { head: 'KEY', of: ({ keyId }) => keyId, whole: true },
  { head: 'KEYSPACE', of: ({ keyspaceId }) => keyspaceId },
  { head: 'NAME', of: ({ name }) => name },
  { head: 'OWNER', of: ({ owner }) => owner.id },
  { head: 'DECISION', of: ({ decision }) => decision },
  { head: 'BY', of: ({ attestedBy }) => attestedBy, whole: true },
  { head: 'AT', of: ({ attestedAt }) => attestedAt, whole: true },
];
