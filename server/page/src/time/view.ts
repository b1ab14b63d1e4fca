/** The span of time that all time lines show. */

import { Signal } from '../data/signal';

const SECOND = 1000;
const DAY = 86_400 * SECOND;
export const SHORTEST = 2 * SECOND;
export const LONGEST = 31 * DAY;
/** While the present is followed, this part of the span lies ahead of it. */
const AHEAD = 0.04;

export class View {
  readonly changed = new Signal();
  from: number;
  to: number;
  /** Does the span move with the present? */
  follows = true;

  constructor(span: number) {
    const now = Date.now();
    this.to = now + span * AHEAD;
    this.from = this.to - span;
  }

  get span(): number {
    return this.to - this.from;
  }

  get middle(): number {
    return (this.from + this.to) / 2;
  }

  /** Moves with the present, when it is followed. */
  tick(): void {
    if (!this.follows) return;
    this.place(Date.now() + this.span * AHEAD - this.span, this.span);
  }

  /** Later by so many milliseconds. */
  pan(by: number): void {
    this.follows = false;
    this.place(this.from + by, this.span);
  }

  /** Shows `factor` times as much; what is at `time` stays where it is. */
  zoom(factor: number, time: number): void {
    const span = Math.min(LONGEST, Math.max(SHORTEST, this.span * factor));
    const left = (time - this.from) / this.span;
    this.place(time - left * span, span);
    if (this.follows) this.tick();
  }

  /** Zooms about the present while it is followed, else about the middle. */
  zoomBy(factor: number): void {
    this.zoom(factor, this.follows ? Date.now() : this.middle);
  }

  /** The last `span` until now, and on. */
  follow(span = this.span): void {
    this.follows = true;
    this.place(Date.now() + span * AHEAD - span, span);
  }

  show(from: number, to: number): void {
    this.follows = false;
    const span = Math.min(LONGEST, Math.max(SHORTEST, to - from));
    this.place((from + to) / 2 - span / 2, span);
  }

  /** Brings a span into sight, with as little change as it takes. */
  reveal(from: number, to: number): void {
    if (from >= this.from && to <= this.to) return;
    if (to - from > this.span) this.show(from - 0.2 * (to - from), to + 0.2 * (to - from));
    else this.show((from + to - this.span) / 2, (from + to + this.span) / 2);
  }

  private place(from: number, span: number): void {
    // Nothing has happened yet in what is to come.
    const latest = Date.now() + span * 0.5;
    this.to = Math.min(from + span, latest);
    this.from = this.to - span;
    this.changed.tell();
  }
}
