/** Times in words, in this machine's zone. */

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const minutes = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

export const clockTime = (time: number): string => clock.format(time);
export const minuteTime = (time: number): string => minutes.format(time);
export const dayName = (time: number): string => day.format(time);
export const fullTime = (time: number): string => full.format(time);

/** With the day where it is not today. */
export function shortTime(time: number): string {
  const today = new Date(time).toDateString() === new Date().toDateString();
  return today ? clockTime(time) : `${dayName(time)} ${clockTime(time)}`;
}

export function spanWords(from: number, to: number): string {
  return `${shortTime(from)} – ${clockTime(to)}`;
}

/** A length: "4.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function lengthWords(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds < 10 ? trimmed(seconds, 1) : Math.round(seconds)} s`;
  const pair = (large: number, small: number, names: [string, string]) => {
    const [whole, rest] = [Math.floor(seconds / large), Math.floor((seconds % large) / small)];
    return rest > 0 ? `${whole} ${names[0]} ${rest} ${names[1]}` : `${whole} ${names[0]}`;
  };
  if (seconds < 3600) return pair(60, 1, ['min', 's']);
  if (seconds < 86_400) return pair(3600, 60, ['h', 'min']);
  return pair(86_400, 3600, ['d', 'h']);
}

export function ago(time: number): string {
  const past = Date.now() - time;
  return past < 1500 ? 'just now' : `${lengthWords(past)} ago`;
}

/** How long it has been so. */
export const since = (time: number): string => lengthWords(Math.max(0, Date.now() - time));

/** A score from 0 to 1, to two places and never rounded up to 1. */
export function scoreWords(score: number): string {
  return (score >= 1 ? 1 : Math.min(score, 0.99)).toFixed(2);
}

export function percent(part: number, whole: number): string {
  if (whole <= 0) return 'nothing';
  const share = (100 * part) / whole;
  return share > 99 && share < 100 ? `${(Math.floor(share * 10) / 10).toFixed(1)} %` : `${Math.round(share)} %`;
}

/** Without zeros at the end. */
export function trimmed(value: number, places: number): string {
  return String(Number(value.toFixed(places)));
}

/** As the field of a form for times wants it. */
export function fieldTime(time: number): string {
  const local = new Date(time - new Date(time).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}
