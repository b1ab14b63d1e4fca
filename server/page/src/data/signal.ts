/** Something that changes, and those who want to know. */

import { useEffect, useState } from 'preact/hooks';

export class Signal {
  private readonly heard = new Set<() => void>();

  subscribe(tell: () => void): () => void {
    this.heard.add(tell);
    return () => this.heard.delete(tell);
  }

  tell(): void {
    for (const tell of this.heard) tell();
  }
}

/** Draws the component again when any of `signals` tells. */
export function useSignals(...signals: Signal[]): void {
  const [, again] = useState(0);
  useEffect(() => {
    const ends = signals.map((signal) => signal.subscribe(() => again((count) => count + 1)));
    return () => ends.forEach((end) => end());
  }, signals);
}
