/** The newest pictures of streams, and some of those before, for events that are looked at soon after. */

import { id, send } from '../api/http';
import { Signal } from './signal';

export interface Picture {
  stream: string;
  url: string;
  /** When it was captured. */
  time: number;
}

/** Pictures that are held, of all streams together; one has some 15 KB. */
const MOST = 600;

export class Pictures {
  readonly changed = new Signal();
  private readonly held: Picture[] = [];

  newest(stream: string): Picture | undefined {
    return this.held.findLast((picture) => picture.stream === stream);
  }

  /** The picture nearest to `from` to `to`. */
  nearest(stream: string, from: number, to: number): Picture | undefined {
    const away = ({ time }: Picture) => Math.max(from - time, time - to, 0);
    const own = this.held.filter((picture) => picture.stream === stream);
    return own.sort((one, other) => away(one) - away(other))[0];
  }

  /** Fetches the newest picture; `false` where there is none. */
  async fetch(stream: string): Promise<boolean> {
    try {
      const response = await send(`/v1/streams/${id(stream)}/snapshot.jpg`, { cache: 'no-store' });
      const time = Date.parse(response.headers.get('X-Captured') ?? '') || Date.now();
      const blob = await response.blob();
      if (this.newest(stream)?.time !== time) this.put({ stream, url: URL.createObjectURL(blob), time });
      return true;
    } catch {
      return false;
    }
  }

  private put(picture: Picture): void {
    this.held.push(picture);
    const gone = this.held.length > MOST ? this.held.shift() : undefined;
    if (gone) URL.revokeObjectURL(gone.url);
    this.changed.tell();
  }
}
