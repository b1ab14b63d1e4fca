/** What span is shown, and how. */

import { useState } from 'preact/hooks';
import { useSignals } from '../data/signal';
import { toPanel } from '../route';
import { lengthWords } from '../time/format';
import type { View } from '../time/view';

const MINUTE = 60_000;
const SPANS: [number, string, string][] = [
  [2 * MINUTE, '2 min', '2 minutes'],
  [15 * MINUTE, '15 min', '15 minutes'],
  [60 * MINUTE, '1 h', '1 hour'],
  [360 * MINUTE, '6 h', '6 hours'],
  [1440 * MINUTE, '1 d', '1 day'],
  [7 * 1440 * MINUTE, '7 d', '7 days'],
];

interface Props {
  view: View;
  table: boolean;
  setTable: (table: boolean) => void;
}

export function Toolbar({ view, table, setTable }: Props) {
  useSignals(view.changed);
  const span = (length: number) => {
    if (view.follows) view.follow(length);
    else view.show(view.middle - length / 2, view.middle + length / 2);
  };
  return (
    <div class="toolbar" role="toolbar" aria-label="Time">
      <button type="button" aria-pressed={view.follows} onClick={() => (view.follows ? view.pan(0) : view.follow())}>
        Live
      </button>
      <div class="group" role="group" aria-label="Span">
        {SPANS.map(([length, words, full]) => (
          <button key={words} type="button" aria-label={full} aria-pressed={Math.abs(view.span - length) < 1000} onClick={() => span(length)}>
            {words}
          </button>
        ))}
      </div>
      <div class="group" role="group" aria-label="Move">
        <button type="button" aria-label="Earlier" onClick={() => view.pan(-view.span / 2)}>
          ‹
        </button>
        <button type="button" aria-label="Later" onClick={() => view.pan(view.span / 2)}>
          ›
        </button>
        <button type="button" aria-label="Zoom out" onClick={() => view.zoomBy(2)}>
          −
        </button>
        <button type="button" aria-label="Zoom in" onClick={() => view.zoomBy(0.5)}>
          +
        </button>
      </div>
      <GoTo view={view} />
      <span class="quiet-text shown-span">{lengthWords(view.span)} shown</span>
      <span class="grow" />
      <div class="group" role="group" aria-label="Shown as">
        <button type="button" aria-pressed={!table} onClick={() => setTable(false)}>
          Time lines
        </button>
        <button type="button" aria-pressed={table} onClick={() => setTable(true)}>
          Table
        </button>
      </div>
      <a class="button main" href={toPanel({ kind: 'add' })}>
        Add a stream
      </a>
    </div>
  );
}

function GoTo({ view }: { view: View }) {
  const [text, setText] = useState('');
  const go = (value: string) => {
    setText(value);
    const time = new Date(value).getTime();
    if (Number.isFinite(time) && time > 0) view.show(time - view.span / 2, time + view.span / 2);
  };
  return (
    <label class="go-to">
      <span>Go to</span>
      <input type="datetime-local" step="1" value={text} onChange={(event) => go(event.currentTarget.value)} />
    </label>
  );
}
