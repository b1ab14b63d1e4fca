/** What the keyboard does on a time line. */

import { coverWords } from '../data/coverage';
import type { Happening } from '../data/events';
import type { Stream } from '../data/model';
import { shortTime, spanWords } from '../time/format';
import type { View } from '../time/view';

interface Place {
  stream: Stream;
  view: View;
  focused: string | null;
  cursor: number | null;
}

interface Doing {
  step(event: Happening): void;
  go(time: number, text: string): void;
  say(text: string): void;
  open(event: Happening): void;
  why(time: number): void;
}

/** Does what a key says; `false` where it says nothing. */
export function handleKey(event: KeyboardEvent, place: Place, doing: Doing): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const { stream, view } = place;
  const moved = () => doing.say(spanWords(view.from, view.to));
  switch (event.key) {
    case 'ArrowLeft':
    case 'ArrowRight':
      view.pan((event.key === 'ArrowLeft' ? -1 : 1) * view.span * (event.shiftKey ? 0.5 : 0.1));
      moved();
      return true;
    case '+':
    case '=':
    case '-':
      view.zoomBy(event.key === '-' ? 2 : 0.5);
      moved();
      return true;
    case 'End':
      view.follow();
      moved();
      return true;
    case 'n':
    case 'p':
      step(event.key === 'n' ? 1 : -1, place, doing);
      return true;
    case 'g':
      gap(place, doing);
      return true;
    case 'w':
      doing.why(at(place));
      return true;
    case 'Enter': {
      const focused = place.focused === null ? undefined : stream.events.find(place.focused);
      if (focused) doing.open(focused);
      else doing.why(at(place));
      return true;
    }
    default:
      return false;
  }
}

/** The moment that the keyboard is at. */
function at({ stream, view, focused, cursor }: Place): number {
  const event = focused === null ? undefined : stream.events.find(focused);
  return event?.start ?? cursor ?? Math.min(view.middle, Date.now());
}

function step(by: 1 | -1, place: Place, doing: Doing): void {
  const { stream, view, focused, cursor } = place;
  const from = cursor ?? (by > 0 ? view.from : view.to);
  const next = stream.events.layout().next(focused, from, by);
  if (next) doing.step(next);
  else doing.say(by > 0 ? 'no event after this' : 'no event before this, as far as fetched');
}

function gap(place: Place, doing: Doing): void {
  const hole = place.stream.coverage.nextHole(place.cursor ?? place.view.from);
  if (hole) doing.go(hole.from, `${spanWords(hole.from, hole.to)}: ${coverWords(hole)}`);
  else doing.say(`nothing after ${shortTime(place.cursor ?? place.view.from)} was left unwatched`);
}
