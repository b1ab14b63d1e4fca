/** Calls of the interface. A token, where one is needed, stays in this tab. */

import type { FieldProblem } from './types';

const KEPT = 'avicuna.token';

/** What the daemon answers when a call cannot be done. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly errors: FieldProblem[] = [],
    /** A stable word. */
    readonly type = '',
  ) {
    super(detail);
  }

  /** Of anything that was thrown. */
  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    return new Problem(0, error instanceof TypeError ? 'the daemon does not answer' : String(error));
  }
}

type Asked = (refused: boolean) => void;
let asks: Asked = () => undefined;

/** Who is told when the daemon wants a token; `refused` when it did not like the one it got. */
export function whenAsked(tell: Asked): void {
  asks = tell;
}

export function setToken(token: string): void {
  sessionStorage.setItem(KEPT, token);
}

/** `fetch` with the token; a status that is no success is a `Problem`. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(KEPT);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(path, { ...init, headers, credentials: 'omit' });
  if (response.ok) return response;
  if (response.status === 401) asks(token !== null);
  throw await problem(response);
}

async function problem(response: Response): Promise<Problem> {
  try {
    const told = (await response.json()) as { type?: string; detail?: string; errors?: FieldProblem[] };
    return new Problem(response.status, told.detail ?? response.statusText, told.errors, told.type);
  } catch {
    return new Problem(response.status, `the daemon answers ${response.status} ${response.statusText}`);
  }
}

type Parameters = Record<string, string | number | undefined>;

/** A path with parameters; those that are undefined are left out. */
export function address(path: string, parameters: Parameters = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search.size > 0 ? `${path}?${search}` : path;
}

export async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  const response = await send(address(path, parameters), signal ? { signal } : {});
  return (await response.json()) as T;
}

/** A call with a JSON body; `undefined` where nothing comes back. */
export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.headers = { 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  if (signal) init.signal = signal;
  const response = await send(path, init);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** An id as it stands in a path. */
export const id = encodeURIComponent;
