/** Adds a stream, once somebody has looked what there is; or gives one other settings. */

import { useRef, useState } from 'preact/hooks';
import { call, id } from '../api/http';
import type { Probed, StreamView } from '../api/types';
import type { Model } from '../data/model';
import { open } from '../route';
import { lengthWords } from '../time/format';
import { CheckField, focusWrong, ListField, SelectField, Summary, TextField } from '../ui/Field';
import { type Calling, useCall } from '../ui/useCall';
import { changes, type Draft, draftOf, EMPTY, newStream } from './draft';

const POINTERS = [
  '/id', '/uri', '/enabled', '/detect', '/queries', '/min_score', '/min_query_score', '/min_windows', '/window', '/hop',
  '/merge_gap', '/recall', '/clips', '/clip_audio', '/audio', '/video', '/live', '/loop', '/realtime',
];

export function AddStream({ model }: { model: Model }) {
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [probed, setProbed] = useState<Probed | null>(null);
  const look = useCall();
  const add = useCall();
  const form = useRef<HTMLFormElement>(null);
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });

  async function probe() {
    setProbed(null);
    add.clear();
    const done = await look.run((signal) => call<Probed>('POST', '/v1/streams/probe', { uri: draft.uri.trim() }, signal));
    if (done) setProbed(done.answer);
    else focusWrong(form.current);
  }

  async function submit(event: Event) {
    event.preventDefault();
    look.clear();
    const done = await add.run((signal) => call<StreamView>('POST', '/v1/streams', newStream(draft), signal));
    if (!done) return focusWrong(form.current);
    await model.refresh();
    open({ kind: 'stream', id: done.answer.id });
  }

  return (
    <form ref={form} onSubmit={submit} noValidate>
      <div class="with-button">
        <TextField
          label="Address"
          hint="rtsp, rtmp, srt, http, or a file that may be watched"
          placeholder="rtsp://camera.example.org/stream1"
          pointer="/uri"
          problem={look.problem ?? add.problem}
          value={draft.uri}
          change={(uri) => {
            set({ uri });
            setProbed(null);
          }}
        />
        <button type="button" disabled={look.busy || draft.uri.trim() === ''} onClick={() => void probe()}>
          {look.busy ? 'Looking …' : 'Look'}
        </button>
      </div>
      <div aria-live="polite">
        {look.problem && look.problem.errors.length === 0 && <p class="problem">{look.problem.message}</p>}
        {look.busy && <p class="quiet-text">It is connected to for a moment, 15 s at most.</p>}
        {probed && <ProbeResult probed={probed} />}
      </div>
      <TextField
        label="Id"
        hint="Names it everywhere; no blanks, no /"
        placeholder="yard"
        pointer="/id"
        problem={add.problem}
        value={draft.id}
        change={(name) => set({ id: name })}
      />
      <Fields draft={draft} set={set} calling={add} />
      <Summary problem={add.problem} pointers={POINTERS} />
      <div class="actions">
        <button type="submit" class="main" disabled={add.busy}>
          {add.busy ? 'Adding …' : 'Add the stream'}
        </button>
      </div>
    </form>
  );
}

function ProbeResult({ probed }: { probed: Probed }) {
  if (!probed.works) return <p class="problem">Nothing can be watched there: {probed.reason ?? 'no reason told'}</p>;
  const parts = [
    probed.video ? `picture${pictureWords(probed)}` : 'no picture',
    probed.audio ? `sound${soundWords(probed)}` : 'no sound',
    probed.live ? 'live' : 'not live',
    probed.length === null ? '' : lengthWords(probed.length * 1000),
    probed.took_ms === null ? '' : `first sample after ${lengthWords(probed.took_ms)}`,
  ];
  return <p class="good">It works: {parts.filter(Boolean).join(', ')}.</p>;
}

export function EditStream({ model, stream }: { model: Model; stream: StreamView }) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(stream));
  const calling = useCall();
  const form = useRef<HTMLFormElement>(null);
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });

  async function submit(event: Event) {
    event.preventDefault();
    const patch = changes(draft, draftOf(stream));
    const done = await calling.run((signal) => call<StreamView>('PATCH', `/v1/streams/${id(stream.id)}`, patch, signal));
    if (!done) return focusWrong(form.current);
    await model.refresh();
    open({ kind: 'stream', id: stream.id });
  }

  return (
    <form ref={form} onSubmit={submit} noValidate>
      <p class="quiet-text">A change connects the stream again: its open events end first.</p>
      <TextField
        label="Address"
        hint="Shown without user, password and tokens. Left as it is, they are kept."
        pointer="/uri"
        problem={calling.problem}
        value={draft.uri}
        change={(uri) => set({ uri })}
      />
      <Fields draft={draft} set={set} calling={calling} />
      <Summary problem={calling.problem} pointers={POINTERS} />
      <div class="actions">
        <button type="submit" class="main" disabled={calling.busy}>
          {calling.busy ? 'Saving …' : 'Save'}
        </button>
      </div>
    </form>
  );
}

