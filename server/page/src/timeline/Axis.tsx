/** The axis above all time lines. The wheel zooms here. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { useSignals } from '../data/signal';
import { fullTime } from '../time/format';
import { ticks } from '../time/ticks';
import type { View } from '../time/view';
import { drag, wheel } from './pointer';

export function Axis({ view }: { view: View }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  useSignals(view.changed);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const sizes = new ResizeObserver(() => setWidth(element.clientWidth));
    sizes.observe(element);
    const undrag = drag(element, view, () => undefined, () => true);
    const unwheel = wheel(element, view, true);
    return () => {
      sizes.disconnect();
      undrag();
      unwheel();
    };
  }, [view]);
  const at = (time: number) => `${((time - view.from) / view.span) * 100}%`;
  return (
    <div class="axis" ref={box} role="img" aria-label={`From ${fullTime(view.from)} to ${fullTime(view.to)}`}>
      {ticks(view.from, view.to, width / 90).map((tick) => (
        <span key={tick.time} class={tick.major ? 'tick major' : 'tick'} style={{ left: at(tick.time) }}>
          {tick.text}
        </span>
      ))}
    </div>
  );
}
