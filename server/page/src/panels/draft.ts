/** A stream's settings as a form holds them, and the bodies that are sent of them. Pure. */

import type { StreamView } from '../api/types';

/** Texts that are empty take the default. */
export interface Draft {
  id: string;
  uri: string;
  enabled: boolean;
  detect: boolean;
  queries: string[];
  min_score: string;
  min_query_score: string;
  min_windows: string;
  window: string;
  hop: string;
  merge_gap: string;
  recall: string;
  clips: boolean;
  clip_audio: boolean;
  live: string;
  audio: boolean;
  video: boolean;
  loop: boolean;
  realtime: boolean;
}

export const EMPTY: Draft = {
  id: '',
  uri: '',
  enabled: true,
  detect: true,
  queries: [],
  min_score: '',
  min_query_score: '',
  min_windows: '',
  window: '',
  hop: '',
  merge_gap: '',
  recall: '',
  clips: true,
  clip_audio: true,
  live: '',
  audio: true,
  video: true,
  loop: false,
  realtime: false,
};

export function draftOf(stream: StreamView): Draft {
  const text = (value: string | number | undefined) => (value === undefined ? '' : String(value));
  return {
    id: stream.id,
    uri: stream.uri,
    enabled: stream.enabled,
    detect: stream.detect,
    queries: [...stream.queries],
    min_score: text(stream.min_score),
    min_query_score: text(stream.min_query_score),
    min_windows: text(stream.min_windows),
    window: text(stream.window),
    hop: text(stream.hop),
    merge_gap: text(stream.merge_gap),
    recall: text(stream.recall),
    clips: stream.clips,
    clip_audio: stream.clip_audio,
    live: stream.live === undefined ? '' : stream.live ? 'yes' : 'no',
    audio: stream.audio,
    video: stream.video,
    loop: stream.loop,
    realtime: stream.realtime,
  };
}

type Value = string | number | boolean | string[] | null;

/** A draft's field as the interface takes it; `null` for the default. */
function value(draft: Draft, key: keyof Draft): Value {
  const held = draft[key];
  if (typeof held !== 'string') return held;
  const text = held.trim();
  if (key === 'id' || key === 'uri') return text;
  if (text === '') return null;
  if (key === 'live') return text === 'yes';
  if (key === 'min_score' || key === 'min_query_score' || key === 'min_windows') return number(text);
  return text;
}

/** What is no number is sent as it is: the daemon says at which field. */
export function number(text: string): number | string {
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

const KEYS = Object.keys(EMPTY) as (keyof Draft)[];

/** The body that adds a stream: what differs from the defaults. */
export function newStream(draft: Draft): Record<string, Value> {
  const named = KEYS.filter((key) => key === 'id' || key === 'uri' || differs(draft, EMPTY, key));
  return Object.fromEntries(named.map((key) => [key, value(draft, key)]));
}

/** The merge patch that makes `before` into `draft`. */
export function changes(draft: Draft, before: Draft): Record<string, Value> {
  const changed = KEYS.filter((key) => key !== 'id' && differs(draft, before, key));
  return Object.fromEntries(changed.map((key) => [key, value(draft, key)]));
}

function differs(one: Draft, other: Draft, key: keyof Draft): boolean {
  return JSON.stringify(one[key]) !== JSON.stringify(other[key]);
}
