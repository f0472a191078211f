const TIMEOUT_MS = 30_000;

export interface Answer {
  status: number;
  headers: Headers;
  /** The JSON body; `{text}` of anything else. */
  // Tests look into answers of every shape; what is not there fails the expectation, not the compiler.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
}

type RequestHeaders = Record<string, string>;

export interface Client {
  get(path: string, headers?: RequestHeaders): Promise<Answer>;
  post(path: string, body?: unknown, headers?: RequestHeaders): Promise<Answer>;
  patch(path: string, body?: unknown, headers?: RequestHeaders): Promise<Answer>;
  delete(path: string, headers?: RequestHeaders): Promise<Answer>;
  /** A string body is sent as it is, anything else as JSON. */
  request(method: string, path: string, body?: unknown, headers?: RequestHeaders): Promise<Answer>;
}

/**
 * A JSON client for one app.
 * @param key presented as a bearer credential; none if left out
 */
export function http(baseUrl: string, key?: string): Client {
  const request = async (
    method: string,
    path: string,
    body?: unknown,
    headers: RequestHeaders = {},
  ): Promise<Answer> => {
    const response = await fetch(baseUrl + path, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '') && text !== '';
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { text } };
  };
  return {
    request,
    get: (path, headers) => request('GET', path, undefined, headers),
    post: (path, body, headers) => request('POST', path, body, headers),
    patch: (path, body, headers) => request('PATCH', path, body, headers),
    delete: (path, headers) => request('DELETE', path, undefined, headers),
  };
}
