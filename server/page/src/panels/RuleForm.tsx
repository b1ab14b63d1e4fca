/** Adds a rule or changes one, and tries it on what was recorded. */

import { useRef, useState } from 'preact/hooks';
import { call, id } from '../api/http';
import type { Alert, Modality, NamedRule, Rule, Tried } from '../api/types';
import { open, toPanel } from '../route';
import { MODALITY_WORDS } from '../timeline/colours';
import { fieldTime, scoreWords, shortTime } from '../time/format';
import { CheckField, focusWrong, ListField, SelectField, Summary, TextField } from '../ui/Field';
import { useCall } from '../ui/useCall';
import { number } from './draft';
import { Table } from '../ui/Table';

const POINTERS = ['/id', '/streams', '/label', '/query', '/modality', '/min_score', '/lasts', '/n_of_m', '/cooldown', '/enabled'];

interface Draft {
  id: string;
  kind: 'label' | 'query';
  words: string;
  streams: string[];
  modality: string;
  min_score: string;
  lasts: string;
  n: string;
  m: string;
  cooldown: string;
  enabled: boolean;
}

const EMPTY: Draft = {
  id: '', kind: 'label', words: '', streams: [], modality: '', min_score: '', lasts: '0', n: '1', m: '1', cooldown: '60', enabled: true,
};

function draftOf(rule: NamedRule): Draft {
  return {
    id: rule.id,
    kind: rule.query === null ? 'label' : 'query',
    words: rule.label ?? rule.query ?? '',
    streams: rule.streams,
    modality: rule.modality ?? '',
    min_score: rule.min_score === null ? '' : String(rule.min_score),
    lasts: String(rule.lasts),
    n: String(rule.n_of_m[0]),
    m: String(rule.n_of_m[1]),
    cooldown: String(rule.cooldown),
    enabled: rule.enabled,
  };
}

/** What is no number is sent as it is: the daemon says at which field. */
function ruleOf(draft: Draft): Record<keyof Rule, unknown> {
  return {
    streams: draft.streams,
    label: draft.kind === 'label' ? draft.words.trim() : null,
    query: draft.kind === 'query' ? draft.words.trim() : null,
    modality: (draft.modality || null) as Modality | null,
    min_score: draft.min_score.trim() === '' ? null : number(draft.min_score),
    lasts: number(draft.lasts),
    n_of_m: [number(draft.n), number(draft.m)],
    cooldown: number(draft.cooldown),
    enabled: draft.enabled,
  };
}

interface Props {
  /** Null for a new one. */
  rule: NamedRule | null;
  changed: () => Promise<void>;
  close: () => void;
}

