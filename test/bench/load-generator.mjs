/**
 * A lean HTTP/1.1 load generator: keep-alive sockets, each sending its next request when its answer has arrived, and
 * every answer checked for a text that a right answer has. Run as a process of its own, so that it can be pinned to
 * another core than the server:
 *
 *   node load-generator.mjs '{"port":7400,"path":"/v1/verify","headers":{},"bodies":["…"],"expect":"\"valid\":true",
 *                             "connections":64,"seconds":3}'
 *
 * Prints one JSON line: requests, wrong (answers that lack the text), seconds, and latency quantiles in microseconds.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { pathToFileURL } from 'node:url';

const HEAD_END = Buffer.from('\r\n\r\n');

function requestsOf({ port, path, headers, bodies }) {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, 'content-type': 'application/json', ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return bodies.map((body) =>
    Buffer.from(`POST ${path} HTTP/1.1\r\n${lines}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`),
  );
}

/** One connection; calls `answered(text)` for every whole response. */
function client(port, answered, failed) {
  let pending = Buffer.alloc(0);
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  socket.on('error', failed);
  socket.on('close', () => failed(new Error('the server closed the connection')));
  socket.on('data', (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const headEnd = pending.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = pending.latin1Slice(0, headEnd);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const end = headEnd + 4 + length;
    if (pending.length < end) return;
    const body = pending.latin1Slice(headEnd + 4, end);
    pending = pending.subarray(end);
    answered(head, body);
  });
  return socket;
}

export async function run(options) {
  const requests = requestsOf(options);
  const latencies = new Float64Array(4_000_000);
  let done = 0;
  let wrong = 0;
  let next = 0;
  let running = true;
  let sample;
  await new Promise((resolve, reject) => {
    const sockets = [];
    for (let i = 0; i < options.connections; i++) {
      let sentAt = 0;
      const send = () => {
        sentAt = performance.now();
        socket.write(requests[next++ % requests.length]);
      };
      const socket = client(
        options.port,
        (head, body) => {
          if (done < latencies.length) latencies[done] = performance.now() - sentAt;
          done++;
          if (!head.startsWith('HTTP/1.1 200') || !body.includes(options.expect)) {
            wrong++;
            sample ??= `${head.split('\r\n', 1)[0]} ${body.slice(0, 200)}`;
          }
          if (running) send();
        },
        (error) => running && reject(error),
      );
      socket.on('connect', send);
      sockets.push(socket);
    }
    setTimeout(() => {
      running = false;
      for (const socket of sockets) socket.destroy();
      resolve();
    }, options.seconds * 1000);
  });
  const sorted = latencies.subarray(0, Math.min(done, latencies.length)).sort();
  const quantile = (q) => Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 1000);
  return { requests: done, wrong, sample, seconds: options.seconds, p50us: quantile(0.5), p99us: quantile(0.99) };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const argument = process.argv[2] ?? '-';
  const text = argument === '-' ? readFileSync(0, 'utf8') : argument;
  console.log(JSON.stringify(await run(JSON.parse(text))));
}
