import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import {
  eventually,
  http,
  startReceiver,
  startSystem,
  temporaryFolder,
  type Receiver,
  type System,
} from '../support/index.js';
import { Desk } from './api.harness.js';
import { arrival, outcome, verified, webhook } from './channels.harness.js';

interface Mail {
  to: string[];
  text: string;
}

let system: System;
let desk: Desk;
let secure: Receiver;
let plain: Receiver;
let keyspaceId: string;
let smtp: SMTPServer;
const mails: Mail[] = [];
/** What the mail server says to a recipient instead of taking him. */
const refusals = new Map<string, Error>();

beforeAll(async () => {
  const folder = temporaryFolder();
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', certificate, '-days', '2', ...subject], {
    stdio: 'ignore',
  });
  secure = await startReceiver({}, { key: readFileSync(key), cert: readFileSync(certificate) });
  plain = await startReceiver();
  smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo: ({ address }, _session, done) => done(refusals.get(address) ?? null),
    onData: (stream, { envelope }, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const to = envelope.rcptTo.map(({ address }) => address);
        mails.push({ to, text: Buffer.concat(chunks).toString('utf8') });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => smtp.listen(0, '127.0.0.1', resolve));
  const { port } = smtp.server.address() as AddressInfo;
  system = await startSystem({
    KEYLEDGER_ALLOWED_TARGETS: '127.0.0.1',
    KEYLEDGER_NOTIFICATION_RETRIES: 'PT1S',
    KEYLEDGER_SMTP_URL: `smtp://127.0.0.1:${port}`,
    KEYLEDGER_SMTP_FROM: 'Keyledger <ledger@example.com>',
    NODE_EXTRA_CA_CERTS: certificate,
  });
  desk = new Desk(system);
  keyspaceId = await desk.keyspace();
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
  await Promise.all([secure.close(), plain.close()]);
  await new Promise<void>((resolve) => smtp.close(resolve));
});

const channelOf = async (request: object) => {
  const { status, body } = await desk.admin.post('/v1/channels', { name: 'test', ...request });
  expect({ status, body }).toMatchObject({ status: 201 });
  return body;
};

it('a webhook is reached over TLS, whose certificate is checked', async () => {
  const channel = await webhook(desk.admin, `${secure.url}/tls`, { audience: { ownerId: 'tls' } });
  await desk.issue(keyspaceId, { owner: { id: 'tls', type: 'service' } });
  expect(verified(await arrival(secure, '/tls'), channel.signingSecret).type).toBe('key.issued');
  const wrongName = secure.url.replace('127.0.0.1', 'localhost');
  const other = await webhook(desk.admin, `${wrongName}/tls`, { kinds: ['audit.mismatch'] });
  const { body } = await desk.admin.post(`/v1/channels/${other.channelId}/test`, {});
  const failed = await outcome(desk.admin, body.notificationId, 'failed');
  expect(failed.outcome).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID|leads to/);
});

