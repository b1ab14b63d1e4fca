/** Asks the model about what a stream has shown. */

import { useState } from 'preact/hooks';
import type { Completion } from '../api/types';
import { MODALITY_WORDS } from '../timeline/colours';
import { clockTime, scoreWords, spanWords } from '../time/format';
import type { View } from '../time/view';
import { CheckField, TextField } from '../ui/Field';
import { useAsk } from '../ui/useAsk';

export function Ask({ stream, view }: { stream: string; view: View }) {
  const [inView, setInView] = useState(false);
  const { question, change, ready, answer, busy, problem, ask, stop } = useAsk('');

  function submitted(submit: Event) {
    submit.preventDefault();
    const span: Record<string, string> = { type: 'stream_span', stream_id: stream };
    if (inView) {
      span['from'] = new Date(view.from).toISOString();
      span['to'] = new Date(Math.min(view.to, Date.now())).toISOString();
    }
    void ask(span);
  }

  return (
    <section aria-labelledby="ask">
      <h3 id="ask">Ask</h3>
      <form onSubmit={submitted} noValidate>
        <TextField
          label="What do you want to know?"
          hint="About what the stream remembers; questions wait behind its windows."
          placeholder="when does a dog bark?"
          pointer="/messages"
          problem={null}
          value={question}
          change={change}
        />
        <CheckField label="Only what is in view" pointer="/from" problem={null} value={inView} change={setInView} />
        <div class="actions">
          <button type="submit" class="main" disabled={!ready}>
            {busy ? 'Asking …' : 'Ask'}
          </button>
          {busy && (
            <button type="button" onClick={stop}>
              Stop waiting
            </button>
          )}
        </div>
      </form>
      <div aria-live="polite">
        {problem && <p class="problem">{problem.message}</p>}
        {answer && <Reply answer={answer} view={view} />}
      </div>
    </section>
  );
}

function Reply({ answer, view }: { answer: Completion; view: View }) {
  const { events, watched, query } = answer.avicuna;
  const shown = (from: string, to: string) => {
    const [start, end] = [Date.parse(from), Date.parse(to)];
    view.show(start - (end - start) - 5000, end + (end - start) + 5000);
  };
  return (
    <div class="reply">
      <p class="words">{answer.choices[0]?.message.content}</p>
      {events.length > 0 && (
        <ul>
          {events.map((event, index) => (
            <li key={index}>
              <button type="button" class="link" onClick={() => shown(event.start.utc, event.end.utc)}>
                {clockTime(Date.parse(event.start.utc))} – {clockTime(Date.parse(event.end.utc))}
              </button>{' '}
              {event.label}, score {scoreWords(event.score)}
              {event.modality && `, ${MODALITY_WORDS[event.modality]}`}
            </li>
          ))}
        </ul>
      )}
      <p class="quiet-text">
        {query !== null && `Understood as “${query}”. `}
        {watched && `Looked at ${spanWords(Date.parse(watched[0].utc), Date.parse(watched[1].utc))}. `}
        {answer.model}
      </p>
    </div>
  );
}
