/** All that the page knows, and what keeps it up to date. */

import { get, id, Problem } from '../api/http';
import { listen, type Told } from '../api/sse';
import type { Alert, CoverageRecord, ErrorRecord, EventRecord, StreamStatus, StreamView, Watched } from '../api/types';
import { Coverage } from './coverage';
import { Events } from './events';
import { Pictures } from './pictures';
import { Signal } from './signal';

const STATUS_EVERY = 3000;
const HEALTH_EVERY = 20_000;
const PICTURES_EVERY = 4000;
/** Alerts and troubles that are shown. */
const MOST_TOLD = 200;

/** One stream: how it is, and what happened on it. */
export class Stream {
  readonly events: Events;
  readonly coverage: Coverage;
  watched: Watched | null = null;
  /** Somebody can see its row. */
  seen = false;

  constructor(public view: StreamView) {
    this.events = new Events(view.id);
    this.coverage = new Coverage(view.id);
  }

  get id(): string {
    return this.view.id;
  }

  get status(): StreamStatus | null {
    return this.view.status;
  }
}

export class Model {
  /** The list of streams, or how one of them is. */
  readonly streamsChanged = new Signal();
  readonly toldChanged = new Signal();
  readonly linkChanged = new Signal();
  readonly pictures = new Pictures();
  streams: Stream[] = [];
  /** The list was read at least once. */
  ready = false;
  /** Why it could not be read. */
  failure: string | null = null;
  /** Are records heard as they are told? */
  live = false;
  alerts: Alert[] = [];
  troubles: ErrorRecord[] = [];
  /** The fleet that the streams are shared in; null where this daemon is alone. */
  fleet: string | null = null;
  /** The loaded model; null while there is none. */
  modelName: string | null = null;
  private readonly end = new AbortController();

  start(): void {
    void listen(
      '/v1/events/stream',
      {
        opened: (afresh) => this.opened(afresh),
        closed: () => this.link(false),
        told: (told) => this.told(told),
      },
      this.end.signal,
    );
    this.every(STATUS_EVERY, () => this.refresh());
    this.every(HEALTH_EVERY, () => this.health());
    this.every(PICTURES_EVERY, () => this.look());
  }

  stop(): void {
    this.end.abort();
  }

  find(stream: string): Stream | undefined {
    return this.streams.find((one) => one.id === stream);
  }

  /** Reads the list of streams. */
  async refresh(): Promise<void> {
    try {
      const { streams, fleet } = await get<{ streams: StreamView[]; fleet?: string }>('/v1/streams');
      this.fleet = fleet ?? null;
      this.streams = streams.map((view) => {
        const known = this.find(view.id);
        if (!known) return new Stream(view);
        known.view = view;
        return known;
      });
      this.ready = true;
      this.failure = null;
      if (this.modelName === null) {
        const models = await get<{ data: { id: string }[] }>('/v1/models');
        this.modelName = models.data[0]?.id ?? null;
      }
    } catch (error) {
      this.failure = Problem.of(error).message;
    }
    this.streamsChanged.tell();
  }

  private async health(): Promise<void> {
    for (const stream of this.streams.filter((one) => one.seen)) {
      await this.healthOf(stream);
    }
  }

  /** What was watched of a stream in the last hour. */
  async healthOf(stream: Stream): Promise<void> {
    try {
      stream.watched = (await get<{ coverage: Watched }>(`/v1/streams/${id(stream.id)}/health`)).coverage;
      this.streamsChanged.tell();
    } catch {
      // The list of streams fails the same way, and says why.
    }
  }

  private async look(): Promise<void> {
    for (const stream of this.streams.filter((one) => one.seen && one.view.enabled && one.status)) {
      await this.pictures.fetch(stream.id);
    }
  }

  private opened(afresh: boolean): void {
    if (afresh) {
      for (const stream of this.streams) {
        stream.events.forget();
        stream.coverage.forget();
      }
    }
    this.link(true);
  }

  private link(live: boolean): void {
    this.live = live;
    this.linkChanged.tell();
  }

  private told({ event, data }: Told): void {
    if (event === 'keepalive') return;
    const record: unknown = JSON.parse(data);
    const stream = this.find((record as { stream_id: string }).stream_id);
    if (event === 'coverage') {
      stream?.coverage.told(record as CoverageRecord);
    } else if (event === 'alert') {
      this.alerts = [record as Alert, ...this.alerts].slice(0, MOST_TOLD);
      this.toldChanged.tell();
    } else if (event === 'error') {
      this.troubles = [record as ErrorRecord, ...this.troubles].slice(0, MOST_TOLD);
      this.toldChanged.tell();
    } else if (stream) {
      stream.events.told(record as EventRecord);
    } else {
      // A stream that was added elsewhere: its events are fetched once it is in the list.
      void this.refresh();
    }
  }

  /** Does something now and again, one after the other, while the page can be seen. */
  private every(pause: number, action: () => Promise<void>): void {
    const again = async () => {
      if (this.end.signal.aborted) return;
      if (document.visibilityState === 'visible') await action();
      setTimeout(again, pause);
    };
    void again();
  }
}
