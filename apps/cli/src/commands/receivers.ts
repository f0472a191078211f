import { Command, Option } from 'commander';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { examples } from '../options.js';
import { json } from '../print.js';
import type { RunWith } from '../run.js';
import { SecretFile } from '../secret-file.js';

const CURVES = ['P-256', 'X25519'];

interface KeygenOptions {
  privateKey: string;
  curve: string;
}

export function receiversCommand(runWith: RunWith): Command {
  const receivers = new Command('receivers').description('who takes the new secrets of rotations by policy');
  const keygen = receivers
    .command('keygen')
    .description('make a key pair of a receiver: the private key for a file, the public key for the channel')
    .requiredOption('--private-key <file>', 'write the private key (JWK) to this new file, readable by you only')
    .addOption(new Option('--curve <curve>', 'of the key').choices(CURVES).default('P-256'));
  examples(keygen, 'receivers keygen --private-key receiver.jwk > receiver.public.jwk').action(
    runWith(async (session, _, { privateKey: path, curve }: KeygenOptions) => {
      const file = await SecretFile.reserve(path);
      const pair = await generateKeyPair('ECDH-ES', { crv: curve, extractable: true });
      const publicJwk = await exportJWK(pair.publicKey);
      const kid = (await calculateJwkThumbprint(publicJwk)).slice(0, 16);
      await file.write(JSON.stringify({ ...(await exportJWK(pair.privateKey)), kid }));
      session.note(`The private key is in ${file.path}; the server never needs it.`);
      session.terminal.stdout.write(json({ ...publicJwk, kid }));
    }),
  );
  return receivers;
}
