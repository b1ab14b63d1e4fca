/** A question about a part of what was watched, and what the model says. */

import { useState } from 'preact/hooks';
import { call } from '../api/http';
import type { Completion } from '../api/types';
import { useCall } from './useCall';

export function useAsk(first: string) {
  const [question, setQuestion] = useState(first);
  const [answer, setAnswer] = useState<Completion | null>(null);
  const { busy, problem, run, clear, stop } = useCall();

  function change(words: string) {
    setQuestion(words);
    clear();
  }

  /** `about`: the part of a message that says what is looked at. */
  async function ask(about: Record<string, string>) {
    const content = [{ type: 'text', text: question }, about];
    const body = { messages: [{ role: 'user', content }] };
    setAnswer(null);
    const done = await run((signal) => call<Completion>('POST', '/v1/chat/completions', body, signal));
    if (done) setAnswer(done.answer);
  }

  return { question, change, ready: !busy && question.trim() !== '', answer, busy, problem, ask, stop };
}
