/** The whole page. */

import { useCallback, useEffect, useState } from 'preact/hooks';
import { get, Problem, whenAsked } from './api/http';
import type { NamedRule } from './api/types';
import { Model } from './data/model';
import { useSignals } from './data/signal';
import { EventPanel } from './panels/EventPanel';
import { RuleForm } from './panels/RuleForm';
import { AddStream, EditStream } from './panels/StreamForm';
import { StreamPanel } from './panels/StreamPanel';
import { WhyPanel } from './panels/WhyPanel';
import { go, href, type Panel as Shown, type Route, useRoute } from './route';
import { View } from './time/view';
import { Panel } from './ui/Panel';
import { Token } from './ui/Token';
import { FleetView } from './views/FleetView';
import { RulesView } from './views/RulesView';
import { StreamsView } from './views/StreamsView';

const FIRST_SPAN = 15 * 60_000;
const NAMES: Record<Route['page'], string> = { streams: 'Streams', rules: 'Rules', fleet: 'Fleet' };

export function App() {
  const [asked, setAsked] = useState<{ refused: boolean } | null>(null);
  const [model, setModel] = useState<Model | null>(null);
  useEffect(() => {
    whenAsked((refused) => setAsked({ refused }));
  }, []);
  useEffect(() => {
    if (asked) return;
    const fresh = new Model();
    setModel(fresh);
    fresh.start();
    return () => fresh.stop();
  }, [asked]);
  return (
    <>
      {asked && <Token refused={asked.refused} done={() => setAsked(null)} />}
      {model && <Page model={model} />}
    </>
  );
}

function Page({ model }: { model: Model }) {
  const route = useRoute();
  const [view] = useState(() => new View(FIRST_SPAN));
  const { rules, failure, changed } = useRules(route.page === 'rules');
  useEffect(() => follow(view), [view]);
  const close = useCallback(() => go({ page: route.page, panel: null }), [route.page]);
  const { panel } = route;
  return (
    <div class={panel ? 'page with-panel' : 'page'}>
      <Header model={model} route={route} />
      <main id="main">
        <h1 class="visually-hidden">{NAMES[route.page]}</h1>
        <div class="content">
          {route.page === 'streams' && <StreamsView model={model} view={view} selected={panel?.kind === 'event' ? panel.id : null} />}
          {route.page === 'rules' && <RulesView model={model} rules={rules} failure={failure} />}
          {route.page === 'fleet' && <FleetView />}
        </div>
      </main>
      {panel && (
        <Panel name={href(route)} title={<Title model={model} panel={panel} />} close={close}>
          <Body model={model} view={view} panel={panel} rules={rules} changed={changed} close={close} />
        </Panel>
      )}
    </div>
  );
}

function Header({ model, route }: { model: Model; route: Route }) {
  useSignals(model.linkChanged, model.streamsChanged, model.toldChanged);
  const told = model.alerts.length;
  const link = (page: Route['page'], words: string) => (
    <a href={href({ page, panel: null })} aria-current={route.page === page ? 'page' : undefined}>
      {words}
    </a>
  );
  return (
    <header class="top">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the streams
      </a>
      <span class="name">AVicuna Stream</span>
      <nav aria-label="Pages">
        {link('streams', 'Streams')}
        {link('rules', told > 0 ? `Rules, ${told} told` : 'Rules')}
        {model.fleet !== null && link('fleet', 'Fleet')}
        <a href="/docs">Interface</a>
      </nav>
      <span class="grow" />
      {model.modelName && <span class="quiet-text model-name">{model.modelName}</span>}
      <span class="visually-hidden" aria-live="polite">
        {model.alerts[0] && `Rule ${model.alerts[0].rule_id} on ${model.alerts[0].stream_id}: ${model.alerts[0].label}`}
      </span>
      <span class={model.live ? 'link live' : 'link'} role="status">
        <i class="dot" />
        {model.live ? 'live' : 'connecting'}
      </span>
    </header>
  );
}

function skip(event: Event): void {
  // The part behind # names what is shown.
  event.preventDefault();
  document.querySelector<HTMLElement>('main button, main a')?.focus();
}

function Title({ model, panel }: { model: Model; panel: Shown }) {
  useSignals(model.streamsChanged);
  switch (panel.kind) {
    case 'stream':
      return <>{panel.id}</>;
    case 'event':
      return <>{model.streams.map((stream) => stream.events.find(panel.id)?.label).find(Boolean) ?? 'Event'}</>;
    case 'why':
      return <>Why, or why not</>;
    case 'add':
      return <>Add a stream</>;
    case 'edit':
      return <>Edit {panel.id}</>;
    case 'rule':
      return <>Rule {panel.id}</>;
    case 'add-rule':
      return <>Add a rule</>;
  }
}

interface BodyProps {
  model: Model;
  view: View;
  panel: Shown;
  rules: NamedRule[] | null;
  changed: () => Promise<void>;
  close: () => void;
}

function Body({ model, view, panel, rules, changed, close }: BodyProps) {
  switch (panel.kind) {
    case 'stream':
      return <StreamPanel model={model} view={view} stream={panel.id} close={close} />;
    case 'event':
      return <EventPanel model={model} view={view} event={panel.id} />;
    case 'why':
      return <WhyPanel stream={panel.stream} time={panel.time} />;
    case 'add':
      return <AddStream model={model} />;
    case 'edit':
      return <Edit model={model} stream={panel.id} />;
    case 'add-rule':
      return <RuleForm key="add" rule={null} changed={changed} close={close} />;
    case 'rule': {
      const rule = rules?.find((one) => one.id === panel.id);
      if (!rule) return <p class="quiet-text">{rules ? `There is no rule ${panel.id}.` : 'Reading …'}</p>;
      return <RuleForm key={rule.id} rule={rule} changed={changed} close={close} />;
    }
  }
}

function Edit({ model, stream: id }: { model: Model; stream: string }) {
  useSignals(model.streamsChanged);
  const stream = model.find(id);
  if (!stream) return <p class="quiet-text">{model.ready ? `There is no stream ${id}.` : 'Reading …'}</p>;
  return <EditStream key={id} model={model} stream={stream.view} />;
}

function useRules(wanted: boolean) {
  const [rules, setRules] = useState<NamedRule[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const changed = useCallback(async () => {
    try {
      setRules((await get<{ rules: NamedRule[] }>('/v1/rules')).rules);
      setFailure(null);
    } catch (error) {
      setFailure(Problem.of(error).message);
    }
  }, []);
  useEffect(() => {
    if (wanted) void changed();
  }, [wanted]);
  return { rules, failure, changed };
}

/** Moves with the present, a pixel at a time; once a second for those who want less motion. */
function follow(view: View): () => void {
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  let timer = 0;
  const again = () => {
    const pause = Math.min(1000, Math.max(calm.matches ? 1000 : 50, view.span / 1500));
    timer = window.setTimeout(again, pause);
    if (document.visibilityState === 'visible') view.tick();
  };
  again();
  return () => clearTimeout(timer);
}
