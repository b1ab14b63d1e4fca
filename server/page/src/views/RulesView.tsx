/** Every rule, and what they told since the page was opened. */

import type { NamedRule } from '../api/types';
import type { Model } from '../data/model';
import { useSignals } from '../data/signal';
import { AlertTable } from '../panels/RuleForm';
import { toPanel } from '../route';
import { MODALITY_WORDS } from '../timeline/colours';
import { Table } from '../ui/Table';

interface Props {
  model: Model;
  rules: NamedRule[] | null;
  failure: string | null;
}

export function RulesView({ model, rules, failure }: Props) {
  useSignals(model.toldChanged);
  return (
    <div class="reading">
      <div class="head">
        <h2>All rules</h2>
        <a class="button main" href={toPanel({ kind: 'add-rule' })}>
          Add a rule
        </a>
      </div>
      <p class="quiet-text">A rule looks at every window's answer, also at what is too unsure for an event, and tells when it has seen enough.</p>
      {failure && (
        <p class="problem" role="alert">
          {failure}
        </p>
      )}
      {rules?.length === 0 && <p class="empty">There is no rule yet.</p>}
      {rules && rules.length > 0 && <RuleTable rules={rules} />}
      <section aria-labelledby="alerts">
        <h2 id="alerts">Told since this page was opened</h2>
        {model.alerts.length === 0 ? <p class="quiet-text">Nothing yet.</p> : <AlertTable alerts={model.alerts} caption="Alerts" />}
      </section>
    </div>
  );
}

function RuleTable({ rules }: { rules: NamedRule[] }) {
  return (
    <Table columns={['Rule', 'Looks for', 'On', 'When', 'Looks']}>
      {rules.map((rule) => (
        <tr key={rule.id}>
          <th scope="row">
            <a href={toPanel({ kind: 'rule', id: rule.id })}>{rule.id}</a>
          </th>
          <td>{rule.label ?? `“${rule.query ?? ''}”`}</td>
          <td>{rule.streams.length > 0 ? rule.streams.join(', ') : 'every stream'}</td>
          <td>{conditions(rule)}</td>
          <td>{rule.enabled ? 'yes' : 'no'}</td>
        </tr>
      ))}
    </Table>
  );
}

function conditions(rule: NamedRule): string {
  const [n, m] = rule.n_of_m;
  const parts = [
    n === 1 && m === 1 ? 'in any window' : `in ${n} of ${m} windows`,
    rule.modality ? MODALITY_WORDS[rule.modality] : '',
    rule.min_score === null ? '' : `score ${rule.min_score} or more`,
    rule.lasts > 0 ? `lasts ${rule.lasts} s` : '',
    rule.cooldown > 0 ? `then quiet ${rule.cooldown} s` : '',
  ];
  return parts.filter(Boolean).join(', ');
}
