/** Streams that daemons share, in the order in which a person wants to see them. */

import type { SharedStream } from '../api/types';

/** At most so many: those that should be watched and are not, then those that are furthest behind, then the rest. */
export function worst(streams: readonly SharedStream[], most: number): SharedStream[] {
  return [...streams].sort(compare).slice(0, most);
}

function compare(one: SharedStream, other: SharedStream): number {
  return rank(one) - rank(other) || (other.lag ?? 0) - (one.lag ?? 0) || one.id.localeCompare(other.id);
}

function rank({ state }: SharedStream): number {
  if (state === 'disabled') return 2;
  return state === 'watching' ? 1 : 0;
}
