import type { VerifyResponse } from '@keyledger/contracts';
import { Command } from 'commander';
import { EXIT } from '../exit.js';
import { examples, list } from '../options.js';
import { presentedKeyFrom } from '../presented-key.js';
import { fields } from '../print.js';
import { readSecretFile } from '../secret-file.js';
import type { RunWith } from '../run.js';

interface VerifyOptions {
  secretFile?: string;
  scopes?: string[];
  clientIp?: string;
  origin?: string;
  environment?: string;
  keyspace?: string;
}

export function verifyCommand(runWith: RunWith): Command {
  return examples(
    new Command('verify'),
    'verify --secret-file billing.key --scopes payments:read',
    'verify --environment live < billing.key',
  )
    .description(
      `ask whether a key is good; the key comes from standard input or a file. Exit code ${EXIT.notValid}: it is not`,
    )
    .option('--secret-file <file>', 'the file that holds the key (default: standard input)')
    .option('--scopes <list>', 'scopes that it must have', list)
    .option('--client-ip <address>', 'where the request came from')
    .option('--origin <origin>', 'the Origin or Referer of the request')
    .option('--environment <name>', 'the environment it must be of')
    .option('--keyspace <id>', 'the keyspace it must be of')
    .action(
      runWith(async (session, _: [], options: VerifyOptions) => {
        const { secretFile, scopes, clientIp, origin, environment, keyspace } = options;
        const key =
          secretFile === undefined
            ? await presentedKeyFrom(session.terminal, 'keyledger verify')
            : await readSecretFile(secretFile);
        const body = { key, scopes, clientIp, origin, environment, keyspaceId: keyspace };
        const answer = await session.call<VerifyResponse>({ method: 'POST', path: '/v1/verify', body, readOnly: true });
        session.show(answer, () => answerText(answer));
        return answer.valid ? EXIT.ok : EXIT.notValid;
      }),
    );
}

function answerText(answer: VerifyResponse): string {
  return fields([
    ['verdict', answer.code],
    ['key', answer.keyId],
    ['secret', answer.secretId],
    ['name', answer.name],
    ['keyspace', answer.keyspaceId],
    ['environment', answer.environment],
    ['owner', answer.owner && `${answer.owner.id} (${answer.owner.type})`],
    ['scopes', answer.scopes?.join(', ')],
    ['expires', answer.expiresAt],
    ['grace ends', answer.graceEndsAt],
    ['revision', answer.revision === undefined ? undefined : String(answer.revision)],
  ]);
}
