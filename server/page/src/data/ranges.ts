/** Spans of time, in milliseconds since 1970; the end is exclusive. */

export interface Range {
  from: number;
  to: number;
}

/** A set of spans that do not touch, in order. */
export class Ranges {
  private spans: Range[] = [];

  add(from: number, to: number): void {
    if (!(from < to)) return;
    const before = this.spans.filter((span) => span.to < from);
    const after = this.spans.filter((span) => span.from > to);
    const met = this.spans.slice(before.length, this.spans.length - after.length);
    const joined = { from: Math.min(from, met[0]?.from ?? from), to: Math.max(to, met.at(-1)?.to ?? to) };
    this.spans = [...before, joined, ...after];
  }

  /** What of `from` to `to` is not in the set. */
  missing(from: number, to: number): Range[] {
    const holes: Range[] = [];
    let at = from;
    for (const span of this.spans) {
      if (span.to <= at) continue;
      if (span.from >= to) break;
      if (span.from > at) holes.push({ from: at, to: span.from });
      at = span.to;
    }
    if (at < to) holes.push({ from: at, to });
    return holes;
  }

  /** Keeps only what is in `from` to `to`. */
  keep(from: number, to: number): void {
    const kept = this.spans.map((span) => ({ from: Math.max(span.from, from), to: Math.min(span.to, to) }));
    this.spans = kept.filter((span) => span.from < span.to);
  }

  clear(): void {
    this.spans = [];
  }
}
