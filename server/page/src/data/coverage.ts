/** What was watched of one stream. Neighbours that are alike are one span. */

import { get } from '../api/http';
import type { CoverageRecord, Presence } from '../api/types';
import { Ranges, type Range } from './ranges';
import { Signal } from './signal';

export interface Cover {
  from: number;
  to: number;
  watched: boolean;
  audio: Presence;
  video: Presence;
  reason: string | null;
}

/** Spans of one call. */
const PAGE = 10_000;
/** How much of a hole one call asks for: a record a second fits in a page. */
const PIECE = 2 * 3600 * 1000;
/** Two spans that are no farther apart touch: instants are told in whole milliseconds. */
const TOUCH = 2;
/** Coverage is told when its window is done; until then it is asked for again. */
const SETTLED = 120_000;

export class Coverage {
  readonly changed = new Signal();
  private covers: Cover[] = [];
  private readonly known = new Ranges();
  private wanted: Range = { from: 0, to: 0 };
  private loading = false;

  constructor(readonly stream: string) {}

  /** Spans that overlap, by start. */
  within(from: number, to: number): Cover[] {
    return this.covers.filter((cover) => cover.to > from && cover.from < to);
  }

  at(time: number): Cover | undefined {
    return this.covers.find((cover) => cover.from <= time && time < cover.to);
  }

  /** The next span after `time` that was not watched. */
  nextHole(time: number): Cover | undefined {
    return this.covers.find((cover) => !cover.watched && cover.from > time);
  }

  told(record: CoverageRecord): void {
    this.put([record]);
    this.changed.tell();
  }

  forget(): void {
    this.known.clear();
  }

  async want(from: number, to: number): Promise<void> {
    this.wanted = { from, to: Math.min(to, Date.now()) };
    if (this.loading) return;
    this.loading = true;
    try {
      for (let hole = this.hole(); hole; hole = this.hole()) await this.piece(hole);
    } catch {
      // The stream's events fail the same way, and say why.
    }
    this.loading = false;
  }

  private hole(): Range | undefined {
    return this.known.missing(this.wanted.from, this.wanted.to).at(-1);
  }

  private async piece(hole: Range): Promise<void> {
    const from = Math.max(hole.from, hole.to - PIECE);
    const { coverage } = await get<{ coverage: CoverageRecord[] }>('/v1/coverage', {
      stream: this.stream,
      from: new Date(from).toISOString(),
      to: new Date(hole.to).toISOString(),
      limit: PAGE,
    });
    this.put(coverage);
    this.known.add(from, hole.to > Date.now() - SETTLED ? Number.POSITIVE_INFINITY : hole.to);
    this.changed.tell();
  }

  private put(records: CoverageRecord[]): void {
    const added = records.map(cover);
    const all = [...this.covers, ...added].sort((one, other) => one.from - other.from || one.to - other.to);
    const joined: Cover[] = [];
    for (const next of all) {
      const last = joined.at(-1);
      if (last && alike(last, next) && next.from <= last.to + TOUCH) last.to = Math.max(last.to, next.to);
      else joined.push({ ...next });
    }
    this.covers = joined;
  }
}

function cover(record: CoverageRecord): Cover {
  const { watched, audio, video, reason } = record;
  return { from: Date.parse(record.start.utc), to: Date.parse(record.end.utc), watched, audio, video, reason };
}

function alike(one: Cover, other: Cover): boolean {
  return (
    one.watched === other.watched &&
    one.audio === other.audio &&
    one.video === other.video &&
    one.reason === other.reason
  );
}

/** A span in words. */
export function coverWords(cover: Cover | undefined): string {
  if (!cover) return 'no record of being watched';
  if (!cover.watched) return `not watched: ${cover.reason ?? 'no reason told'}`;
  const lacks = [
    cover.video === 'present' ? [] : [cover.video === 'missing' ? 'no picture' : 'picture in part'],
    cover.audio === 'present' ? [] : [cover.audio === 'missing' ? 'no sound' : 'sound in part'],
  ].flat();
  const words = ['watched', ...lacks].join(', ');
  return cover.reason ? `${words}: ${cover.reason}` : words;
}
