/** Right, wrong, or otherwise. */

import { useRef, useState } from 'preact/hooks';
import { call, id } from '../api/http';
import type { EventHistory, NewReview, Review } from '../api/types';
import { ago, trimmed } from '../time/format';
import { focusWrong, Summary, TextField } from '../ui/Field';
import { useCall } from '../ui/useCall';

interface Props {
  event: EventHistory;
  reviewed: (review: Review | null) => void;
}

const POINTERS = ['/label', '/start', '/end'];

export function ReviewForm({ event, reviewed }: Props) {
  const [correcting, setCorrecting] = useState(false);
  const [label, setLabel] = useState(event.review?.label ?? event.label);
  const [start, setStart] = useState(trimmed(event.review?.start ?? event.start.stream, 3));
  const [end, setEnd] = useState(trimmed(event.review?.end ?? event.end.stream, 3));
  const { busy, problem, run } = useCall();
  const form = useRef<HTMLFormElement>(null);
  const path = `/v1/events/${id(event.event_id)}/review`;

  async function say(review: NewReview) {
    const done = await run((signal) => call<Review>('POST', path, review, signal));
    if (!done) return focusWrong(form.current);
    setCorrecting(false);
    reviewed(done.answer);
  }

  async function takeBack() {
    if (await run((signal) => call('DELETE', path, undefined, signal))) reviewed(null);
  }

  function correct(submit: Event) {
    submit.preventDefault();
    const review: NewReview = { verdict: 'corrected' };
    if (label !== event.label) review.label = label;
    if (Number(start) !== Number(trimmed(event.start.stream, 3))) review.start = Number(start);
    if (Number(end) !== Number(trimmed(event.end.stream, 3))) review.end = Number(end);
    void say(review);
  }

  const verdict = event.review?.verdict;
  return (
    <section aria-labelledby="review" class="review">
      <h3 id="review">Was it so?</h3>
      <div class="actions" role="group" aria-labelledby="review">
        <button type="button" aria-pressed={verdict === 'right'} disabled={busy} onClick={() => void say({ verdict: 'right' })}>
          Right
        </button>
        <button type="button" aria-pressed={verdict === 'wrong'} disabled={busy} onClick={() => void say({ verdict: 'wrong' })}>
          Wrong
        </button>
        <button
          type="button"
          aria-pressed={verdict === 'corrected'}
          aria-expanded={correcting}
          disabled={busy}
          onClick={() => setCorrecting(!correcting)}
        >
          Correct it
        </button>
      </div>
      <p role="status">{event.review && <Said review={event.review} takeBack={() => void takeBack()} />}</p>
      {!correcting && <Summary problem={problem} pointers={[]} />}
      {correcting && (
        <form ref={form} onSubmit={correct} noValidate>
          <TextField label="What it was" pointer="/label" problem={problem} value={label} change={setLabel} />
          <div class="pair">
            <TextField label="Start, s of stream time" type="number" step="any" pointer="/start" problem={problem} value={start} change={setStart} />
            <TextField label="End, s of stream time" type="number" step="any" pointer="/end" problem={problem} value={end} change={setEnd} />
          </div>
          <Summary problem={problem} pointers={POINTERS} />
          <button type="submit" class="main" disabled={busy}>
            Save the correction
          </button>
        </form>
      )}
    </section>
  );
}

function Said({ review, takeBack }: { review: Review; takeBack: () => void }) {
  const parts = [
    review.label ? `it was ${review.label}` : '',
    typeof review.start === 'number' ? `from ${trimmed(review.start, 2)} s` : '',
    typeof review.end === 'number' ? `until ${trimmed(review.end, 2)} s` : '',
  ].filter(Boolean);
  return (
    <>
      Reviewed <strong>{review.verdict}</strong>
      {parts.length > 0 && `: ${parts.join(', ')}`}, {ago(Date.parse(review.reviewed))}.{' '}
      <button type="button" class="link" onClick={takeBack}>
        Take it back
      </button>
    </>
  );
}
