import type { DeliveredSecret } from '@keyledger/contracts';
import type { DeliveryList, DeliveryView, PickedUpDelivery } from '@keyledger/contracts/http';
import { Command } from 'commander';
import { compactDecrypt, importJWK, type CryptoKey, type JWK } from 'jose';
import { readFile } from 'node:fs/promises';
import { UsageError } from '../exit.js';
import { examples, yieldingSecret } from '../options.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import { checkedId, pathTo } from '../id.js';
import { interruptible } from '../interruption.js';
import { placeFor, type SecretOptions } from '../new-secret.js';
import type { Session } from '../session.js';

interface PickUpOptions extends SecretOptions {
  privateKey?: string;
}

interface OpenOptions extends SecretOptions {
  privateKey: string;
}

export function deliveriesCommand(runWith: RunWith): Command {
  const deliveries = new Command('deliveries').description(
    'new secrets of rotations by policy, on their way to owners',
  );

  examples(deliveries.command('list').argument('<keyId>'), 'deliveries list KEY_ID')
    .description('list the deliveries of a key, the newest first')
    .action(
      runWith(async (session, [keyId]) => {
        const found = await session.call<DeliveryList>({
          method: 'GET',
          path: '/v1/deliveries',
          query: { keyId: checkedId(keyId, 'keyId') },
        });
        session.show(found, () => table(found.items, COLUMNS, session.terminal));
      }),
    );

  const pickup = deliveries
    .command('pickup')
    .argument('<deliveryId>')
    .description(
      'take a new secret, this once: decrypted with your private key, or as the JWE that it is; as whoever may rotate ' +
        'the key, or as its holder',
    )
    .option('--private-key <file>', 'the JWK that belongs to the public key of the receiver');
  examples(
    yieldingSecret(pickup),
    'deliveries pickup DELIVERY_ID --private-key receiver.jwk --secret-file billing.new.key',
    'deliveries pickup DELIVERY_ID --key-file billing.key --private-key receiver.jwk --secret-file billing.new.key',
    'deliveries pickup DELIVERY_ID > delivery.jwe',
  ).action(runWith((session, [deliveryId], options: PickUpOptions) => pickUp(session, deliveryId, options)));

  const open = deliveries
    .command('open')
    .argument('<file>', 'holds the JWE, as it was picked up or came by webhook')
    .description('decrypt a new secret that you have as a JWE; asks no server')
    .requiredOption('--private-key <file>', 'the JWK that belongs to the public key of the receiver');
  examples(
    yieldingSecret(open),
    'deliveries open delivery.jwe --private-key receiver.jwk --secret-file billing.new.key',
  ).action(runWith((session, [file], options: OpenOptions) => openFile(session, file, options)));
  return deliveries;
}

/** Everything that can be wrong here is found out before the one request that takes the secret away. */
async function pickUp(session: Session, deliveryId: string, options: PickUpOptions): Promise<void> {
  const { privateKey: file, secretFile, showSecret } = options;
  const path = pathTo('/v1/deliveries', deliveryId, 'deliveryId');
  const call = { method: 'GET', path, once: true } as const;
  if (file === undefined) {
    if (secretFile !== undefined || showSecret) {
      throw new UsageError('Without --private-key there is only the JWE, which goes to standard output');
    }
    const picked = await session.call<PickedUpDelivery>(call);
    return orKept(session, picked.jwe, () => session.put(picked, () => `${picked.jwe}\n`));
  }
  const privateKey = await privateKeyFrom(file);
  await session.requireCredential();
  await interruptible(async (stop) => {
    const place = await placeFor(session, options);
    const picked = await session.call<PickedUpDelivery>({ ...call, stop }).catch(async (error: unknown) => {
      await place.discard();
      throw error;
    });
    const { jwe, ...delivery } = picked;
    await orKept(session, jwe, async () => {
      const { key } = await opened(jwe, privateKey).catch(async (error: unknown) => {
        await place.discard();
        throw error;
      });
      const shown = (await place.put(key)) ? { key } : {};
      const answer = { ...delivery, ...shown };
      const text = (): string => fields([['secret', shown.key]]) + deliveryText(delivery);
      if (options.secretFile === undefined) await session.put(answer, text);
      else session.show(answer, text);
    });
  });
}

/** A delivery is given out once: where what is done with it fails, the person keeps it, sealed as it is. */
async function orKept(session: Session, jwe: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    session.note(
      `The delivery is given out once, and this was it: keep it, and \`keyledger deliveries open\` it with the right ` +
        `private key.\n${jwe}`,
    );
    throw error;
  }
}

async function openFile(session: Session, file: string, options: OpenOptions): Promise<void> {
  const privateKey = await privateKeyFrom(options.privateKey);
  const jwe = await readFile(file, 'utf8').catch((error: Error) => {
    throw new UsageError(`${file} cannot be read: ${error.message}`);
  });
  const place = await placeFor(session, options);
  const { key, ...delivered } = await opened(jwe.trim(), privateKey).catch(async (error: unknown) => {
    await place.discard();
    throw error;
  });
  const shown = (await place.put(key)) ? { key } : {};
  session.show({ ...delivered, ...shown }, () =>
    fields([
      ['secret', shown.key],
      ['delivery', delivered.deliveryId],
      ['key', delivered.keyId],
      ['new secret', delivered.secretId],
      ['old secret', delivered.previousSecretId],
    ]),
  );
}

async function privateKeyFrom(file: string): Promise<CryptoKey | Uint8Array> {
  let jwk: JWK;
  try {
    jwk = JSON.parse(await readFile(file, 'utf8')) as JWK;
  } catch (error) {
    // A parser's own message would quote the file.
    const problem = error instanceof SyntaxError ? 'it holds no JSON' : (error as Error).message;
    throw new UsageError(`${file} cannot be read: ${problem}`);
  }
  if (typeof jwk.d !== 'string') throw new UsageError(`${file} must hold a private key as a JWK, with "d"`);
  return importJWK(jwk, 'ECDH-ES').catch(() => {
    throw new UsageError(`${file} must hold a private key as a JWK for ECDH-ES: P-256 or X25519`);
  });
}

async function opened(jwe: string, privateKey: CryptoKey | Uint8Array): Promise<DeliveredSecret> {
  try {
    const { plaintext } = await compactDecrypt(jwe, privateKey);
    return JSON.parse(new TextDecoder().decode(plaintext)) as DeliveredSecret;
  } catch {
    throw new Error('the delivery cannot be decrypted: it is no whole JWE, or was encrypted to another public key');
  }
}

const COLUMNS: Column<DeliveryView>[] = [
  { head: 'DELIVERY', of: ({ deliveryId }) => deliveryId, whole: true },
  { head: 'STATE', of: ({ state }) => state },
  { head: 'VIA', of: ({ via }) => via },
  { head: 'NEW SECRET', of: ({ secretId }) => secretId },
  { head: 'PREPARED', of: ({ preparedAt }) => preparedAt },
  { head: 'ENDS', of: ({ expiresAt }) => expiresAt },
  { head: 'PROBLEM', of: ({ problem }) => problem },
];

function deliveryText(delivery: DeliveryView): string {
  return fields([
    ['delivery', delivery.deliveryId],
    ['state', delivery.state],
    ['key', delivery.keyId],
    ['new secret', delivery.mask],
    ['old secret', delivery.previousSecretId],
  ]);
}
