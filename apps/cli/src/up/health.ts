import { get } from 'node:http';
import type { Address } from './conversation.js';

const TIMEOUT_MS = 5_000;

/** Throws, with what the app itself says is failing, until `GET /health/ready` answers 200. */
export function checkHealth({ host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: '/health/ready', timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body = (body + text).slice(0, 1000)));
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`/health/ready answers ${response.statusCode} ${body}`));
      });
    });
    request.once('timeout', () => request.destroy(new Error(`/health/ready does not answer in ${TIMEOUT_MS} ms`)));
    request.once('error', reject);
  });
}
