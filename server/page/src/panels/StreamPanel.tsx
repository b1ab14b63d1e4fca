/** One stream: how it is, what it can be asked, and what can be done with it. */

import { useEffect, useState } from 'preact/hooks';
import { call, id } from '../api/http';
import type { StreamView } from '../api/types';
import type { Model, Stream } from '../data/model';
import { useSignals } from '../data/signal';
import { toPanel } from '../route';
import { ago, lengthWords, percent, shortTime, since, trimmed } from '../time/format';
import type { View } from '../time/view';
import { useCall } from '../ui/useCall';
import { Ask } from './Ask';

/** Where a stream was asked for, in words. */
const ORIGINS = { file: 'in the configuration file', api: 'by a call', fleet: 'in the settings of the fleet' } as const;

interface Props {
  model: Model;
  view: View;
  stream: string;
  close: () => void;
}

export function StreamPanel({ model, view, stream: name, close }: Props) {
  useSignals(model.streamsChanged, model.pictures.changed, model.toldChanged);
  const stream = model.find(name);
  useEffect(() => {
    if (stream) void model.healthOf(stream);
    void model.pictures.fetch(name);
  }, [name, stream]);
  if (!stream) return <p class="quiet-text">{model.ready ? `There is no stream ${name}.` : 'Reading …'}</p>;
  const picture = model.pictures.newest(name);
  return (
    <>
      {picture && (
        <figure>
          <img src={picture.url} alt={`Newest picture of ${name}`} width={224} height={224} />
          <figcaption>{shortTime(picture.time)}, as the model sees it</figcaption>
        </figure>
      )}
      <HealthList stream={stream} />
      <Ask key={name} stream={name} view={view} />
      <Settings stream={stream.view} />
      <Doings model={model} stream={stream} close={close} />
      <Troubles model={model} stream={name} />
    </>
  );
}

export function stateWords({ enabled, status }: StreamView): string {
  if (!enabled) return 'not enabled';
  if (!status) return 'not begun';
  if (status.state === 'watching') {
    const what = [status.video ? 'picture' : '', status.audio ? 'sound' : ''].filter(Boolean).join(' and ');
    return what ? `watching, ${what}` : 'watching';
  }
  return status.state;
}

function HealthList({ stream }: { stream: Stream }) {
  const { status, watched } = stream;
  const whole = watched ? watched.watched + watched.not_watched : 0;
  return (
    <dl>
      <dt>State</dt>
      <dd>
        {stateWords(stream.view)}
        {status && <span class="quiet-text"> for {since(Date.parse(status.since))}</span>}
      </dd>
      {status?.reason && (
        <>
          <dt>Reason</dt>
          <dd>{status.reason}</dd>
        </>
      )}
      {status && (
        <>
          <dt>Reconnects</dt>
          <dd>{status.reconnects}</dd>
          <dt>Newest picture</dt>
          <dd>{status.last_frame ? ago(Date.parse(status.last_frame)) : 'none yet'}</dd>
          <dt>Newest sound</dt>
          <dd>{status.last_sample ? ago(Date.parse(status.last_sample)) : 'none yet'}</dd>
        </>
      )}
      {status && status.av_offset_ms !== null && (
        <>
          <dt>Sound to picture</dt>
          <dd>{trimmed(status.av_offset_ms, 1)} ms</dd>
        </>
      )}
      <dt>Last hour</dt>
      <dd>
        {whole > 0 && watched ? `${percent(watched.watched, whole)} of ${lengthWords(whole * 1000)} watched` : 'nothing told yet'}
        {watched && watched.not_watched > 0 && (
          <ul>
            {Object.entries(watched.reasons).map(([reason, seconds]) => (
              <li key={reason}>
                {lengthWords(seconds * 1000)} not: {reason || 'no reason told'}
              </li>
            ))}
          </ul>
        )}
      </dd>
    </dl>
  );
}

function Settings({ stream }: { stream: StreamView }) {
  const score = (value: number | undefined) => (value === undefined ? "the model's own" : String(value));
  return (
    <section aria-labelledby="settings">
      <h3 id="settings">Settings</h3>
      <dl>
        <dt>Address</dt>
        <dd class="break">{stream.uri}</dd>
        <dt>Queries</dt>
        <dd>{stream.queries.length > 0 ? stream.queries.map((query) => <div key={query}>{query}</div>) : 'none'}</dd>
        <dt>Least score</dt>
        <dd>{score(stream.min_score)}</dd>
        <dt>Least score of queries</dt>
        <dd>{score(stream.min_query_score)}</dd>
        <dt>Asked for</dt>
        <dd>{ORIGINS[stream.origin]}</dd>
      </dl>
    </section>
  );
}

function Doings({ model, stream, close }: { model: Model; stream: Stream; close: () => void }) {
  const [sure, setSure] = useState(false);
  const { busy, problem, run } = useCall();
  const path = `/v1/streams/${id(stream.id)}`;
  if (stream.view.origin === 'file') {
    return <p class="quiet-text">It stands in the configuration file: change it there and send SIGHUP.</p>;
  }
  const enabled = stream.view.enabled;

  async function toggle() {
    await run((signal) => call('PATCH', path, { enabled: !enabled }, signal));
    await model.refresh();
  }

  async function remove() {
    const done = await run((signal) => call('DELETE', path, undefined, signal));
    if (!done) return;
    await model.refresh();
    close();
  }

  return (
    <>
      <div class="actions">
        <a class="button" href={toPanel({ kind: 'edit', id: stream.id })}>
          Edit
        </a>
        <button type="button" disabled={busy} onClick={() => void toggle()}>
          {enabled ? 'Disable' : 'Enable'}
        </button>
        {!sure && (
          <button type="button" disabled={busy} onClick={() => setSure(true)}>
            Remove
          </button>
        )}
      </div>
      {sure && (
        <div class="sure" role="group" aria-label="Remove the stream">
          <p>It is not watched any more. Its events stay in the history.</p>
          <div class="actions">
            <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
              Remove {stream.id}
            </button>
            <button type="button" disabled={busy} onClick={() => setSure(false)}>
              Keep it
            </button>
          </div>
        </div>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem.message}
        </p>
      )}
    </>
  );
}

function Troubles({ model, stream }: { model: Model; stream: string }) {
  const troubles = model.troubles.filter((trouble) => trouble.stream_id === stream).slice(0, 10);
  if (troubles.length === 0) return null;
  return (
    <section aria-labelledby="troubles">
      <h3 id="troubles">Troubles since this page was opened</h3>
      <ul>
        {troubles.map((trouble) => (
          <li key={`${trouble.time}${trouble.message}`}>
            {shortTime(Date.parse(trouble.time))} <span class="chip">{trouble.kind}</span> {trouble.message}
          </li>
        ))}
      </ul>
    </section>
  );
}
