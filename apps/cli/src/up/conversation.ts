import { connect } from 'node:net';

export interface Address {
  host: string;
  port: number;
}

const ANSWER_TIMEOUT_MS = 2_000;

/**
 * Connects, says one thing if there is one to say, and gives the beginning of the answer; '' where nothing is said.
 * @param least how many bytes of the answer are waited for, unless it ends before
 * @throws Error when the connection is refused, or nothing comes in two seconds
 */
export function converse({ host, port }: Address, said = '', least = 1): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    let answer = Buffer.alloc(0);
    const settle = (error?: Error) => {
      socket.destroy();
      if (error && answer.length === 0) reject(error);
      else resolve(answer.toString());
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => settle(new Error(`${host}:${port} does not answer`)));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      settle(new Error(`${host}:${port} cannot be reached (${error.code ?? error.message})`));
    });
    socket.once('close', () => settle(new Error(`${host}:${port} closed the connection`)));
    socket.once('connect', () => (said === '' ? settle() : socket.write(said)));
    socket.on('data', (data) => {
      answer = Buffer.concat([answer, data]);
      if (answer.length >= least) settle();
    });
  });
}
