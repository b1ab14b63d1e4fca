/** What is kept of an event to be looked at, fetched with the token: pictures and clips as `blob:`. */

import { useEffect, useState } from 'preact/hooks';
import { id, Problem, send } from '../api/http';
import type { Kept } from '../api/types';

/** How often it is asked again for what is not there yet. */
const AGAIN = 3000;

export type Piece = 'clip.mp4' | 'snapshot.jpg' | 'spectrogram.png';

export interface Fetched {
  url: string;
  type: string;
}

export interface Fetching<T> {
  value: T | null;
  problem: Problem | null;
}

/** One file; asked for again while it is being made. */
export function usePiece(event: string, piece: Piece): Fetching<Fetched> {
  const fetching = usePatient(`${event}/${piece}`, async (signal) => {
    const response = await send(`/v1/events/${id(event)}/${piece}`, { signal });
    const blob = await response.blob();
    return { url: URL.createObjectURL(blob), type: blob.type };
  });
  const url = fetching.value?.url;
  useEffect(() => () => void (url && URL.revokeObjectURL(url)), [url]);
  return fetching;
}

/** What the files are, and what could not be made. */
export function useKept(event: string): Fetching<Kept> {
  return usePatient(event, async (signal) => {
    const response = await send(`/v1/events/${id(event)}/evidence`, { signal });
    return (await response.json()) as Kept;
  });
}

function usePatient<T>(key: string, read: (signal: AbortSignal) => Promise<T>): Fetching<T> {
  const [state, setState] = useState<Fetching<T>>({ value: null, problem: null });
  useEffect(() => {
    const control = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = () =>
      void read(control.signal).then(
        (value) => setState({ value, problem: null }),
        (error: unknown) => {
          if (control.signal.aborted) return;
          const problem = Problem.of(error);
          setState({ value: null, problem });
          if (problem.type === 'not-yet') timer = setTimeout(ask, AGAIN);
        },
      );
    setState({ value: null, problem: null });
    ask();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [key]);
  return state;
}
