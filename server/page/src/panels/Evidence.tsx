/** What an event looked and sounded like: its clip, its picture, its spectrogram. */

import { useEffect, useState } from 'preact/hooks';
import type { Problem } from '../api/http';
import type { EventRecord, Kept } from '../api/types';
import { useKept, usePiece } from '../data/evidence';
import { scoreWords, trimmed } from '../time/format';
import { MODALITY_WORDS } from '../timeline/colours';
import { TextField } from '../ui/Field';
import { useAsk } from '../ui/useAsk';

export function Evidence({ event }: { event: EventRecord }) {
  const kept = useKept(event.event_id);
  const { evidence } = event;
  if (!evidence) return null;
  return (
    <section aria-labelledby="evidence" class="evidence">
      <h3 id="evidence">What it looked and sounded like</h3>
      {evidence.clip && <Clip event={event} kept={kept.value} />}
      {evidence.snapshot && <Still event={event} piece="snapshot.jpg" words="The surest moment" />}
      {evidence.spectrogram && (
        <Still event={event} piece="spectrogram.png" words="The clip's sound: time to the right, up to 8 kHz upwards" />
      )}
      {evidence.clip && kept.value?.clip && <Again event={event} />}
      {kept.value?.remarks.map((remark) => (
        <p class="quiet-text" key={remark}>
          {remark}
        </p>
      ))}
    </section>
  );
}

function Clip({ event, kept }: { event: EventRecord; kept: Kept | null }) {
  const clip = usePiece(event.event_id, 'clip.mp4');
  const [unplayable, setUnplayable] = useState(false);
  const captions = useCaptions(event, kept);
  if (!clip.value) return <Missing what="clip" problem={clip.problem} />;
  const { url, type } = clip.value;
  const media = { src: url, controls: true, preload: 'metadata', onError: () => setUnplayable(true) } as const;
  const track = captions && <track kind="captions" srcLang="en" label="The event" src={captions} default />;
  const name = `${event.event_id}.${type.includes('matroska') ? 'mkv' : 'mp4'}`;
  const codecs = [kept?.clip?.video, kept?.clip?.audio].filter(Boolean).join(' and ') || type;
  return (
    <>
      {unplayable ? (
        <p class="problem">This browser does not play {codecs}. Save the file, and open it with another player.</p>
      ) : type.startsWith('audio/') ? (
        <audio {...media} aria-label={`Sound of ${event.label}`} />
      ) : (
        <video {...media} playsInline aria-label={`Clip of ${event.label}`}>
          {track}
        </video>
      )}
      <p class="actions">
        <a class="button" href={url} download={name}>
          Save the clip
        </a>
      </p>
    </>
  );
}

function Still({ event, piece, words }: { event: EventRecord; piece: 'snapshot.jpg' | 'spectrogram.png'; words: string }) {
  const still = usePiece(event.event_id, piece);
  const what = piece === 'snapshot.jpg' ? 'picture' : 'spectrogram';
  if (!still.value) return <Missing what={what} problem={still.problem} />;
  return (
    <figure>
      <img src={still.value.url} alt={what === 'picture' ? `Picture of ${event.label}` : `Spectrogram of ${event.label}`} />
      <figcaption>{words}</figcaption>
    </figure>
  );
}

/** Shows the clip to the model once more, with the settings that its stream has now. */
function Again({ event }: { event: EventRecord }) {
  const { question, change, ready, answer, busy, problem, ask } = useAsk('what happens?');

  function submitted(submit: Event) {
    submit.preventDefault();
    void ask({ type: 'event_clip', event_id: event.event_id });
  }

  const found = answer?.avicuna.events ?? [];
  return (
    <form onSubmit={submitted} noValidate>
      <TextField
        label="Ask about the clip"
        hint="The model watches it again, with the settings that the stream has now."
        pointer="/messages"
        problem={problem}
        value={question}
        change={change}
      />
      <div class="actions">
        <button type="submit" disabled={!ready}>
          {busy ? 'Watching it again …' : 'Run it again'}
        </button>
      </div>
      <div aria-live="polite">
        {problem && problem.errors.length === 0 && <p class="problem">{problem.message}</p>}
        {answer && found.length === 0 && <p>{answer.choices[0]?.message.content}</p>}
        {found.length > 0 && (
          <ul>
            {found.map((one, index) => (
              <li key={index}>
                {trimmed(one.start.stream, 1)} – {trimmed(one.end.stream, 1)} s of the clip: {one.label}, score {scoreWords(one.score)}
                {one.modality && `, ${MODALITY_WORDS[one.modality]}`}
              </li>
            ))}
          </ul>
        )}
      </div>
    </form>
  );
}

function Missing({ what, problem }: { what: string; problem: Problem | null }) {
  if (!problem) return <p class="quiet-text">Reading the {what} …</p>;
  if (problem.type === 'not-yet') return <p class="quiet-text">The {what} is being made: {problem.message}.</p>;
  return (
    <p class="problem">
      There is no {what}: {problem.message}
    </p>
  );
}

/** Captions that say the event while it happens, as WebVTT. */
function useCaptions(event: EventRecord, kept: Kept | null): string | null {
  const [url, setUrl] = useState<string | null>(null);
  const from = kept?.clip?.from;
  useEffect(() => {
    if (from === undefined) return;
    const [start, end] = [Math.max(0, event.start.stream - from), Math.max(0.1, event.end.stream - from)];
    const text = `WEBVTT\n\n${stamp(start)} --> ${stamp(Math.max(end, start + 0.1))}\n[${plain(event.label)}]\n`;
    const made = URL.createObjectURL(new Blob([text], { type: 'text/vtt' }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [event.event_id, event.revision, from]);
  return url;
}

function stamp(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(11, 23);
}

/** Without what means something in WebVTT. */
function plain(label: string): string {
  return label.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/\s+/g, ' ');
}
