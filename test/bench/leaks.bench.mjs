/**
 * From a leak report to the first refusal at the verifier, over HTTP, one report after the other: the time until the
 * verifier says REVOKED, asked from the moment the report is sent. Beside it the time of the answer, and of a revocation
 * of the same system in the same run, which is one append where a report is four.
 */
import { quantile, report } from './report.mjs';
import { caller, KEY_REQUEST, inParallel, startSystem } from './system.mjs';

const KEYS = 300;
const WARM_UP = 30;

export async function benchLeaks() {
  const system = await startSystem();
  await system.call('POST', '/v1/keyspaces', { name: 'Bench', prefix: 'bench' });
  const verify = caller(system.verifier.baseUrl, system.adminKey);
  const issue = (count) => inParallel(count, 16, () => system.call('POST', '/v1/keys', KEY_REQUEST));
  const leaked = await issue(KEYS + WARM_UP);
  const revoked = await issue(KEYS + WARM_UP);
  const ways = {
    'leak report': {
      keys: leaked,
      send: ({ key }, index) => system.call('POST', '/v1/leaks', { key, url: `https://a.example/${index}` }),
    },
    revocation: {
      keys: revoked,
      send: ({ keyId }) => system.call('POST', `/v1/keys/${keyId}/revoke`, { reason: 'leaked' }),
    },
  };
  const rows = [];
  for (const [way, { keys, send }] of Object.entries(ways)) {
    const answered = [];
    const refused = [];
    for (const [index, key] of keys.entries()) {
      const began = performance.now();
      const answer = send(key, index).then(({ effective }) => {
        if (!effective) throw new Error(`${way} ${index} was not effective when it was answered`);
        return performance.now() - began;
      });
      const refusedAfter = await refusalOf(verify, key.key, began);
      if (index >= WARM_UP) {
        refused.push(refusedAfter);
        answered.push(await answer);
      } else await answer;
    }
    rows.push({
      way,
      'to refusal p50 ms': quantile(refused, 0.5),
      'to refusal p99 ms': quantile(refused, 0.99),
      'to answer p50 ms': quantile(answered, 0.5),
      'to answer p99 ms': quantile(answered, 0.99),
    });
  }
  const [leak, plain] = rows;
  report('leak report to refusal at the verifier', rows, {
    'leak report / revocation, to refusal p50': leak['to refusal p50 ms'] / plain['to refusal p50 ms'],
  });
}

async function refusalOf(verify, key, began) {
  for (;;) {
    const { code } = await verify('POST', '/v1/verify', { key });
    if (code === 'REVOKED') return performance.now() - began;
    if (performance.now() - began > 30_000) throw new Error(`the key is ${code} after 30 s`);
  }
}