describe('an e-mail channel', () => {
  it('sends one mail to its addresses, named after the notification', async () => {
    const addresses = ['ops@example.com', 'on-call@example.com'];
    const owner = { id: 'mailed', type: 'service' };
    await channelOf({ type: 'email', audience: { ownerId: 'mailed' }, target: { addresses } });
    const key = await desk.issue(keyspaceId, { owner, name: 'Grüße' });
    await desk.admin.post(`/v1/keys/${key.keyId}/revoke`, { reason: 'compromised' });
    const mail = await eventually('the mail is there', () => {
      return mails.find(({ text }) => text.includes('key.revoked')) ?? false;
    });
    expect(mail.to).toEqual(addresses);
    expect(mail.text).toMatch(/^From: Keyledger <ledger@example\.com>$/m);
    expect(mail.text).toMatch(/^Auto-Submitted: auto-generated$/m);
    const id = /^X-Keyledger-Notification: (\S+)\r?$/m.exec(mail.text)?.[1] ?? '';
    expect(mail.text).toContain(`Message-ID: <${id}@example.com>`);
    expect((await outcome(desk.admin, id, 'delivered')).attempts).toBe(1);
    for (const { text } of mails) expect(text).not.toContain(key.key);
  });

  it('whose recipient the server does not know is a dead letter at once, and is tried again where it may pass', async () => {
    refusals.set('nobody@example.com', Object.assign(new Error('unknown'), { responseCode: 550 }));
    refusals.set('later@example.com', Object.assign(new Error('greylisted'), { responseCode: 451 }));
    const [unknown, grey] = await Promise.all(
      ['nobody', 'later'].map((name) =>
        channelOf({ type: 'email', audience: { ownerId: name }, target: { addresses: [`${name}@example.com`] } }),
      ),
    );
    await desk.issue(keyspaceId, { owner: { id: 'nobody', type: 'service' } });
    await desk.issue(keyspaceId, { owner: { id: 'later', type: 'service' } });
    const dead = (channelId: string) =>
      eventually('it is a dead letter', async () => {
        const { body } = await desk.admin.get(`/v1/notifications?channelId=${channelId}`);
        return (body.items[0] as { attempts: number } | undefined) ?? false;
      });
    expect((await dead(unknown.channelId)).attempts).toBe(1);
    expect((await dead(grey.channelId)).attempts).toBe(2);
  });
});

it('a Slack-compatible webhook gets a text in which names of keys address nobody', async () => {
  const url = `${plain.url}/slack`;
  await channelOf({ type: 'slack', audience: { ownerId: 'slack' }, target: { url } });
  await desk.issue(keyspaceId, { owner: { id: 'slack', type: 'service' }, name: '<!channel> & co' });
  const { text } = JSON.parse((await arrival(plain, '/slack')).text);
  expect(text).toContain('*Key "&lt;!channel&gt; &amp; co" was issued');
});

describe('the queues in view', () => {
  const basic = (key: string) => ({ authorization: `Basic ${Buffer.from(`me:${key}`).toString('base64')}` });

  it('are for management keys only: looking needs system:read, acting system:operate', async () => {
    const worker = http(system.worker.baseUrl);
    const closed = await worker.get('/admin/queues');
    expect(closed.status).toBe(401);
    expect(closed.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect((await worker.get('/admin/queues/api/queues', basic('wrong'))).status).toBe(401);
    const reader = await desk.credential('system:read');
    const page = await worker.get('/admin/queues', basic(reader));
    expect([page.status, page.body.text]).toEqual([200, expect.stringContaining('<html')]);
    const { body } = await worker.get('/admin/queues/api/queues', { 'x-api-key': reader });
    expect(body.queues.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['deadlines', 'deliveries', 'notifications', 'housekeeping']),
    );
    const pause = '/admin/queues/api/queues/notifications/pause';
    expect((await worker.request('PUT', pause, undefined, basic(reader))).status).toBe(403);
    const foreign = { ...basic(system.adminKey), origin: 'https://evil.example' };
    expect((await worker.request('PUT', pause, undefined, foreign)).status).toBe(403);
    expect((await worker.request('PUT', pause, undefined, basic(system.adminKey))).status).toBe(200);
    expect(
      (await worker.request('PUT', pause.replace('pause', 'resume'), undefined, basic(system.adminKey))).status,
    ).toBe(200);
    const issuer = await desk.credential('keys:issue');
    expect((await worker.get('/admin/queues', basic(issuer))).status).toBe(403);
  });

  it('are measured: depth, lateness and what became of jobs', async () => {
    const { body } = await http(system.worker.baseUrl).get('/metrics');
    expect(body.text).toMatch(/keyledger_queue_jobs\{queue="notifications",state="waiting",app="worker"\} \d+/);
    expect(body.text).toMatch(/keyledger_queue_lateness_seconds\{queue="notifications",app="worker"\} [\d.]+/);
    expect(body.text).toMatch(
      /keyledger_queue_jobs_settled_total\{queue="notifications",outcome="completed",app="worker"\} [1-9]/,
    );
    expect(body.text).toMatch(/keyledger_notifications_total\{type="email",outcome="delivered",app="worker"\} [1-9]/);
  });
});
