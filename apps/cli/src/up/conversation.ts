import { connect } from 'node:net';

export interface Address {
  host: string;
  port: number;
}

const ANSWER_TIMEOUT_MS = 2_000;

/**
 * Connects, says one thing if there is one to say, and gives the first piece of the answer; '' where nothing is said.
 * @throws Error when the connection is refused, or nothing comes in two seconds
 */
export function converse({ host, port }: Address, said = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    const settle = (error: Error | undefined, answer = '') => {
      socket.destroy();
      if (error) reject(error);
      else resolve(answer);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => settle(new Error(`${host}:${port} does not answer`)));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      settle(new Error(`${host}:${port} cannot be reached (${error.code ?? error.message})`));
    });
    socket.once('close', () => settle(new Error(`${host}:${port} closed the connection`)));
    socket.once('connect', () => (said === '' ? settle(undefined) : socket.write(said)));
    socket.once('data', (data) => settle(undefined, data.toString()));
  });
}
