/** One event: what is known of it, every revision, and what a person says of it. */

import { useEffect, useState } from 'preact/hooks';
import { get, id } from '../api/http';
import type { EventHistory, EventRecord, Instant } from '../api/types';
import type { Model } from '../data/model';
import { useSignals } from '../data/signal';
import { toPanel } from '../route';
import { MODALITY_WORDS } from '../timeline/colours';
import { clockTime, fullTime, lengthWords, scoreWords, shortTime, trimmed } from '../time/format';
import type { View } from '../time/view';
import { useRead } from '../ui/useCall';
import { Evidence } from './Evidence';
import { ReviewForm } from './ReviewForm';
import { Table } from '../ui/Table';

const CLOCKS = {
  ntp: "the source's own clock",
  pts: 'the source, from its first sample on',
  arrival: 'when it arrived here',
} as const;

export function EventPanel({ model, view, event }: { model: Model; view: View; event: string }) {
  const [again, setAgain] = useState(0);
  const { value, problem } = useRead(`${event}#${again}`, (signal) =>
    get<EventHistory>(`/v1/events/${id(event)}`, {}, signal),
  );
  const stream = value ? model.find(value.stream_id) : undefined;
  useEffect(() => {
    // A newer revision was told.
    return stream?.events.changed.subscribe(() => {
      const told = stream.events.find(event);
      if (value && told && told.revision > value.revision) setAgain((count) => count + 1);
    });
  }, [stream, value]);
  if (problem) return <p class="problem">{problem.message}</p>;
  if (!value) return <p class="quiet-text">Reading …</p>;
  const start = Date.parse(value.start.utc);
  const end = Date.parse(value.end.utc);
  const show = () => view.show(start - 2 * (end - start) - 5000, end + 2 * (end - start) + 5000);
  return (
    <>
      <p class="lead">
        <span class={`chip ${value.modality}`}>{MODALITY_WORDS[value.modality]}</span> on{' '}
        <a href={toPanel({ kind: 'stream', id: value.stream_id })}>{value.stream_id}</a>, score{' '}
        <strong>{scoreWords(value.score)}</strong>
        {value.phase !== 'ended' && <span class="chip going">going on</span>}
      </p>
      {value.evidence ? (
        <Evidence key={event} event={value} />
      ) : (
        <EventPicture model={model} stream={value.stream_id} from={start} to={end} />
      )}
      <dl>
        <dt>Start</dt>
        <dd>
          <Moment at={value.start} />
        </dd>
        <dt>End</dt>
        <dd>
          <Moment at={value.end} />
        </dd>
        <dt>Lasts</dt>
        <dd>{lengthWords(end - start)}</dd>
        <dt>The model said</dt>
        <dd>{value.text}</dd>
        <dt>Times come from</dt>
        <dd>{CLOCKS[value.clock]}</dd>
        {value.av_offset_ms !== null && (
          <>
            <dt>Sound to picture</dt>
            <dd>{trimmed(value.av_offset_ms, 1)} ms</dd>
          </>
        )}
        <dt>Model</dt>
        <dd>{value.model}</dd>
      </dl>
      <p class="actions">
        <button type="button" onClick={show}>
          Show on the time line
        </button>
        <a class="button" href={toPanel({ kind: 'why', stream: value.stream_id, time: (start + end) / 2 })}>
          Its windows
        </a>
      </p>
      <ReviewForm
        key={event}
        event={value}
        reviewed={(review) => {
          stream?.events.reviewed(event, review);
          setAgain((count) => count + 1);
        }}
      />
      <Revisions revisions={value.revisions} />
    </>
  );
}

function Moment({ at }: { at: Instant }) {
  const time = Date.parse(at.utc);
  return (
    <>
      <time dateTime={at.utc} title={fullTime(time)}>
        {shortTime(time)}
      </time>{' '}
      <span class="quiet-text">{trimmed(at.stream, 2)} s of stream time</span>
    </>
  );
}

/** The picture that this page got nearest to an event. */
function EventPicture({ model, stream, from, to }: { model: Model; stream: string; from: number; to: number }) {
  useSignals(model.pictures.changed);
  useEffect(() => void model.pictures.fetch(stream), [stream]);
  const picture = model.pictures.nearest(stream, from, to);
  if (!picture) return null;
  const inside = picture.time >= from - 1000 && picture.time <= to + 1000;
  const words = inside ? `At ${clockTime(picture.time)}, during the event` : `The stream at ${shortTime(picture.time)}, not during the event`;
  return (
    <figure>
      <img src={picture.url} alt={`Picture of ${stream}`} width={224} height={224} />
      <figcaption>{words}</figcaption>
    </figure>
  );
}

function Revisions({ revisions }: { revisions: EventRecord[] }) {
  return (
    <section aria-labelledby="revisions">
      <h3 id="revisions">Revisions</h3>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="revisions">
        <Table columns={['No.', 'Phase', 'Start', 'End', 'Score', 'How', 'Told after']}>
          {revisions.map((record) => (
            <tr key={record.revision}>
              <td>{record.revision}</td>
              <td>{record.phase}</td>
              <td>{clockTime(Date.parse(record.start.utc))}</td>
              <td>{clockTime(Date.parse(record.end.utc))}</td>
              <td>{scoreWords(record.score)}</td>
              <td>{MODALITY_WORDS[record.modality]}</td>
              <td>{lengthWords(record.latency_ms.total)}</td>
            </tr>
          ))}
        </Table>
      </div>
    </section>
  );
}
