/** What is shown, as it stands behind `#`: it can be kept, sent, and gone back from. */

import { useEffect, useState } from 'preact/hooks';

export type Panel =
  | { kind: 'stream'; id: string }
  | { kind: 'event'; id: string }
  | { kind: 'why'; stream: string; time: number }
  | { kind: 'add' }
  | { kind: 'edit'; id: string }
  | { kind: 'rule'; id: string }
  | { kind: 'add-rule' };

export interface Route {
  page: 'streams' | 'rules' | 'fleet';
  panel: Panel | null;
}

export function parse(hash: string): Route {
  const [kind = '', first = '', second = ''] = hash.replace(/^#\/?/, '').split('/').map(decoded);
  const streams = (panel: Panel | null): Route => ({ page: 'streams', panel });
  if (kind === 'stream' && first) return streams({ kind, id: first });
  if (kind === 'event' && first) return streams({ kind, id: first });
  if (kind === 'edit' && first) return streams({ kind, id: first });
  if (kind === 'add') return streams({ kind });
  if (kind === 'why' && first && Number.isFinite(Date.parse(second))) {
    return streams({ kind, stream: first, time: Date.parse(second) });
  }
  if (kind === 'fleet') return { page: 'fleet', panel: null };
  if (kind !== 'rules') return streams(null);
  if (first === 'add' && second === '') return { page: 'rules', panel: { kind: 'add-rule' } };
  return { page: 'rules', panel: first === 'rule' && second ? { kind: 'rule', id: second } : null };
}

export function href({ page, panel }: Route): string {
  const part = encodeURIComponent;
  if (!panel) return page === 'streams' ? '#/' : `#/${page}`;
  switch (panel.kind) {
    case 'add':
      return '#/add';
    case 'add-rule':
      return '#/rules/add';
    case 'rule':
      return `#/rules/rule/${part(panel.id)}`;
    case 'why':
      return `#/why/${part(panel.stream)}/${part(new Date(panel.time).toISOString())}`;
    default:
      return `#/${panel.kind}/${part(panel.id)}`;
  }
}

export const toPanel = (panel: Panel): string =>
  href({ page: panel.kind === 'rule' || panel.kind === 'add-rule' ? 'rules' : 'streams', panel });

export function go(route: Route): void {
  window.location.hash = href(route);
}

export const open = (panel: Panel): void => {
  window.location.hash = toPanel(panel);
};

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parse(window.location.hash));
  useEffect(() => {
    const changed = () => setRoute(parse(window.location.hash));
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, []);
  return route;
}

/** A part that is no escape stays as it is. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
