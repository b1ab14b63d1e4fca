/** A daemon that is none: a day with as many made-up events as wanted, in the shapes of the interface. */

import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DIST = join(import.meta.dirname, '../dist');
const KINDS: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
const LABELS = ['a dog', 'speech', 'a car', 'music', 'rain', 'a door', 'footsteps', 'a siren'];
const DAY = 86_400_000;

interface Made {
  start: number;
  end: number;
  modality: 'visual' | 'audio' | 'both';
  record: string;
}

export class Mock {
  readonly calls: string[] = [];
  readonly end = Date.now();
  private readonly server: Server;
  private readonly events: Made[];

  private constructor(count: number) {
    this.events = made(count, this.end);
    this.server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://mock');
      this.calls.push(url.pathname + url.search);
      this.answer(url, response);
    });
  }

  static async start(count: number): Promise<Mock> {
    const mock = new Mock(count);
    await new Promise<void>((resolve) => mock.server.listen(0, '127.0.0.1', resolve));
    return mock;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(url: URL, response: ServerResponse): void {
    const json = (text: string) => response.setHeader('content-type', 'application/json').end(text);
    const moment = (name: string, otherwise: number) => Date.parse(url.searchParams.get(name) ?? '') || otherwise;
    switch (url.pathname) {
      case '/v1/streams':
        return void json(JSON.stringify({ streams: [STREAM] }));
      case '/v1/models':
        return void json('{"data": [{"id": "made-up"}]}');
      case '/v1/streams/busy/health':
        return void json('{"id": "busy", "coverage": {"watched": 3590, "not_watched": 10, "reasons": {"lost": 10}}}');
      case '/v1/coverage':
        return void json(JSON.stringify({ coverage: this.coverage(moment('from', 0), moment('to', this.end)) }));
      case '/v1/events':
        return void json(this.page(moment('from', 0), moment('to', Infinity), Number(url.searchParams.get('limit') ?? 100)));
      case '/v1/events/counts':
        return void json(this.counts(moment('from', 0), moment('to', Infinity), Number(url.searchParams.get('bucket') ?? 60)));
      case '/v1/events/stream':
        response.setHeader('content-type', 'text/event-stream');
        return alive(response);
    }
    const file = join(DIST, url.pathname === '/' ? 'index.html' : url.pathname);
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.setHeader('content-type', KINDS[file.split('.').at(-1) ?? ''] ?? 'application/octet-stream');
    response.end(readFileSync(file));
  }

  /** Newest first, as the daemon does. */
  private page(from: number, to: number, limit: number): string {
    const found: string[] = [];
    let more = false;
    for (const event of this.events) {
      if (event.start >= to || event.end <= from) continue;
      more = found.length === limit;
      if (more) break;
      found.push(event.record);
    }
    return `{"events": [${found.join(',')}], "next": ${more ? '"more"' : 'null'}}`;
  }

  private counts(from: number, to: number, bucket: number): string {
    const pieces = new Map<number, { visual: number; audio: number; both: number }>();
    for (const { start, modality } of this.events) {
      if (start < from || start >= to) continue;
      const piece = Math.floor((start - from) / (bucket * 1000));
      const counted = pieces.get(piece) ?? { visual: 0, audio: 0, both: 0 };
      counted[modality] += 1;
      pieces.set(piece, counted);
    }
    const counts = [...pieces].map(([piece, counted]) => ({
      stream_id: 'busy', start: new Date(from + piece * bucket * 1000).toISOString(), ...counted,
    }));
    const total = counts.reduce((sum, count) => sum + count.visual + count.audio + count.both, 0);
    return JSON.stringify({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), bucket, total, counts });
  }

  private coverage(from: number, to: number): unknown[] {
    const spans = [];
    for (let start = Math.floor(from / 10_000) * 10_000; start < Math.min(to, this.end); start += 10_000) {
      const watched = start % 3_600_000 > 120_000;
      const presence = watched ? 'present' : 'missing';
      const instant = (time: number) => ({ stream: time / 1000, utc: new Date(time).toISOString() });
      spans.push({
        stream_id: 'busy', start: instant(start), end: instant(start + 10_000), watched, audio: presence, video: presence,
        reason: watched ? null : 'the source was lost',
      });
    }
    return spans;
  }
}

/** A sign of life now and again, as the daemon gives it. */
function alive(response: ServerResponse): void {
  response.write('event: keepalive\ndata: {}\n\n');
  const timer = setInterval(() => response.write('event: keepalive\ndata: {}\n\n'), 10_000);
  response.on('close', () => clearInterval(timer));
}

const STREAM = {
  id: 'busy', uri: 'rtsp://camera.example.org/busy', enabled: true, loop: false, realtime: false, audio: true, video: true,
  merge_gap: '1s', recall: '2m', detect: true, queries: [], min_windows: 1, origin: 'api',
  status: { state: 'watching', audio: true, video: true, since: new Date().toISOString(), reconnects: 2, last_frame: null, last_sample: null, av_offset_ms: null },
};

function made(count: number, end: number): Made[] {
  // Repeatable: the same day in every run.
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const starts = Array.from({ length: count }, () => Math.floor(end - random() * DAY)).sort((one, other) => other - one);
  return starts.map((start, index) => {
    const finish = Math.min(end, start + 300 + Math.floor(random() * random() * 20_000));
    const modality = (['visual', 'audio', 'both'] as const)[Math.floor(random() * 3)] ?? 'both';
    const instant = (time: number) => ({ stream: (time - end + DAY) / 1000, utc: new Date(time).toISOString() });
    const record = {
      event_id: `made-${index}`, stream_id: 'busy', phase: 'ended', revision: 2, label: LABELS[Math.floor(random() * LABELS.length)],
      text: 'made up', start: instant(start), end: instant(finish), score: 0.3 + 0.7 * random(), modality, clock: 'ntp', av_offset_ms: null,
      window: { id: `busy/${index}`, start: 0, end: 20 }, model: 'made-up', latency_ms: { decode: 1, encode: 1, llm: 1, total: 3 },
      review: null,
    };
    return { start, end: finish, modality, record: JSON.stringify(record) };
  });
}
