/** The events in sight as a table, newest first: the same as the time lines, for those who read. */

import { useEffect, useState } from 'preact/hooks';
import type { Happening } from '../data/events';
import type { Model } from '../data/model';
import { Signal, useSignals } from '../data/signal';
import { toPanel } from '../route';
import { MODALITY_WORDS } from '../timeline/colours';
import { lengthWords, scoreWords, shortTime, spanWords } from '../time/format';
import type { View } from '../time/view';
import { Table } from '../ui/Table';

const PAGE = 100;
const PAUSE = 400;

export function EventTable({ model, view }: { model: Model; view: View }) {
  const [shown, setShown] = useState(PAGE);
  const [slow] = useState(() => new Signal());
  useSignals(model.streamsChanged, slow);
  useEffect(() => {
    let timer = 0;
    const fetchNow = () => {
      timer = 0;
      for (const stream of model.streams) void stream.events.want(view.from, view.to);
      slow.tell();
    };
    const soon = () => {
      timer ||= window.setTimeout(fetchNow, PAUSE);
    };
    fetchNow();
    const signals = [view.changed, ...model.streams.map((stream) => stream.events.changed)];
    const ends = signals.map((signal) => signal.subscribe(soon));
    return () => {
      clearTimeout(timer);
      ends.forEach((end) => end());
    };
  }, [model.streams.length, view]);
  const all = model.streams.flatMap((stream) => stream.events.layout().overlapping(view.from, view.to));
  all.sort((one, other) => other.start - one.start);
  const count = model.streams.reduce((sum, stream) => sum + stream.events.within(view.from, view.to), 0);
  const more = async () => {
    if (all.length < shown + PAGE) await Promise.all(model.streams.map((stream) => stream.events.more()));
    setShown(shown + PAGE);
  };
  return (
    <section aria-label="Events in view">
      <p class="quiet-text">
        {Math.max(count, all.length).toLocaleString()} events in {spanWords(view.from, view.to)}
      </p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Table of events">
        <Table class="events" columns={['Start', 'Lasts', 'Stream', 'What', 'How', 'Score', 'Review']}>
          {all.slice(0, shown).map((event) => (
            <Line key={event.id} event={event} />
          ))}
        </Table>
      </div>
      {Math.max(count, all.length) > shown && (
        <button type="button" onClick={() => void more()}>
          Show {Math.min(PAGE, Math.max(count, all.length) - shown)} more
        </button>
      )}
    </section>
  );
}

function Line({ event }: { event: Happening }) {
  return (
    <tr>
      <td>{shortTime(event.start)}</td>
      <td>
        {lengthWords(event.end - event.start)}
        {event.phase !== 'ended' && ', going on'}
      </td>
      <td>{event.stream}</td>
      <th scope="row">
        <a href={toPanel({ kind: 'event', id: event.id })}>{event.label}</a>
      </th>
      <td>{MODALITY_WORDS[event.modality]}</td>
      <td>{scoreWords(event.score)}</td>
      <td>{event.review?.verdict ?? ''}</td>
    </tr>
  );
}
