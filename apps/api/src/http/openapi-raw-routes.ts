import type { OpenAPIObject } from '@nestjs/swagger';
import {
  AUTHORIZE_REQUEST_HEADERS,
  AUTHORIZE_RESPONSE_HEADERS,
  EXPIRY_HEADERS,
  VERIFY_REQUEST_SCHEMA,
  VERIFY_RESPONSE_SCHEMA,
} from '@keyledger/contracts';
import { GITHUB_HEADERS, GITHUB_ROUTE } from '../leaks/github-intake.js';
import { SCOPE_CHALLENGE } from './forms.js';
import { TRAITS, type RouteTraits } from './needs.js';

type Paths = OpenAPIObject['paths'];
export type Operation = NonNullable<Paths[string]['get']>;

const text = { type: 'string' as const };
const json = (schema: object) => ({ 'application/json': { schema } });
const told = (description: string, schema: object) => ({ description, content: json(schema) });

/** The routes that stand on Fastify itself, for the document. */
export function rawRoutes(): Paths {
  return {
    '/health/live': {
      get: plainOperation('system.live', 'Say that the process answers', {
        '200': told('It answers', { type: 'object', properties: { status: { const: 'ok' } } }),
      }),
    },
    '/health/ready': {
      get: plainOperation('system.ready', 'Say whether it can do its work, and which part keeps it from that', {
        '200': told('It can', HEALTH),
        '503': told('It cannot', HEALTH),
      }),
    },
    '/metrics': {
      get: plainOperation('system.metrics', 'Give metrics in the text format of Prometheus', {
        '200': { description: 'The metrics', content: { 'text/plain': { schema: text } } },
      }),
    },
    '/openapi.json': {
      get: plainOperation('system.openapi', 'Give this document', {
        '200': told('OpenAPI 3.1', { type: 'object' }),
      }),
    },
    '/docs': {
      get: plainOperation('system.docs', 'Show this document as a page', {
        '200': { description: 'The page', content: { 'text/html': { schema: text } } },
      }),
    },
    '/v1/verify': { post: verify() },
    '/v1/authorize': { get: authorize() },
    [GITHUB_ROUTE]: { post: githubReport() },
  };
}

const HEALTH = {
  type: 'object',
  required: ['status', 'checks'],
  properties: {
    status: { enum: ['ok', 'failing', 'stopping'] },
    checks: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        required: ['status'],
        properties: {
          status: { enum: ['ok', 'failing'] },
          detail: text,
          done: { type: 'integer', description: 'Grows while it gets there by itself, as after the loss of Redis' },
        },
      },
    },
  },
};

function plainOperation(operationId: string, summary: string, responses: Operation['responses']): Operation {
  return { operationId, summary, tags: ['Process'], responses, security: [] };
}

function verify(): Operation {
  const traits: RouteTraits = { scope: 'verify', bare: true };
  return {
    operationId: 'verify',
    summary: 'Say whether a key is good',
    description:
      'Always 200 with a verdict; only `valid` and `code` where the key is not known. 503 when nobody can tell: treat the ' +
      'key as not good.',
    tags: ['Verification'],
    requestBody: { required: true, content: json(VERIFY_REQUEST_SCHEMA) },
    responses: { '200': told('The verdict', VERIFY_RESPONSE_SCHEMA) },
    ...{ [TRAITS]: traits },
  };
}

function authorize(): Operation {
  const said = { ...AUTHORIZE_RESPONSE_HEADERS, ...EXPIRY_HEADERS };
  const headers = Object.fromEntries(Object.values(said).map((name) => [name, { schema: text }]));
  return {
    operationId: 'authorize',
    summary: 'Say to a gateway whether the request that it has may pass',
    description:
      'Forward-auth for nginx, Caddy, Traefik and Envoy: the key is that of the request in question. Every method is ' +
      'taken, and any path behind this one.',
    tags: ['Verification'],
    security: [{ bearer: [] }, { apiKey: [] }],
    parameters: Object.values(AUTHORIZE_REQUEST_HEADERS).map((name) => ({ name, in: 'header', schema: text })),
    responses: {
      '200': { description: 'It may; the headers say who it is', headers },
      '400': { description: 'The request cannot be read' },
      '401': { description: 'No key, or one that is not good' },
      '403': { description: 'The key lacks a scope, or may not be used from there', headers: SCOPE_CHALLENGE },
      '503': { description: 'Nobody can tell' },
    },
  };
}

function githubReport(): Operation {
  const found = {
    type: 'object',
    required: ['token', 'type'],
    properties: { token: text, type: text, url: text, source: text },
  };
  const feedback = {
    type: 'object',
    required: ['token_hash', 'token_type', 'label'],
    properties: { token_hash: text, token_type: text, label: { enum: ['true_positive', 'false_positive'] } },
  };
  return {
    operationId: 'leaks.github',
    summary: 'Take a report of GitHub about keys that were found in the open',
    description:
      "GitHub's secret scanning partner program: signed by GitHub over the very bytes of the body. The answer names each " +
      'token by its SHA-256 and says whether it is a key of ours.',
    tags: ['Leaks'],
    security: [],
    parameters: Object.values(GITHUB_HEADERS).map((name) => ({
      name,
      in: 'header',
      required: true,
      schema: text,
    })),
    requestBody: { required: true, content: json({ type: 'array', items: found }) },
    responses: {
      '200': told('What GitHub is told of each token', { type: 'array', items: feedback }),
      '400': { description: 'The body cannot be read, or an item is none' },
      '401': { description: 'No signature' },
      '403': { description: "A signature that is not GitHub's" },
      '413': { description: 'The body is too large' },
      '415': { description: 'The body is not JSON' },
      '503': { description: "GitHub's keys or a part of ours cannot be reached; send it again" },
    },
  };
}
