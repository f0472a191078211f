import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { claimPort, http, type Answer } from '../support/index.js';

/** The public keys of GitHub's own sample reports. */
const SAMPLE_KEYS = [
  'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==',
  'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9MJJHnMfn2+H4xL4YaPDA4RpJqUq\nkCmRCBnYERxZanmcpzQSXs1X/AljlKkbJ8qpVIW4clayyef9gWhFbNHWAA==',
].map((body) => `-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----\n`);

/** The sample reports, by the id of the key that signed each. */
export const SAMPLES = [
  {
    identifier: 'bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c',
    signature: 'MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==',
    body: '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]',
  },
  {
    identifier: '90a421169f0a406205f1563a953312f0be898d3c7b6c06b681aa86a874555f4a',
    signature: 'MEUCIQDKZokqnCjrRtw0tni+2Ltvl/uiMJ1EGumEsp1BsNr32AIgQY1YXD2nlj+XNfGK4rBfkMJ1JDOQcYXxa2sY8FNkrKc=',
    body: '[{"token":"some_token","type":"some_type","url":"some_url"}]',
  },
];

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A GitHub as Keyledger sees it: the list of its public keys over HTTP, and reports signed with one of them. */
export class GithubPeer {
  /** Every request for the list, by its If-None-Match. */
  readonly asked: (string | undefined)[] = [];
  private readonly identifier: string;
  private readonly privateKey: KeyObject;
  private readonly server: Server;

  private constructor(private readonly port: number) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const own = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    this.privateKey = privateKey;
    this.identifier = sha256(own);
    const list = [own, ...SAMPLE_KEYS].map((key) => ({ key_identifier: sha256(key), key, is_current: key === own }));
    const body = JSON.stringify({ public_keys: list });
    const etag = `"${sha256(body)}"`;
    this.server = createServer((request, response) => {
      this.asked.push(request.headers['if-none-match']);
      const known = request.headers['if-none-match'] === etag;
      response.writeHead(known ? 304 : 200, { etag, 'content-type': 'application/json' }).end(known ? '' : body);
    });
  }

  static async start(): Promise<GithubPeer> {
    const { port } = await claimPort();
    const peer = new GithubPeer(port);
    await new Promise<void>((resolve) => peer.server.listen(port, '127.0.0.1', resolve));
    return peer;
  }

  get keysUrl(): string {
    return `http://127.0.0.1:${this.port}/meta/public_keys/secret_scanning`;
  }

  signed(body: string): Record<string, string> {
    const signature = sign('sha256', Buffer.from(body), this.privateKey).toString('base64');
    return { 'Github-Public-Key-Identifier': this.identifier, 'Github-Public-Key-Signature': signature };
  }

  /** Sends a report that it has signed. */
  async report(apiUrl: string, items: unknown): Promise<Answer> {
    const body = typeof items === 'string' ? items : JSON.stringify(items);
    return http(apiUrl).post(GITHUB_ROUTE, body, this.signed(body));
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

export const GITHUB_ROUTE = '/v1/integrations/github/secret-scanning';
export const tokenHash = sha256;
