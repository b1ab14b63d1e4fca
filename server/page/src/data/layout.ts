/** Events in order of their start, in flat arrays that can be gone through for every frame. */

import type { Happening } from './events';

/** Rows of a lane; events that happen at once lie below each other. */
export const ROWS = 3;
export const SEEN = 1;
export const HEARD = 2;

const LANES = { visual: SEEN, audio: HEARD, both: SEEN | HEARD } as const;

export class Layout {
  private constructor(
    readonly events: readonly Happening[],
    readonly start: Float64Array,
    readonly end: Float64Array,
    /** SEEN, HEARD or both. */
    readonly lanes: Uint8Array,
    /** Row in the lane of what is seen; of what is heard. */
    readonly rows: readonly [Uint8Array, Uint8Array],
    /** The latest end of an event and all before it. */
    private readonly reach: Float64Array,
  ) {}

  static of(events: Happening[]): Layout {
    events.sort((one, other) => one.start - other.start || one.end - other.end);
    const count = events.length;
    const start = new Float64Array(count);
    const end = new Float64Array(count);
    const reach = new Float64Array(count);
    const lanes = new Uint8Array(count);
    const rows = [new Uint8Array(count), new Uint8Array(count)] as const;
    const free = [new Float64Array(ROWS).fill(-Infinity), new Float64Array(ROWS).fill(-Infinity)] as const;
    let latest = -Infinity;
    events.forEach((event, index) => {
      start[index] = event.start;
      end[index] = event.end;
      latest = Math.max(latest, event.end);
      reach[index] = latest;
      const lane = LANES[event.modality];
      lanes[index] = lane;
      if (lane & SEEN) rows[0][index] = take(free[0], event);
      if (lane & HEARD) rows[1][index] = take(free[1], event);
    });
    return new Layout(events, start, end, lanes, rows, reach);
  }

  /** Indices of events that may touch a span: from the first, up to and without the last. */
  within(from: number, to: number): [number, number] {
    return [first(this.reach, (reach) => reach >= from), first(this.start, (start) => start > to)];
  }

  /** The events that overlap a span, by start. */
  overlapping(from: number, to: number): Happening[] {
    const [begin, end] = this.within(from, to);
    return this.events.slice(begin, end).filter((event) => event.end >= from);
  }

  /** The event after (`step` 1) or before (-1) another, or the first one that starts after `time`. */
  next(current: string | null, time: number, step: 1 | -1): Happening | undefined {
    const at = current === null ? -1 : this.events.findIndex((event) => event.id === current);
    if (at >= 0) return this.events[at + step];
    const after = first(this.start, (start) => start > time);
    return this.events[step > 0 ? after : after - 1];
  }
}

/** The first row that is free, or else the one that will be soonest. */
function take(free: Float64Array, event: Happening): number {
  let row = 0;
  for (let other = 0; other < ROWS; other++) {
    const until = free[other] as number;
    if (until <= event.start) {
      row = other;
      break;
    }
    if (until < (free[row] as number)) row = other;
  }
  free[row] = Math.max(free[row] as number, event.end);
  return row;
}

/** The first index of rising values that is as wanted. */
function first(values: Float64Array, wanted: (value: number) => boolean): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (wanted(values[middle] ?? Infinity)) high = middle;
    else low = middle + 1;
  }
  return low;
}
