/**
 * Server-sent events over `fetch`: an `EventSource` cannot send a token. After a break it goes on from the last record it heard.
 */

import { send } from './http';

export interface Told {
  id: string;
  event: string;
  data: string;
}

/** Gives out whole events of a text that comes in pieces. */
export class Parser {
  private rest = '';
  private id = '';
  private event = '';
  private data: string[] = [];

  /** The events that `piece` completes. */
  take(piece: string): Told[] {
    const lines = (this.rest + piece).split('\n');
    this.rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.line(line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  private line(line: string): Told[] {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') this.id = value;
    else if (field === 'event') this.event = value;
    else if (field === 'data') this.data.push(value);
    return [];
  }

  private dispatch(): Told[] {
    const told = { id: this.id, event: this.event, data: this.data.join('\n') };
    const whole = this.data.length > 0;
    this.event = '';
    this.data = [];
    return whole ? [told] : [];
  }
}

export interface Hearing {
  /** It is connected. `afresh` when what was told before may have been missed. */
  opened(afresh: boolean): void;
  closed(): void;
  told(told: Told): void;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
/** The daemon gives a sign of life every 15 s. */
const SILENCE = 40_000;

/** Hears until `signal`; comes back after every break. */
export async function listen(path: string, hearing: Hearing, signal: AbortSignal): Promise<void> {
  let last = '';
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      await connection(path, last, signal, {
        opened: () => {
          pause = FIRST_PAUSE;
          hearing.opened(last === '');
        },
        closed: () => undefined,
        told: (told) => {
          if (told.id) last = told.id;
          hearing.told(told);
        },
      });
    } catch {
      // Every break is mended the same way.
    }
    hearing.closed();
    await new Promise((resolve) => setTimeout(resolve, pause * (0.7 + 0.6 * Math.random())));
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
}

async function connection(path: string, last: string, signal: AbortSignal, hearing: Hearing): Promise<void> {
  const silence = new AbortController();
  const end = () => silence.abort();
  signal.addEventListener('abort', end);
  let timer = setTimeout(end, SILENCE);
  try {
    const headers: HeadersInit = { Accept: 'text/event-stream' };
    if (last) headers['Last-Event-ID'] = last;
    const response = await send(path, { headers, signal: silence.signal, cache: 'no-store' });
    hearing.opened(last === '');
    const reader = response.body?.getReader();
    const parser = new Parser();
    const text = new TextDecoder();
    for (;;) {
      const piece = await reader?.read();
      if (!piece || piece.done) return;
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      parser.take(text.decode(piece.value, { stream: true })).forEach((told) => hearing.told(told));
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}
