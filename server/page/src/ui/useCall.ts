/** A call that a person started: is it under way, and what was wrong? */

import { useEffect, useRef, useState } from 'preact/hooks';
import { Problem } from '../api/http';

export interface Calling {
  busy: boolean;
  problem: Problem | null;
  /** Runs a call; its answer, or `undefined` when it failed. */
  run<T>(call: (signal: AbortSignal) => Promise<T>): Promise<{ answer: T } | undefined>;
  clear(): void;
  /** Waits no longer. */
  stop(): void;
}

export function useCall(): Calling {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const under = useRef<AbortController | null>(null);
  useEffect(() => () => under.current?.abort(), []);
  return {
    busy,
    problem,
    clear: () => setProblem(null),
    stop: () => under.current?.abort(),
    run: async (call) => {
      under.current?.abort();
      const control = new AbortController();
      under.current = control;
      setBusy(true);
      setProblem(null);
      try {
        return { answer: await call(control.signal) };
      } catch (error) {
        if (!control.signal.aborted) setProblem(Problem.of(error));
        return undefined;
      } finally {
        if (under.current === control) setBusy(false);
      }
    },
  };
}

/** What a call gives; read again whenever `key` changes. */
export function useRead<T>(key: string, read: (signal: AbortSignal) => Promise<T>): { value: T | null; problem: Problem | null } {
  const [state, setState] = useState<{ key: string; value: T | null; problem: Problem | null }>({ key, value: null, problem: null });
  useEffect(() => {
    const control = new AbortController();
    read(control.signal).then(
      (value) => setState({ key, value, problem: null }),
      (error: unknown) => {
        if (!control.signal.aborted) setState({ key, value: null, problem: Problem.of(error) });
      },
    );
    return () => control.abort();
  }, [key]);
  return state;
}
