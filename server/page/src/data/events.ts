/** The events of one stream, as far as they have been fetched or told. */

import { get, Problem } from '../api/http';
import type { EventPage, EventRecord, EventView, Modality, Phase, Review } from '../api/types';
import { Crowd } from './crowd';
import { Layout } from './layout';
import { Ranges, type Range } from './ranges';
import { Signal } from './signal';

/** What the time line needs of an event. */
export interface Happening {
  readonly id: string;
  readonly stream: string;
  readonly label: string;
  readonly start: number;
  readonly end: number;
  readonly score: number;
  readonly modality: Modality;
  readonly phase: Phase;
  readonly revision: number;
  readonly review: Review | null;
}

/** Events of one call. */
const PAGE = 1000;
/** A look at more than so many counts them, and fetches the newest only. */
const CROWD = 3000;
/** Events that are held; beyond, those out of sight are forgotten. */
const MOST_HELD = 400_000;
/** After a call that failed, none for so long. */
const PAUSE = 3000;
/** Laying events out takes at most one part in so many of the time. */
const SHARE = 10;

export function happening(event: EventRecord, review: Review | null): Happening {
  return {
    id: event.event_id,
    stream: event.stream_id,
    label: event.label,
    start: Date.parse(event.start.utc),
    end: Date.parse(event.end.utc),
    score: event.score,
    modality: event.modality,
    phase: event.phase,
    revision: event.revision,
    review,
  };
}

export class Events {
  readonly changed = new Signal();
  /** Something is being fetched. */
  loading = false;
  /** Too many to be told apart at what is looked at: what is drawn instead of them. */
  crowd: Crowd | null = null;
  /** Why the last call failed. */
  failure: string | null = null;
  private readonly byId = new Map<string, Happening>();
  private readonly known = new Ranges();
  private laid = Layout.of([]);
  /** Is there something that is not laid out? */
  private stale = false;
  private layNext = 0;
  private layTimer = 0;
  private notBefore = 0;
  private wanted: Range = { from: 0, to: 0 };

  constructor(readonly stream: string) {}

  get count(): number {
    return this.byId.size;
  }

  /** All events, laid out in time. Of very many the newest may be told a moment later. */
  layout(): Layout {
    const now = performance.now();
    if (this.stale && now >= this.layNext) {
      this.laid = Layout.of([...this.byId.values()]);
      this.stale = false;
      const done = performance.now();
      this.layNext = done + SHARE * (done - now);
    } else if (this.stale && this.layTimer === 0) {
      this.layTimer = window.setTimeout(() => {
        this.layTimer = 0;
        this.changed.tell();
      }, this.layNext - now);
    }
    return this.laid;
  }

  find(id: string): Happening | undefined {
    return this.byId.get(id);
  }

  /** A record that was told live. */
  told(record: EventRecord): void {
    if (!this.byId.has(record.event_id) && record.phase === 'started') this.crowd?.told(record);
    this.put(happening(record, this.byId.get(record.event_id)?.review ?? null));
    this.drawn();
  }

  /** Somebody said something of an event. */
  reviewed(id: string, review: Review | null): void {
    const event = this.byId.get(id);
    if (!event) return;
    this.byId.set(id, { ...event, review });
    this.drawn();
  }

  /** What was told meanwhile may have been missed: all is fetched again. */
  forget(): void {
    this.known.clear();
    this.crowd = null;
  }

  /** Sees to it that what happens in the span is there: the newest first or, where it is a crowd, how many there are. */
  async want(from: number, to: number): Promise<void> {
    this.wanted = { from, to };
    await this.fetching(async () => {
      for (let hole = this.hole(); hole; hole = this.hole()) {
        const crowded = await this.counted();
        if (crowded && hole.to < this.wanted.to) break;
        await this.page(hole);
        if (crowded) break;
      }
      if (!this.hole()) this.crowd = null;
    });
  }

  /** Fetches some more of a crowd that is looked at, the newest first. */
  async more(): Promise<void> {
    const hole = this.hole();
    if (hole) await this.fetching(() => this.page(hole));
  }

  /** How many there are in a span: those that are there or, of a crowd, those that were counted. */
  within(from: number, to: number): number {
    return this.crowd?.within(from, to) ?? this.layout().overlapping(from, to).length;
  }

  private async fetching(fetch: () => Promise<void>): Promise<void> {
    if (this.loading || Date.now() < this.notBefore) return;
    this.loading = true;
    try {
      await fetch();
      this.failure = null;
    } catch (error) {
      this.failure = Problem.of(error).message;
      this.notBefore = Date.now() + PAUSE;
    }
    this.loading = false;
    this.tidy();
    this.changed.tell();
  }

  /** Is what is looked at a crowd? One that was counted before is not counted again. */
  private async counted(): Promise<boolean> {
    const { from, to } = this.wanted;
    if (!this.crowd?.serves(from, to)) {
      const crowd = await Crowd.count(this.stream, from, to);
      this.crowd = crowd.count > CROWD ? crowd : null;
      this.changed.tell();
    }
    return this.crowd !== null;
  }

  private hole(): Range | undefined {
    return this.known.missing(this.wanted.from, this.wanted.to).at(-1);
  }

  /** One page from the end of a hole. */
  private async page(hole: Range): Promise<void> {
    const open = hole.to >= Date.now();
    const { events, next } = await get<EventPage>('/v1/events', {
      stream: this.stream,
      from: new Date(hole.from).toISOString(),
      to: open ? undefined : new Date(hole.to).toISOString(),
      limit: PAGE,
    });
    events.forEach((event: EventView) => this.put(happening(event, event.review)));
    const oldest = events.at(-1);
    // What starts then may go on in the next page.
    const from = next && oldest ? Math.max(hole.from, Date.parse(oldest.start.utc) + 1) : hole.from;
    const to = open ? Number.POSITIVE_INFINITY : hole.to;
    // A page that ends in the instant in which it began: it is passed over, or it would come for ever.
    this.known.add(Math.min(from, to - 1), to);
    if (events.length > 0) this.drawn();
  }

  private put(event: Happening): void {
    const before = this.byId.get(event.id);
    if (!before || before.revision <= event.revision) this.byId.set(event.id, event);
  }

  private drawn(): void {
    this.stale = true;
    this.changed.tell();
  }

  private tidy(): void {
    if (this.byId.size <= MOST_HELD) return;
    const { from, to } = this.wanted;
    for (const [id, event] of this.byId) {
      if (event.end < from || event.start > to) this.byId.delete(id);
    }
    this.known.keep(from, to >= Date.now() ? Number.POSITIVE_INFINITY : to);
    this.stale = true;
  }
}
