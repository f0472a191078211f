/**
 * The ceiling of `bench verify`: a Fastify route that hashes the key and makes the same Redis read as a verification,
 * and nothing else. It judges nothing and authenticates nobody.
 */
import { hash } from 'node:crypto';
import Fastify from 'fastify';
import { Redis } from 'ioredis';

const [redisUrl, generation] = process.argv.slice(2);
const redis = new Redis(redisUrl, { enableAutoPipelining: true });
const app = Fastify();
app.post(
  '/v1/verify',
  {
    schema: {
      body: { type: 'object', required: ['key'], properties: { key: { type: 'string' } } },
      response: { 200: { type: 'object', properties: { valid: { type: 'boolean' } } } },
    },
  },
  async (request) => {
    const digest = hash('sha256', request.body.key, 'base64url');
    const record = await redis.get(`kl:${generation}:v:{${digest[0]}}${digest.slice(1)}`);
    return { valid: record !== null };
  },
);
await app.listen({ host: '127.0.0.1', port: 0 });
console.log(JSON.stringify({ port: app.server.address().port }));
process.once('SIGTERM', () => process.exit(0));
