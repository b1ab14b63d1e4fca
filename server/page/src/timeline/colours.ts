/** The colours of the time line, from the style sheet. */

import type { Modality } from '../api/types';

const NAMES = ['lane', 'unwatched', 'hatch', 'grid', 'grid-day', 'now', 'visual', 'audio', 'both', 'on-event', 'select', 'alert', 'text'] as const;

export type Colours = Record<(typeof NAMES)[number], string>;

export function readColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => [name, style.getPropertyValue(`--tl-${name}`).trim()];
  return Object.fromEntries(NAMES.map(value)) as Colours;
}

export const MODALITY_WORDS: Record<Modality, string> = { visual: 'seen', audio: 'heard', both: 'seen and heard' };