export function RuleForm({ rule, changed, close }: Props) {
  const [draft, setDraft] = useState<Draft>(() => (rule ? draftOf(rule) : EMPTY));
  const [sure, setSure] = useState(false);
  const { busy, problem, run } = useCall();
  const form = useRef<HTMLFormElement>(null);
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });

  async function submit(event: Event) {
    event.preventDefault();
    const body = ruleOf(draft);
    const done = await run((signal) =>
      rule
        ? call<NamedRule>('PATCH', `/v1/rules/${id(rule.id)}`, body, signal)
        : call<NamedRule>('POST', '/v1/rules', { id: draft.id.trim(), ...body }, signal),
    );
    if (!done) return focusWrong(form.current);
    await changed();
    if (!rule) open({ kind: 'rule', id: done.answer.id });
  }

  async function remove() {
    if (!rule || !(await run((signal) => call('DELETE', `/v1/rules/${id(rule.id)}`, undefined, signal)))) return;
    await changed();
    close();
  }

  return (
    <>
      <form ref={form} onSubmit={submit} noValidate>
        {!rule && (
          <TextField label="Id" hint="Letters, digits, - _ ." placeholder="dog-barks" pointer="/id" problem={problem} value={draft.id} change={(name) => set({ id: name })} />
        )}
        <div class="pair">
          <SelectField
            label="Looks for"
            pointer="/query"
            problem={problem}
            value={draft.kind}
            change={(kind) => set({ kind: kind === 'query' ? 'query' : 'label' })}
            choices={[
              ['label', 'a label of what happens'],
              ['query', 'a query of the streams'],
            ]}
          />
          <TextField label={draft.kind === 'label' ? 'Label' : 'Query, word by word'} placeholder="a dog" pointer="/label" problem={problem} value={draft.words} change={(words) => set({ words })} />
        </div>
        <ListField label="Only on these streams" one="stream" hint="None: on all." pointer="/streams" problem={problem} values={draft.streams} change={(streams) => set({ streams })} />
        <div class="pair">
          <SelectField
            label="Seen or heard"
            pointer="/modality"
            problem={problem}
            value={draft.modality}
            change={(modality) => set({ modality })}
            choices={[
              ['', 'either'],
              ['visual', 'seen'],
              ['audio', 'heard'],
              ['both', 'seen and heard'],
            ]}
          />
          <TextField label="Least score" type="number" step="0.01" min="0" max="1" placeholder="as the stream wants" pointer="/min_score" problem={problem} value={draft.min_score} change={(min_score) => set({ min_score })} />
        </div>
        <div class="pair">
          <TextField label="In so many windows" type="number" step="1" min="1" pointer="/n_of_m/0" problem={problem} value={draft.n} change={(n) => set({ n })} />
          <TextField label="of the last" type="number" step="1" min="1" pointer="/n_of_m" problem={problem} value={draft.m} change={(m) => set({ m })} />
        </div>
        <div class="pair">
          <TextField label="Lasts at least, s" type="number" step="any" min="0" pointer="/lasts" problem={problem} value={draft.lasts} change={(lasts) => set({ lasts })} />
          <TextField label="Then quiet for, s" type="number" step="any" min="0" pointer="/cooldown" problem={problem} value={draft.cooldown} change={(cooldown) => set({ cooldown })} />
        </div>
        <CheckField label="It looks" pointer="/enabled" problem={problem} value={draft.enabled} change={(enabled) => set({ enabled })} />
        <Summary problem={problem} pointers={POINTERS} />
        <div class="actions">
          <button type="submit" class="main" disabled={busy}>
            {rule ? 'Save' : 'Add the rule'}
          </button>
          {rule && !sure && (
            <button type="button" disabled={busy} onClick={() => setSure(true)}>
              Remove
            </button>
          )}
          {rule && sure && (
            <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
              Remove {rule.id}
            </button>
          )}
        </div>
      </form>
      <Trial name={draft.id.trim() || 'new'} rule={ruleOf(draft)} />
    </>
  );
}

/** What the rule, as it stands in the form, would have told. */
function Trial({ name, rule }: { name: string; rule: Record<keyof Rule, unknown> }) {
  const [from, setFrom] = useState(() => fieldTime(Date.now() - 3600_000));
  const [tried, setTried] = useState<Tried | null>(null);
  const { busy, problem, run } = useCall();

  async function test(submit: Event) {
    submit.preventDefault();
    setTried(null);
    const start = new Date(from);
    const body = { from: Number.isNaN(start.getTime()) ? null : start.toISOString(), rule };
    const done = await run((signal) => call<Tried>('POST', `/v1/rules/${id(name)}/test`, body, signal));
    if (done) setTried(done.answer);
  }

  return (
    <section aria-labelledby="trial">
      <h3 id="trial">Try it on what was recorded</h3>
      <form onSubmit={test} noValidate class="with-button">
        <TextField label="From" type="datetime-local" step="1" pointer="?from" problem={problem} value={from} change={setFrom} />
        <button type="submit" disabled={busy}>
          {busy ? 'Trying …' : 'Try it'}
        </button>
      </form>
      <div aria-live="polite">
        {problem && <p class="problem">{problem.message}</p>}
        {tried && (
          <>
            <p>
              It would have fired {tried.alerts.length === 1 ? 'once' : `${tried.alerts.length} times`} in {tried.windows} windows. Nobody was
              told.
            </p>
            <AlertTable alerts={tried.alerts.slice(-50)} caption="When it would have fired" />
          </>
        )}
      </div>
    </section>
  );
}

export function AlertTable({ alerts, caption }: { alerts: Alert[]; caption: string }) {
  if (alerts.length === 0) return null;
  return (
    <Table caption={caption} columns={['When', 'Stream', 'What', 'Score']}>
      {alerts.map((alert) => (
        <tr key={alert.alert_id}>
          <td>
            <a href={toPanel({ kind: 'why', stream: alert.stream_id, time: Date.parse(alert.start.utc) })}>
              {shortTime(Date.parse(alert.start.utc))}
            </a>
          </td>
          <td>{alert.stream_id}</td>
          <td>
            {alert.label}
            {alert.modality && <span class="quiet-text"> {MODALITY_WORDS[alert.modality]}</span>}
          </td>
          <td>{scoreWords(alert.score)}</td>
        </tr>
      ))}
    </Table>
  );
}
