/** Every stream with its time line, under one axis. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Happening } from '../data/events';
import type { Model, Stream } from '../data/model';
import { useSignals } from '../data/signal';
import { toPanel, open } from '../route';
import { stateWords } from '../panels/StreamPanel';
import { lengthWords, percent, since } from '../time/format';
import type { View } from '../time/view';
import { Axis } from '../timeline/Axis';
import { Timeline } from '../timeline/Timeline';
import { EventTable } from './EventTable';
import { Toolbar } from './Toolbar';

interface Props {
  model: Model;
  view: View;
  selected: string | null;
}

const openEvent = (event: Happening) => open({ kind: 'event', id: event.id });
const openWhy = (stream: string, time: number) => open({ kind: 'why', stream, time });

export function StreamsView({ model, view, selected }: Props) {
  const [table, setTable] = useState(false);
  useSignals(model.streamsChanged);
  return (
    <>
      <Toolbar view={view} table={table} setTable={setTable} />
      {!model.ready && <p class="empty">{model.failure ?? 'Reading …'}</p>}
      {model.ready && model.failure && (
        <p class="problem" role="alert">
          {model.failure}
        </p>
      )}
      {model.ready && model.streams.length === 0 && (
        <p class="empty">
          Nothing is watched yet. <a href={toPanel({ kind: 'add' })}>Add a stream</a>
        </p>
      )}
      {table && model.ready && <EventTable model={model} view={view} />}
      {!table && model.streams.length > 0 && (
        <div class="rows">
          <div class="row axis-row">
            <Legend />
            <Axis view={view} />
          </div>
          {model.streams.map((stream) => (
            <Row key={stream.id} model={model} stream={stream} view={view} selected={selected} />
          ))}
          <p class="help" id="time-line-help">
            Drag to pan, Ctrl and wheel to zoom; the wheel zooms on the axis. Click an event for details, anywhere else to see why nothing
            was told. Keys on a time line: arrows pan, plus and minus zoom, n and p go from event to event, g to what was not watched, Enter
            opens, w asks why, End follows the present.
          </p>
        </div>
      )}
    </>
  );
}

function Legend() {
  return (
    <ul class="legend" aria-label="Colours">
      <li>
        <i class="swatch visual" /> seen
      </li>
      <li>
        <i class="swatch audio" /> heard
      </li>
      <li>
        <i class="swatch both" /> both
      </li>
      <li>
        <i class="swatch unwatched" /> not watched
      </li>
    </ul>
  );
}

interface RowProps {
  model: Model;
  stream: Stream;
  view: View;
  selected: string | null;
}

function Row({ model, stream, view, selected }: RowProps) {
  const row = useRef<HTMLElement>(null);
  const [near, setNear] = useState(false);
  useEffect(() => {
    const element = row.current;
    if (!element) return;
    const watcher = new IntersectionObserver(
      ([entry]) => {
        stream.seen = entry?.isIntersecting ?? false;
        if (stream.seen) {
          setNear(true);
          void model.pictures.fetch(stream.id);
          if (!stream.watched) void model.healthOf(stream);
        }
      },
      { rootMargin: '200px' },
    );
    watcher.observe(element);
    return () => watcher.disconnect();
  }, [stream]);
  useFetching(model, stream, view, near);
  const { view: settings } = stream;
  const state = settings.enabled ? (stream.status?.state ?? 'connecting') : 'off';
  return (
    <section class="row" ref={row} aria-label={`Stream ${stream.id}`}>
      <div class="about">
        <Thumbnail model={model} stream={stream} />
        <div class="facts">
          <h2>
            <a href={toPanel({ kind: 'stream', id: stream.id })}>{stream.id}</a>
          </h2>
          <p class={`state ${state}`}>
            <i class="dot" />
            {stateWords(settings)}
            {stream.status && <span class="quiet-text"> {since(Date.parse(stream.status.since))}</span>}
          </p>
          {stream.status?.reason && <p class="reason">{stream.status.reason}</p>}
          <Watch stream={stream} />
        </div>
        <div class="lane-names" aria-hidden="true">
          <span>seen</span>
          <span>heard</span>
        </div>
      </div>
      <Timeline model={model} stream={stream} view={view} selected={selected} open={openEvent} why={openWhy} />
    </section>
  );
}

/** Fetches what is in sight, and a little beside it. */
function useFetching(model: Model, stream: Stream, view: View, near: boolean): void {
  useEffect(() => {
    if (!near) return;
    let timer = 0;
    const fetchNow = () => {
      timer = 0;
      const margin = view.span / 4;
      void stream.events.want(view.from - margin, view.to + margin);
      void stream.coverage.want(view.from - margin, view.to + margin);
    };
    const soon = () => {
      timer ||= window.setTimeout(fetchNow, 150);
    };
    soon();
    const ends = [view.changed, model.linkChanged].map((signal) => signal.subscribe(soon));
    return () => {
      clearTimeout(timer);
      ends.forEach((end) => end());
    };
  }, [model, stream, view, near]);
}

function Thumbnail({ model, stream }: { model: Model; stream: Stream }) {
  useSignals(model.pictures.changed);
  const picture = model.pictures.newest(stream.id);
  return (
    <a class="thumbnail" href={toPanel({ kind: 'stream', id: stream.id })} tabIndex={-1} aria-hidden="true">
      {picture ? <img src={picture.url} alt="" width={93} height={93} /> : <span class="blank">no picture</span>}
    </a>
  );
}

function Watch({ stream }: { stream: Stream }) {
  const { watched, status } = stream;
  const whole = watched ? watched.watched + watched.not_watched : 0;
  return (
    <p class="quiet-text">
      {watched && whole > 0 && (
        <span title={`${lengthWords(whole * 1000)} told of in the last hour`}>{percent(watched.watched, whole)} watched</span>
      )}
      {status && status.reconnects > 0 && <span>, {status.reconnects} reconnects</span>}
    </p>
  );
}
