/** What is under a point of the time line. */

import type { Happening } from '../data/events';
import { HEARD, type Layout, SEEN } from '../data/layout';
import { type Columns, GAP, LANE, NARROW, ROW } from './draw';

export type Hit =
  | { kind: 'event'; event: Happening }
  /** Too many to tell apart. */
  | { kind: 'many'; count: number; from: number; to: number }
  | { kind: 'nothing' };

/** How far beside an event a pointer may be. */
const SLACK = 3;

export function hit(layout: Layout, counted: Columns, view: { from: number; to: number; width: number }, x: number, y: number): Hit {
  const lane = y < LANE + GAP / 2 ? 0 : 1;
  const row = Math.floor((y - lane * (LANE + GAP)) / ROW);
  const scale = (view.to - view.from) / view.width;
  const time = view.from + x * scale;
  const [first, last] = layout.within(time - SLACK * scale, time + SLACK * scale);
  // The last drawn is on top.
  for (let index = last - 1; index >= first; index--) {
    const event = layout.events[index];
    const wide = event && event.end - event.start >= NARROW * scale;
    const there = (layout.lanes[index] ?? 0) & (lane === 0 ? SEEN : HEARD) && layout.rows[lane][index] === row;
    if (wide && there && event.end >= time - SLACK * scale && event.start <= time + SLACK * scale) return { kind: 'event', event };
  }
  return column(layout, counted, lane, Math.floor(x), scale, view.from);
}

function column(layout: Layout, counted: Columns, lane: 0 | 1, x: number, scale: number, from: number): Hit {
  let nearest = -1;
  for (let away = 0; away <= SLACK && nearest < 0; away++) {
    nearest = [x - away, x + away].find((place) => (counted.counts[lane][place] ?? 0) > 0) ?? -1;
  }
  const count = counted.counts[lane][nearest] ?? 0;
  if (count === 0) return { kind: 'nothing' };
  const event = layout.events[counted.last[lane][nearest] ?? -1];
  if (count === 1 && event) return { kind: 'event', event };
  return { kind: 'many', count, from: from + nearest * scale, to: from + (nearest + 1) * scale };
}
