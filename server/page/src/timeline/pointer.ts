/** Dragging, pinching and the wheel over a time line. */

import type { View } from '../time/view';

/** A pointer that moved less was a click. */
const CLICK = 5;
/** One notch of a wheel. */
const ZOOM = 1.0018;

type Pick = (x: number, y: number) => boolean;

/** Follows pointers until the function it gives is called. A click that hits nothing asks why. */
export function drag(element: HTMLElement, view: View, why: (time: number) => void, pick: Pick): () => void {
  const pointers = new Map<number, { x: number; y: number }>();
  let moved = 0;
  const place = (x: number) => {
    const { left, width } = element.getBoundingClientRect();
    return view.from + ((x - left) / Math.max(1, width)) * view.span;
  };

  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    element.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const others = [...pointers].filter(([number]) => number !== event.pointerId).map(([, point]) => point);
    const other = others[0];
    moved += Math.abs(event.clientX - before.x);
    if (other) {
      const apart = (x: number) => Math.max(12, Math.abs(x - other.x));
      view.follows = false;
      view.zoom(apart(before.x) / apart(event.clientX), place((event.clientX + other.x) / 2));
    } else if (moved > CLICK) {
      view.pan((-(event.clientX - before.x) / Math.max(1, element.clientWidth)) * view.span);
    }
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  };
  const up = (event: PointerEvent) => {
    const known = pointers.delete(event.pointerId);
    if (!known || moved > CLICK || event.type !== 'pointerup') return;
    const { left, top } = element.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const time = place(event.clientX);
    if (!pick(x, y) && time <= Date.now()) why(time);
  };
  element.addEventListener('pointerdown', down);
  element.addEventListener('pointermove', move);
  element.addEventListener('pointerup', up);
  element.addEventListener('pointercancel', up);
  return () => {
    element.removeEventListener('pointerdown', down);
    element.removeEventListener('pointermove', move);
    element.removeEventListener('pointerup', up);
    element.removeEventListener('pointercancel', up);
  };
}

/**
 * The wheel: sideways or with Shift it pans, with Ctrl it zooms at the pointer. Upright it scrolls the page, but `always`
 * zooms.
 */
export function wheel(element: HTMLElement, view: View, always: boolean): () => void {
  const turn = (event: WheelEvent) => {
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const sideways = (event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX) * unit;
    const { left, width } = element.getBoundingClientRect();
    const across = Math.max(1, width);
    if (event.ctrlKey || event.metaKey || (always && Math.abs(event.deltaY) > Math.abs(event.deltaX) && !event.shiftKey)) {
      view.zoom(ZOOM ** (event.deltaY * unit), view.from + ((event.clientX - left) / across) * view.span);
    } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY * unit)) {
      view.pan((sideways / across) * view.span);
    } else {
      return;
    }
    event.preventDefault();
  };
  element.addEventListener('wheel', turn, { passive: false });
  return () => element.removeEventListener('wheel', turn);
}
