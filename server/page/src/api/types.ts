/** The shapes of the interface, as `/openapi.json` says them. */

export type Modality = 'visual' | 'audio' | 'both';
export type Phase = 'started' | 'updated' | 'ended';
export type Presence = 'present' | 'partial' | 'missing';

/** Seconds of stream time, and capture time in RFC 3339. */
export interface Instant {
  stream: number;
  utc: string;
}

export interface EventRecord {
  event_id: string;
  stream_id: string;
  phase: Phase;
  revision: number;
  label: string;
  text: string;
  start: Instant;
  end: Instant;
  score: number;
  modality: Modality;
  clock: 'ntp' | 'pts' | 'arrival';
  av_offset_ms: number | null;
  window: { id: string; start: number; end: number };
  model: string;
  latency_ms: { decode: number; encode: number; llm: number; total: number };
  evidence?: { clip?: string; snapshot?: string; spectrogram?: string };
}

/** What was made of an event to be looked at; times are seconds of stream time. */
export interface Kept {
  clip: { container: 'mp4' | 'matroska'; video: string | null; audio: string | null; from: number; to: number } | null;
  snapshot: number | null;
  spectrogram: boolean;
  remarks: string[];
}

export type Verdict = 'right' | 'wrong' | 'corrected';

export interface NewReview {
  verdict: Verdict;
  label?: string | null;
  start?: number | null;
  end?: number | null;
}

export interface Review extends NewReview {
  reviewed: string;
}

export type EventView = EventRecord & { review: Review | null };
export type EventHistory = EventView & { revisions: EventRecord[] };

export interface EventPage {
  events: EventView[];
  next: string | null;
}

export interface EventCounts {
  from: string;
  to: string;
  bucket: number;
  total: number;
  counts: { stream_id: string; start: string; visual: number; audio: number; both: number }[];
}

export interface CoverageRecord {
  stream_id: string;
  start: Instant;
  end: Instant;
  watched: boolean;
  audio: Presence;
  video: Presence;
  reason: string | null;
}

export interface Found {
  label: string;
  start: number;
  end: number;
  score: number;
  modality: Modality | null;
  least: number;
}

export interface WindowRecord {
  id: string;
  stream_id: string;
  start: Instant;
  end: Instant;
  fate: 'answered' | 'failed' | 'shed' | 'blind';
  reason: string | null;
  audio: Presence;
  video: Presence;
  answers: { query: string | null; text: string; found: Found[] }[];
}

export interface ErrorRecord {
  stream_id: string;
  time: string;
  kind: string;
  message: string;
  detail: string | null;
}

export interface Alert {
  alert_id: string;
  rule_id: string;
  stream_id: string;
  label: string;
  start: Instant;
  end: Instant;
  score: number;
  modality: Modality | null;
  window_id: string;
}

export interface StreamStatus {
  state: 'connecting' | 'watching' | 'lost' | 'ended';
  reason?: string;
  audio?: boolean;
  video?: boolean;
  since: string;
  reconnects: number;
  last_frame: string | null;
  last_sample: string | null;
  av_offset_ms: number | null;
}

export interface StreamConfig {
  id: string;
  uri: string;
  enabled: boolean;
  live?: boolean;
  loop: boolean;
  realtime: boolean;
  audio: boolean;
  video: boolean;
  window?: string;
  hop?: string;
  merge_gap: string;
  recall: string;
  clips: boolean;
  clip_audio: boolean;
  detect: boolean;
  queries: string[];
  min_score?: number;
  min_query_score?: number;
  min_windows: number;
}

export type StreamView = StreamConfig & { origin: 'file' | 'api' | 'fleet'; status: StreamStatus | null };

/** Several daemons that share their streams. */
export interface Fleet {
  group: string;
  partitions: number;
  unassigned: number[];
  members: FleetMember[];
  streams: SharedStream[];
}

export interface FleetMember {
  member: string;
  address: string | null;
  /** When it said this. */
  at: string;
  partitions: number[];
  streams: Record<string, { state: string }>;
  /** Windows a second: those that its model could answer, and those that its streams give it. */
  capacity: number | null;
  load: number;
}

export interface SharedStream {
  id: string;
  partition: number;
  member: string | null;
  state: string;
  reason?: string;
  /** Seconds that its answers are behind. */
  lag?: number;
}

export interface Watched {
  watched: number;
  not_watched: number;
  reasons: Record<string, number>;
}

export interface Probed {
  works: boolean;
  reason: string | null;
  audio: boolean;
  video: boolean;
  video_format: { codec: string; width: number; height: number; frame_rate: number | null } | null;
  audio_format: { codec: string; sample_rate: number; channels: number } | null;
  live: boolean;
  length: number | null;
  clock: string | null;
  took_ms: number | null;
}

export interface Rule {
  streams: string[];
  label: string | null;
  query: string | null;
  modality: Modality | null;
  min_score: number | null;
  lasts: number;
  n_of_m: [number, number];
  cooldown: number;
  enabled: boolean;
}

export type NamedRule = Rule & { id: string };

export interface Tried {
  windows: number;
  alerts: Alert[];
}

export interface Completion {
  model: string;
  choices: { message: { content: string } }[];
  avicuna: {
    query: string | null;
    events: { label: string; start: Instant; end: Instant; score: number; modality: Modality | null }[];
    said: string[];
    watched: [Instant, Instant] | null;
  };
}

export interface FieldProblem {
  pointer: string;
  message: string;
}
