/** Where the marks of a time axis go, and what they say. */

import { clockTime, dayName, minuteTime } from './format';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((count) => count * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE),
  ...[1, 2, 3, 6, 12].map((count) => count * HOUR),
  ...[1, 2, 7].map((count) => count * DAY),
];

export interface Tick {
  time: number;
  text: string;
  /** The first of a day. */
  major: boolean;
}

/** Marks of a span, at most `most` of them. */
export function ticks(from: number, to: number, most: number): Tick[] {
  const least = (to - from) / Math.max(1, most);
  const step = STEPS.find((length) => length >= least) ?? 7 * DAY;
  const found: Tick[] = [];
  for (let time = first(from, step); time < to; time = next(time, step)) {
    if (time >= from) found.push(tick(time, step));
  }
  return found;
}

function tick(time: number, step: number): Tick {
  const midnight = new Date(time).getHours() === 0 && time % HOUR === 0;
  if (midnight) return { time, text: dayName(time), major: true };
  return { time, text: step < MINUTE ? clockTime(time) : minuteTime(time), major: false };
}

/** The last round time before `from`, in this machine's zone: days begin at its midnight, also where clocks change. */
function first(from: number, step: number): number {
  const midnight = new Date(from);
  midnight.setHours(0, 0, 0, 0);
  if (step >= DAY) return midnight.getTime();
  return midnight.getTime() + Math.floor((from - midnight.getTime()) / step) * step;
}

function next(time: number, step: number): number {
  const after = new Date(time);
  if (step >= DAY) {
    after.setDate(after.getDate() + step / DAY);
    return after.getTime();
  }
  after.setHours(24, 0, 0, 0);
  return Math.min(time + step, after.getTime());
}
