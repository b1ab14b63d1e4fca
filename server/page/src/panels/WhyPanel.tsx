/** Why something was told at a moment, and why nothing was: every window there, with all it was answered. */

import { get } from '../api/http';
import type { CoverageRecord, Found, WindowRecord } from '../api/types';
import { coverWords } from '../data/coverage';
import { toPanel } from '../route';
import { MODALITY_WORDS } from '../timeline/colours';
import { clockTime, fullTime, lengthWords, scoreWords } from '../time/format';
import { useRead } from '../ui/useCall';
import { Table } from '../ui/Table';

const FATES = {
  answered: 'The model answered',
  failed: 'The model could not answer',
  shed: 'Given up for lack of time',
  blind: 'Nothing was in it',
} as const;

interface There {
  windows: WindowRecord[];
  coverage: CoverageRecord[];
}

export function WhyPanel({ stream, time }: { stream: string; time: number }) {
  const span = { stream, from: new Date(time).toISOString(), to: new Date(time + 1).toISOString() };
  const { value, problem } = useRead<There>(`${stream}@${time}`, async (signal) => ({
    windows: (await get<{ windows: WindowRecord[] }>('/v1/windows', span, signal)).windows,
    coverage: (await get<{ coverage: CoverageRecord[] }>('/v1/coverage', span, signal)).coverage,
  }));
  const beside = (by: number) => toPanel({ kind: 'why', stream, time: time + by });
  return (
    <>
      <p class="lead">
        <a href={toPanel({ kind: 'stream', id: stream })}>{stream}</a> at{' '}
        <time dateTime={new Date(time).toISOString()}>{fullTime(time)}</time>
      </p>
      <p class="actions">
        <a class="button" href={beside(-5000)}>
          5 s earlier
        </a>
        <a class="button" href={beside(5000)}>
          5 s later
        </a>
      </p>
      {problem && <p class="problem">{problem.message}</p>}
      {!value && !problem && <p class="quiet-text">Reading …</p>}
      {value && <Told there={value} />}
    </>
  );
}

function Told({ there }: { there: There }) {
  const covers = there.coverage.map(({ watched, audio, video, reason }) =>
    coverWords({ from: 0, to: 0, watched, audio, video, reason }),
  );
  return (
    <>
      <p>This moment: {covers.length > 0 ? covers.join('; ') : coverWords(undefined)}.</p>
      {there.windows.length === 0 && (
        <p class="quiet-text">
          No window is remembered here. Windows are answered a while after they end, and are kept for history.keep_windows.
        </p>
      )}
      {there.windows.map((window) => (
        <Window key={`${window.id}${window.start.utc}`} window={window} />
      ))}
    </>
  );
}

function Window({ window }: { window: WindowRecord }) {
  const [start, end] = [Date.parse(window.start.utc), Date.parse(window.end.utc)];
  const utc = (stream: number) => start + (stream - window.start.stream) * 1000;
  const told = window.answers.flatMap((answer) => answer.found).filter((found) => found.score >= found.least).length;
  return (
    <section class="window" aria-labelledby={`window-${window.id}`}>
      <h3 id={`window-${window.id}`}>
        {clockTime(start)} – {clockTime(end)} <span class="quiet-text">window {window.id.split('/').at(-1)}</span>
      </h3>
      <p>
        <span class={`chip fate-${window.fate}`}>{FATES[window.fate]}</span>{' '}
        {window.fate === 'answered' && (told > 0 ? `${told} sure enough to be told. ` : 'Nothing was sure enough to be told. ')}
        {window.reason && <>Reason: {window.reason}. </>}
        Picture {window.video}, sound {window.audio}, {lengthWords(end - start)} long.
      </p>
      {window.answers.map((answer, index) => (
        <div class="answer" key={index}>
          <p>
            <span class="quiet-text">{answer.query === null ? 'Asked what happens' : `Asked “${answer.query}”`}:</span>{' '}
            <q>{answer.text}</q>
          </p>
          {answer.found.length > 0 ? (
            <FoundTable found={answer.found} utc={utc} />
          ) : (
            <p class="quiet-text">Nothing was found in this answer.</p>
          )}
        </div>
      ))}
    </section>
  );
}

function FoundTable({ found, utc }: { found: Found[]; utc: (stream: number) => number }) {
  return (
    <Table caption="What was found, and the score it needed" columns={['Label', 'When', 'Score', 'Needed', 'Told']}>
      {found.map((one, index) => (
        <tr key={index}>
          <th scope="row">
            {one.label}
            {one.modality && <span class="quiet-text"> {MODALITY_WORDS[one.modality]}</span>}
          </th>
          <td>
            {clockTime(utc(one.start))} – {clockTime(utc(one.end))}
          </td>
          <td>
            <meter min={0} max={1} value={one.score} low={one.least} aria-label={`Score of ${one.label}`} /> {scoreWords(one.score)}
          </td>
          <td>{scoreWords(one.least)}</td>
          <td>{one.score >= one.least ? 'yes' : 'no, too unsure'}</td>
        </tr>
      ))}
    </Table>
  );
}
