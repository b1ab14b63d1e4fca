/** The time line of one stream: what was seen and what was heard. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { coverWords } from '../data/coverage';
import type { Happening } from '../data/events';
import type { Model, Stream } from '../data/model';
import { useSignals } from '../data/signal';
import { clockTime, scoreWords, shortTime, spanWords } from '../time/format';
import { ticks } from '../time/ticks';
import type { View } from '../time/view';
import { MODALITY_WORDS, readColours } from './colours';
import { columns, type Columns, draw, HEIGHT } from './draw';
import { hit } from './hit';
import { handleKey } from './keys';
import { drag, wheel } from './pointer';

interface Props {
  model: Model;
  stream: Stream;
  view: View;
  selected: string | null;
  open: (event: Happening) => void;
  why: (stream: string, time: number) => void;
}

interface Hint {
  x: number;
  text: string;
}

export function eventWords(event: Happening): string {
  const review = event.review ? `, reviewed ${event.review.verdict}` : '';
  const open = event.phase === 'ended' ? '' : ', still going on';
  return `${event.label}, ${MODALITY_WORDS[event.modality]}, ${spanWords(event.start, event.end)}, score ${scoreWords(event.score)}${open}${review}`;
}

export function Timeline({ model, stream, view, selected, open, why }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const counted = useRef<Columns>(columns(1));
  const width = useRef(0);
  const [hint, setHint] = useState<Hint | null>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const [said, setSaid] = useState('');
  const [cursor, setCursor] = useState<number | null>(null);
  useSignals(stream.events.changed);
  const marked = useRef({ selected, focused, cursor });
  marked.current = { selected, focused, cursor };

  useEffect(() => {
    const [element, surface] = [box.current, canvas.current];
    const context = surface?.getContext('2d');
    if (!element || !surface || !context) return;
    let frame = 0;
    let colours = readColours();
    const paint = () => {
      frame = 0;
      const alerts = model.alerts.filter((alert) => alert.stream_id === stream.id);
      const scene = {
        from: view.from,
        to: view.to,
        width: width.current,
        now: Date.now(),
        layout: stream.events.layout(),
        crowd: stream.events.crowd,
        covers: stream.coverage.within(view.from, view.to),
        ticks: ticks(view.from, view.to, width.current / 90),
        alerts: alerts.map((alert) => Date.parse(alert.end.utc)),
        ...marked.current,
      };
      draw(context, scene, colours, counted.current);
    };
    const soon = () => {
      frame ||= requestAnimationFrame(paint);
    };
    const measure = () => {
      const ratio = window.devicePixelRatio || 1;
      width.current = element.clientWidth;
      surface.width = Math.round(width.current * ratio);
      surface.height = Math.round(HEIGHT * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      counted.current = columns(width.current);
      soon();
    };
    const recolour = () => {
      colours = readColours();
      soon();
    };
    const sizes = new ResizeObserver(measure);
    sizes.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', recolour);
    const signals = [view.changed, stream.events.changed, stream.coverage.changed, model.toldChanged];
    const ends = signals.map((signal) => signal.subscribe(soon));
    const undrag = drag(element, view, (time) => why(stream.id, time), pick);
    const unwheel = wheel(element, view, false);
    element.addEventListener('paint', soon);
    measure();
    return () => {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      dark.removeEventListener('change', recolour);
      ends.forEach((end) => end());
      undrag();
      unwheel();
      element.removeEventListener('paint', soon);
    };
  }, [stream, view]);

  useEffect(() => {
    box.current?.dispatchEvent(new Event('paint'));
  }, [selected, focused, cursor]);

  const timeAt = (x: number) => view.from + (x / Math.max(1, width.current)) * view.span;
  const found = (x: number, y: number) =>
    hit(stream.events.layout(), counted.current, { from: view.from, to: view.to, width: width.current }, x, y);

  /** What a click does; `false` where there is nothing. */
  function pick(x: number, y: number): boolean {
    const there = found(x, y);
    if (there.kind === 'event') {
      setFocused(there.event.id);
      open(there.event);
    } else if (there.kind === 'many') {
      view.follows = false;
      view.zoom(1 / 8, (there.from + there.to) / 2);
    }
    return there.kind !== 'nothing';
  }

  function words(x: number, y: number): string {
    const there = found(x, y);
    const time = timeAt(x);
    if (there.kind === 'event') return eventWords(there.event);
    if (there.kind === 'many') return `${there.count} events, ${spanWords(there.from, there.to)}`;
    return time > Date.now() ? clockTime(time) : `${shortTime(time)}: ${coverWords(stream.coverage.at(time))}`;
  }

  function hover(event: PointerEvent) {
    if (event.buttons > 0 || event.pointerType === 'touch') return setHint(null);
    const { left, top } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    setHint({ x, text: words(x, y) });
  }

  function keys(event: KeyboardEvent) {
    const place = { stream, view, focused, cursor };
    const done = handleKey(event, place, {
      step: (next) => {
        setFocused(next.id);
        setCursor(null);
        view.reveal(next.start, next.end);
        tell((next.start + next.end) / 2, eventWords(next));
      },
      go: (time, text) => {
        setFocused(null);
        setCursor(time);
        view.reveal(time, time);
        tell(time, text);
      },
      say: setSaid,
      open,
      why: (time) => why(stream.id, time),
    });
    if (done) event.preventDefault();
  }

  function tell(time: number, text: string) {
    setSaid(text);
    setHint({ x: ((time - view.from) / view.span) * width.current, text });
  }

  const leave = () => {
    setHint(null);
    setCursor(null);
    setFocused(null);
  };
  const help = 'time-line-help';
  return (
    <div class="timeline">
      <div
        ref={box}
        class="lanes"
        role="application"
        tabIndex={0}
        aria-label={`Time line of ${stream.id}, ${held(stream)}`}
        aria-describedby={help}
        onPointerMove={hover}
        onPointerLeave={() => setHint(null)}
        onKeyDown={keys}
        onBlur={leave}
      >
        <canvas ref={canvas} aria-hidden="true" />
        {hint && (
          <div class="hint" data-side={hint.x > width.current / 2 ? 'left' : 'right'} style={{ '--x': `${hint.x}px` }}>
            {hint.text}
          </div>
        )}
      </div>
      <div class="visually-hidden" aria-live="polite">
        {said}
      </div>
      <Notices stream={stream} />
    </div>
  );
}

function held({ events }: Stream): string {
  return events.crowd ? `${events.crowd.count} events counted` : `${events.count} events fetched`;
}

function Notices({ stream }: { stream: Stream }) {
  const { loading, crowd, failure, count } = stream.events;
  if (failure) return <p class="notice bad">Events could not be read: {failure}</p>;
  if (crowd) return <p class="notice">{crowd.count.toLocaleString()} events, counted together. Look closer to tell them apart.</p>;
  if (loading && count > 2000) return <p class="notice">Reading events: {count.toLocaleString()} …</p>;
  return null;
}
