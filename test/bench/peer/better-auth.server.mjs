/**
 * The peer of `bench verify`: `verifyApiKey` of @better-auth/api-key behind Fastify, on SQLite in its fastest durable
 * setting (WAL, synchronous=NORMAL), its own rate limit off, as many keys as the bench asks for.
 */
import { rmSync } from 'node:fs';
import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import Fastify from 'fastify';
import { Kysely, SqliteDialect } from 'kysely';
import Database from 'libsql';

const [file, count] = process.argv.slice(2);
rmSync(file, { force: true });
const database = new Database(file);
database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;');
const auth = betterAuth({
  secret: 'R4nd0m-and-long-enough-for-a-benchmark-9f8e7d6c',
  baseURL: 'http://127.0.0.1',
  database: { db: new Kysely({ dialect: new SqliteDialect({ database }) }), type: 'sqlite' },
  emailAndPassword: { enabled: true },
  plugins: [apiKey({ rateLimit: { enabled: false } })],
});
await (await getMigrations(auth.options)).runMigrations();
const { user } = await auth.api.signUpEmail({
  body: { email: 'bench@example.com', password: 'long-enough-1', name: 'bench' },
});
const keys = [];
for (let i = 0; i < Number(count); i++) {
  keys.push((await auth.api.createApiKey({ body: { userId: user.id, name: `key ${i}` } })).key);
}
const app = Fastify();
app.post('/v1/verify', async (request) => {
  const { valid } = await auth.api.verifyApiKey({ body: { key: request.body.key } });
  return { valid };
});
await app.listen({ host: '127.0.0.1', port: 0 });
console.log(JSON.stringify({ port: app.server.address().port, keys }));
process.once('SIGTERM', () => process.exit(0));
