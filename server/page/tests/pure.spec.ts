/** What needs no browser and no daemon. */

import { expect, test } from '@playwright/test';
import { Parser } from '../src/api/sse';
import type { Happening } from '../src/data/events';
import { worst } from '../src/data/fleet';
import { Layout, ROWS } from '../src/data/layout';
import { Ranges } from '../src/data/ranges';
import { changes, EMPTY, newStream } from '../src/panels/draft';
import { href, parse, type Route } from '../src/route';
import { lengthWords, percent, scoreWords } from '../src/time/format';
import { ticks } from '../src/time/ticks';

const event = (id: string, start: number, end: number, modality: Happening['modality'] = 'visual'): Happening => ({
  id, stream: 's', label: 'x', start, end, score: 0.5, modality, phase: 'ended', revision: 0, review: null,
});

test('server-sent events are whole however they are cut', () => {
  const text = 'id: 7\r\nevent: started\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: a word aside\n\nevent: keepalive\ndata: {}\n\nid:8\ndata:x\n\nid: 9\ndata: not yet';
  const expected = [
    { id: '7', event: 'started', data: '{"a":\n1}' },
    { id: '7', event: 'keepalive', data: '{}' },
    { id: '8', event: '', data: 'x' },
  ];
  for (let cut = 0; cut <= text.length; cut++) {
    const parser = new Parser();
    expect([...parser.take(text.slice(0, cut)), ...parser.take(text.slice(cut))]).toEqual(expected);
  }
});

test('spans that are known and spans that are missing make up the whole', () => {
  const ranges = new Ranges();
  expect(ranges.missing(0, 10)).toEqual([{ from: 0, to: 10 }]);
  ranges.add(2, 4);
  ranges.add(6, 8);
  expect(ranges.missing(0, 10)).toEqual([{ from: 0, to: 2 }, { from: 4, to: 6 }, { from: 8, to: 10 }]);
  expect(ranges.missing(3, 7)).toEqual([{ from: 4, to: 6 }]);
  ranges.add(4, 6);
  expect(ranges.missing(2, 8)).toEqual([]);
  ranges.add(9, Number.POSITIVE_INFINITY);
  expect(ranges.missing(0, 1e15)).toEqual([{ from: 0, to: 2 }, { from: 8, to: 9 }]);
  ranges.keep(3, 7);
  expect(ranges.missing(0, 10)).toEqual([{ from: 0, to: 3 }, { from: 7, to: 10 }]);
});

test('events at once lie in rows of their own, and all that overlap a span are found', () => {
  const layout = Layout.of([event('c', 20, 30), event('a', 0, 100), event('b', 10, 15), event('d', 40, 41, 'audio'), event('e', 40, 50, 'both')]);
  expect(layout.events.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect([...layout.rows[0]].slice(0, 3)).toEqual([0, 1, 1]);
  expect(layout.rows[0][4]).toBe(1);
  expect(layout.rows[1][4]).toBe(1);
  expect(layout.overlapping(16, 25).map(({ id }) => id)).toEqual(['a', 'c']);
  expect(layout.next(null, 12, 1)?.id).toBe('c');
  expect(layout.next(null, 12, -1)?.id).toBe('b');
  expect(layout.next('e', 0, 1)).toBeUndefined();
  const many = Layout.of(Array.from({ length: 500 }, (_, index) => event(String(index), (index * 37) % 211, ((index * 37) % 211) + (index % 13))));
  for (let index = 0; index < 500; index++) {
    const own = many.events[index];
    if (!own) throw new Error('an event is gone');
    expect(many.rows[0][index]).toBeLessThan(ROWS);
    const all = many.events.filter((other) => other.start <= own.end && other.end >= own.start);
    expect(many.overlapping(own.start, own.end)).toEqual(all);
  }
});

test('an axis has round marks, not too many, and days at midnight', () => {
  const from = new Date(2026, 10, 29, 13, 7, 11).getTime();
  for (const span of [2e3, 90e3, 3600e3, 86_400e3, 9 * 86_400e3, 31 * 86_400e3]) {
    const marks = ticks(from, from + span, 10);
    expect(marks.length).toBeGreaterThan(0);
    expect(marks.length).toBeLessThanOrEqual(12);
    expect(marks.every(({ time }) => time >= from && time < from + span && time % 1000 === 0)).toBe(true);
  }
  const days = ticks(from, from + 9 * 86_400e3, 10);
  expect(days.every(({ time, major }) => major && new Date(time).getHours() === 0)).toBe(true);
});

test('a form sends what differs, and null for what is emptied', () => {
  expect(newStream({ ...EMPTY, id: ' yard ', uri: 'x', queries: ['q'], min_score: '0.5', live: 'no' })).toEqual({
    id: 'yard', uri: 'x', queries: ['q'], min_score: 0.5, live: false,
  });
  const before = { ...EMPTY, id: 'yard', uri: 'x', min_score: '0.5', hop: '5s' };
  expect(changes({ ...before, min_score: '', hop: '5 s', min_windows: 'two' }, before)).toEqual({ min_score: null, hop: '5 s', min_windows: 'two' });
});

test('what is shown comes back from its address', () => {
  const routes: Route[] = [
    { page: 'streams', panel: null },
    { page: 'rules', panel: null },
    { page: 'rules', panel: { kind: 'add-rule' } },
    { page: 'rules', panel: { kind: 'rule', id: 'add' } },
    { page: 'streams', panel: { kind: 'stream', id: `"'><#/%2F&?ünï` } },
    { page: 'streams', panel: { kind: 'event', id: 'a/b' } },
    { page: 'streams', panel: { kind: 'edit', id: 'add' } },
    { page: 'streams', panel: { kind: 'add' } },
    { page: 'streams', panel: { kind: 'why', stream: 'a#b', time: 1_790_000_000_123 } },
  ];
  for (const route of routes) expect(parse(href(route))).toEqual(route);
  for (const hash of ['', '#', '#/nothing', '#/event/', '#/why/a/noon', '#/stream']) {
    expect(parse(hash)).toEqual({ page: 'streams', panel: null });
  }
  expect(parse('#/stream/100%')).toEqual({ page: 'streams', panel: { kind: 'stream', id: '100%' } });
});

test('numbers say no more than is known', () => {
  expect(scoreWords(0.999)).toBe('0.99');
  expect(scoreWords(1)).toBe('1.00');
  expect(percent(3599, 3600)).toBe('99.9 %');
  expect(percent(3600, 3600)).toBe('100 %');
  expect(percent(0, 0)).toBe('nothing');
  expect([1234, 59_400, 200_000, 7_500_000, 273_600_000].map(lengthWords)).toEqual(['1.2 s', '59 s', '3 min 20 s', '2 h 5 min', '3 d 4 h']);
});

test('of a large fleet what needs a look comes first', () => {
  const stream = (id: string, state: string, lag?: number) => ({ id, partition: 0, member: null, state, ...(lag === undefined ? {} : { lag }) });
  const streams = [stream('off', 'disabled'), stream('b', 'watching', 1), stream('late', 'watching', 9), stream('gone', 'lost'), stream('a', 'watching', 1)];
  expect(worst(streams, 4).map(({ id }) => id)).toEqual(['gone', 'late', 'a', 'b']);
  expect(streams[0]?.id).toBe('off');
});
