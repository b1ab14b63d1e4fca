/** Events of one stream that are too many to be fetched: how many start in each piece of time. */

import { get } from '../api/http';
import type { EventCounts, EventRecord, Modality } from '../api/types';

const SECOND = 1000;
/** Pieces of time, in seconds. */
const PIECES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
/** One look is cut into at most so many pieces. */
const MOST = 4000;
/** A look at less than one part in so many of what was counted is counted anew, in shorter pieces. */
const COARSE = 4;

export class Crowd {
  /** How many there are in all. */
  private total = 0;

  private constructor(
    readonly from: number,
    /** Milliseconds of one piece. */
    readonly piece: number,
    /** Of what is seen; of what is heard. What is both is in both. */
    readonly lanes: readonly [Uint32Array, Uint32Array],
    private readonly starts: Uint32Array,
  ) {}

  static async count(stream: string, from: number, to: number): Promise<Crowd> {
    const wanted = (to - from) / SECOND / MOST;
    const seconds = PIECES.find((piece) => piece >= wanted) ?? Math.ceil(wanted);
    const piece = seconds * SECOND;
    // On a grid, so that what is counted anew is cut in the same places.
    const begin = Math.floor(from / piece) * piece;
    const size = Math.ceil((to - begin) / piece);
    const { counts } = await get<EventCounts>('/v1/events/counts', {
      stream,
      from: new Date(begin).toISOString(),
      to: new Date(begin + size * piece).toISOString(),
      bucket: seconds,
    });
    const crowd = new Crowd(begin, piece, [new Uint32Array(size), new Uint32Array(size)], new Uint32Array(size));
    for (const { start, visual, audio, both } of counts) {
      const time = Date.parse(start);
      crowd.add(time, 'visual', visual);
      crowd.add(time, 'audio', audio);
      crowd.add(time, 'both', both);
    }
    return crowd;
  }

  get to(): number {
    return this.from + this.starts.length * this.piece;
  }

  get count(): number {
    return this.total;
  }

  /** Does it hold a look, in pieces that are short enough for it? */
  serves(from: number, to: number): boolean {
    return from >= this.from && to <= this.to && (to - from) * COARSE > this.to - this.from;
  }

  /** How many start in a span, to a piece at either end. */
  within(from: number, to: number): number {
    const first = Math.max(0, Math.floor((from - this.from) / this.piece));
    const last = Math.min(this.starts.length, Math.ceil((to - this.from) / this.piece));
    let sum = 0;
    for (let index = first; index < last; index++) sum += this.starts[index] as number;
    return sum;
  }

  /** An event that was told since. */
  told(event: EventRecord): void {
    this.add(Date.parse(event.start.utc), event.modality, 1);
  }

  private add(time: number, modality: Modality, count: number): void {
    const index = Math.floor((time - this.from) / this.piece);
    if (index < 0 || index >= this.starts.length) return;
    this.starts[index] = (this.starts[index] as number) + count;
    this.total += count;
    for (const lane of [0, 1] as const) {
      if (modality === (lane === 0 ? 'audio' : 'visual')) continue;
      this.lanes[lane][index] = (this.lanes[lane][index] as number) + count;
    }
  }
}
