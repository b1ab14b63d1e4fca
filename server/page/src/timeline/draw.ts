/** Draws one stream's two lanes. Goes through every event in sight for every frame, so it keeps to flat arrays. */

import type { Cover } from '../data/coverage';
import type { Crowd } from '../data/crowd';
import { HEARD, type Layout, ROWS, SEEN } from '../data/layout';
import type { Tick } from '../time/ticks';
import type { Colours } from './colours';

export const ROW = 15;
export const LANE = ROWS * ROW;
export const GAP = 3;
export const HEIGHT = 2 * LANE + GAP;
/** Narrower than this, events are counted together. */
export const NARROW = 2.5;
/** So many in one column fill the lane. */
const FULL = 32;
const CHARACTER = 6.3;

export interface Scene {
  from: number;
  to: number;
  width: number;
  now: number;
  layout: Layout;
  /** Where there is one, it stands for all that is too narrow to be drawn. */
  crowd: Crowd | null;
  covers: Cover[];
  ticks: Tick[];
  alerts: number[];
  selected: string | null;
  focused: string | null;
  cursor: number | null;
}

/** What is in each column of pixels of a lane, where events are too narrow to be drawn. */
export interface Columns {
  counts: [Uint32Array, Uint32Array];
  /** Index of the last event that was counted; -1 where only a number is known. */
  last: [Int32Array, Int32Array];
}

export function columns(width: number): Columns {
  const size = Math.max(1, Math.ceil(width));
  return {
    counts: [new Uint32Array(size), new Uint32Array(size)],
    last: [new Int32Array(size), new Int32Array(size)],
  };
}

export const laneTop = (lane: 0 | 1): number => lane * (LANE + GAP);

/** How high a column of so many events is. */
function columnHeight(count: number): number {
  return Math.min(LANE, 8 + (LANE - 8) * (Math.log2(count) / Math.log2(FULL)));
}

export function draw(context: CanvasRenderingContext2D, scene: Scene, colours: Colours, counted: Columns): void {
  const x = (time: number) => ((time - scene.from) / (scene.to - scene.from)) * scene.width;
  context.clearRect(0, 0, scene.width, HEIGHT);
  context.fillStyle = colours.grid;
  for (const lane of [0, 1] as const) context.fillRect(0, laneTop(lane) + LANE - 1, scene.width, 1);
  drawCoverage(context, scene, colours, x);
  drawGrid(context, scene, colours, x);
  drawEvents(context, scene, colours, x, counted);
  drawMarks(context, scene, colours, x);
}

type Place = (time: number) => number;

function drawCoverage(context: CanvasRenderingContext2D, scene: Scene, colours: Colours, x: Place): void {
  const pattern = hatch(context, colours);
  for (const cover of scene.covers) {
    const left = Math.max(0, x(cover.from));
    const width = Math.max(1, Math.min(scene.width, x(cover.to)) - left);
    for (const lane of [0, 1] as const) {
      const presence = lane === 0 ? cover.video : cover.audio;
      const blind = !cover.watched || presence === 'missing';
      context.fillStyle = blind ? colours.unwatched : colours.lane;
      context.fillRect(left, laneTop(lane), width, LANE);
      if (blind || presence === 'partial') {
        context.fillStyle = pattern;
        context.fillRect(left, laneTop(lane), width, LANE);
      }
    }
  }
}

let hatched: { colour: string; pattern: CanvasPattern | null } | null = null;

function hatch(context: CanvasRenderingContext2D, colours: Colours): CanvasPattern | string {
  if (hatched?.colour !== colours.hatch) {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 8;
    const on = tile.getContext('2d');
    if (on) {
      on.strokeStyle = colours.hatch;
      on.lineWidth = 1.2;
      for (const shift of [-8, 0, 8]) {
        on.moveTo(shift, 8);
        on.lineTo(shift + 8, 0);
      }
      on.stroke();
    }
    hatched = { colour: colours.hatch, pattern: context.createPattern(tile, 'repeat') };
  }
  return hatched.pattern ?? colours.unwatched;
}

function drawGrid(context: CanvasRenderingContext2D, scene: Scene, colours: Colours, x: Place): void {
  for (const tick of scene.ticks) {
    context.fillStyle = tick.major ? colours['grid-day'] : colours.grid;
    context.fillRect(Math.round(x(tick.time)), 0, 1, HEIGHT);
  }
}

function drawEvents(
  context: CanvasRenderingContext2D,
  scene: Scene,
  colours: Colours,
  x: Place,
  counted: Columns,
): void {
  const { layout, from, to, width } = scene;
  const { start, end, lanes } = layout;
  const scale = width / (to - from);
  const [first, last] = layout.within(from, to);
  counted.counts.forEach((counts) => counts.fill(0));
  const wide: number[] = [];
  for (let index = first; index < last; index++) {
    const [starts, ends] = [start[index] as number, end[index] as number];
    if (ends < from) continue;
    if ((ends - starts) * scale >= NARROW) {
      wide.push(index);
      continue;
    }
    if (scene.crowd) continue;
    const column = Math.min(Math.max(0, ((starts - from) * scale) | 0), counted.counts[0].length - 1);
    const lane = lanes[index] as number;
    if (lane & SEEN) count(counted, 0, column, index);
    if (lane & HEARD) count(counted, 1, column, index);
  }
  if (scene.crowd) countCrowd(scene.crowd, counted, from, scale);
  drawColumns(context, colours, counted);
  context.font = '11px system-ui, sans-serif';
  context.textBaseline = 'middle';
  for (const index of wide) drawEvent(context, scene, colours, x, index);
}