interface FieldsProps {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
  calling: Calling;
}

function Fields({ draft, set, calling: { problem } }: FieldsProps) {
  const own = "the model's own";
  return (
    <>
      <CheckField label="Ask what happens" pointer="/detect" problem={problem} value={draft.detect} change={(detect) => set({ detect })} />
      <ListField
        label="Queries"
        one="query"
        hint="Asked of every window beside what happens, in your own words."
        pointer="/queries"
        problem={problem}
        values={draft.queries}
        change={(queries) => set({ queries })}
      />
      <div class="pair">
        <TextField label="Least score" type="number" step="0.01" min="0" max="1" placeholder={own} pointer="/min_score" problem={problem} value={draft.min_score} change={(min_score) => set({ min_score })} />
        <TextField label="Least score of queries" type="number" step="0.01" min="0" max="1" placeholder={own} pointer="/min_query_score" problem={problem} value={draft.min_query_score} change={(min_query_score) => set({ min_query_score })} />
      </div>
      <CheckField label="Watch it" pointer="/enabled" problem={problem} value={draft.enabled} change={(enabled) => set({ enabled })} />
      <details>
        <summary>More settings</summary>
        <div class="pair">
          <TextField label="Window" hint="as 20s" placeholder={own} pointer="/window" problem={problem} value={draft.window} change={(window) => set({ window })} />
          <TextField label="Hop" hint="as 5s" placeholder="half a window" pointer="/hop" problem={problem} value={draft.hop} change={(hop) => set({ hop })} />
        </div>
        <div class="pair">
          <TextField label="Windows that must see it" type="number" step="1" min="1" placeholder="1" pointer="/min_windows" problem={problem} value={draft.min_windows} change={(min_windows) => set({ min_windows })} />
          <TextField label="Gap that joins events" placeholder="1s" pointer="/merge_gap" problem={problem} value={draft.merge_gap} change={(merge_gap) => set({ merge_gap })} />
        </div>
        <TextField label="Remembered for questions" placeholder="2m" pointer="/recall" problem={problem} value={draft.recall} change={(recall) => set({ recall })} />
        <CheckField label="Keep clips of its events" pointer="/clips" problem={problem} value={draft.clips} change={(clips) => set({ clips })} />
        <CheckField label="Clips may be heard" pointer="/clip_audio" problem={problem} value={draft.clip_audio} change={(clip_audio) => set({ clip_audio })} />
        <SelectField
          label="Live"
          pointer="/live"
          problem={problem}
          value={draft.live}
          change={(live) => set({ live })}
          choices={[
            ['', 'as the address says'],
            ['yes', 'yes: connected again when lost'],
            ['no', 'no: it waits for the model, and ends'],
          ]}
        />
        <CheckField label="Look" pointer="/video" problem={problem} value={draft.video} change={(video) => set({ video })} />
        <CheckField label="Listen" pointer="/audio" problem={problem} value={draft.audio} change={(audio) => set({ audio })} />
        <CheckField label="Start a file again at its end" pointer="/loop" problem={problem} value={draft.loop} change={(loop) => set({ loop })} />
        <CheckField label="Play a file at its own speed" pointer="/realtime" problem={problem} value={draft.realtime} change={(realtime) => set({ realtime })} />
      </details>
    </>
  );
}

function pictureWords({ video_format: format }: Probed): string {
  if (!format) return '';
  const rate = format.frame_rate === null ? '' : `, ${Number(format.frame_rate.toFixed(2))} a second`;
  return ` (${format.codec}, ${format.width} x ${format.height}${rate})`;
}

function soundWords({ audio_format: format }: Probed): string {
  if (!format) return '';
  return ` (${format.codec}, ${format.sample_rate / 1000} kHz, ${format.channels === 1 ? 'mono' : `${format.channels} channels`})`;
}