function count(counted: Columns, lane: 0 | 1, column: number, index: number): void {
  counted.counts[lane][column] = (counted.counts[lane][column] as number) + 1;
  counted.last[lane][column] = index;
}

/** A piece of time that is wider than a column is spread over its columns. */
function countCrowd(crowd: Crowd, counted: Columns, from: number, scale: number): void {
  const size = counted.counts[0].length;
  for (const lane of [0, 1] as const) {
    crowd.lanes[lane].forEach((number, index) => {
      if (number === 0) return;
      const start = crowd.from + index * crowd.piece;
      const left = Math.floor((start - from) * scale);
      const right = Math.max(left + 1, Math.floor((start + crowd.piece - from) * scale));
      const each = Math.max(1, Math.round(number / (right - left)));
      for (let column = Math.max(0, left); column < Math.min(size, right); column++) {
        counted.counts[lane][column] = (counted.counts[lane][column] as number) + each;
        counted.last[lane][column] = -1;
      }
    });
  }
}

function drawColumns(context: CanvasRenderingContext2D, colours: Colours, counted: Columns): void {
  for (const lane of [0, 1] as const) {
    const bottom = laneTop(lane) + LANE;
    context.fillStyle = lane === 0 ? colours.visual : colours.audio;
    counted.counts[lane].forEach((number, column) => {
      if (number === 0) return;
      const height = columnHeight(number);
      context.fillRect(column, bottom - height, 1, height);
    });
  }
}

function drawEvent(context: CanvasRenderingContext2D, scene: Scene, colours: Colours, x: Place, index: number): void {
  const event = scene.layout.events[index];
  if (!event) return;
  const left = Math.max(-4, x(event.start));
  const right = Math.min(scene.width + 4, x(event.end));
  const width = Math.max(NARROW, right - left);
  const lanes = scene.layout.lanes[index] as number;
  for (const lane of [0, 1] as const) {
    if (!(lanes & (lane === 0 ? SEEN : HEARD))) continue;
    const top = laneTop(lane) + (scene.layout.rows[lane][index] as number) * ROW + 1;
    const height = ROW - 2;
    const wrong = event.review?.verdict === 'wrong';
    context.fillStyle = context.strokeStyle = colours[event.modality];
    context.beginPath();
    context.roundRect(left + 0.5, top + 0.5, width - 1, height - 1, Math.min(3, width / 2));
    if (wrong) {
      context.setLineDash([3, 2]);
      context.stroke();
      context.setLineDash([]);
    } else {
      context.fill();
    }
    // The less sure, the shorter the bar beneath; the label stays readable on a whole one.
    if (!wrong && width > 6) {
      context.globalAlpha = 0.55;
      context.fillStyle = colours['on-event'];
      const sure = (width - 2) * event.score;
      context.fillRect(left + 1 + sure, top + height - 2.5, width - 2 - sure, 1.5);
      context.globalAlpha = 1;
    }
    if (event.id === scene.selected || event.id === scene.focused) {
      context.strokeStyle = colours.select;
      context.lineWidth = 2;
      context.strokeRect(left - 1, top - 1, width + 2, height + 2);
      context.lineWidth = 1;
    }
    context.fillStyle = wrong ? colours.text : colours['on-event'];
    label(context, `${event.label}  ${event.score.toFixed(2)}`, event.label, left, top + height / 2, width);
  }
}

function label(
  context: CanvasRenderingContext2D,
  long: string,
  short: string,
  left: number,
  middle: number,
  width: number,
): void {
  const room = Math.floor((width - 8 + Math.min(0, left)) / CHARACTER);
  if (room < 3) return;
  const text = long.length <= room ? long : short.length <= room ? short : `${short.slice(0, room - 1)}…`;
  context.fillText(text, Math.max(left, 0) + 4, middle);
}

function drawMarks(context: CanvasRenderingContext2D, scene: Scene, colours: Colours, x: Place): void {
  context.fillStyle = colours.alert;
  for (const time of scene.alerts) {
    const at = x(time);
    context.beginPath();
    context.moveTo(at - 4, 0);
    context.lineTo(at + 4, 0);
    context.lineTo(at, 7);
    context.fill();
  }
  if (scene.now < scene.to) {
    context.fillStyle = colours.now;
    context.fillRect(Math.round(x(scene.now)), 0, 1, HEIGHT);
  }
  if (scene.cursor !== null) {
    context.fillStyle = colours.select;
    context.fillRect(Math.round(x(scene.cursor)), 0, 1, HEIGHT);
  }
}
