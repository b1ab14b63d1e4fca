/** What is beside, or on a phone over, the time lines. */

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  /** Another one begins at its heading again. */
  name: string;
  title: ComponentChildren;
  close: () => void;
  children: ComponentChildren;
}

export function Panel({ name, title, close, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const opener = useRef<HTMLElement | null>(null);
  useEffect(() => {
    opener.current = document.activeElement instanceof HTMLElement ? document.activeElement : null;
    return () => {
      if (opener.current?.isConnected) opener.current.focus();
    };
  }, []);
  useEffect(() => heading.current?.focus({ preventScroll: true }), [name]);
  return (
    <aside
      class="panel"
      aria-labelledby="panel-title"
      onKeyDown={(event) => {
        if (event.key === 'Escape') close();
      }}
    >
      <header class="panel-head">
        <h2 id="panel-title" tabIndex={-1} ref={heading}>
          {title}
        </h2>
        <button type="button" class="quiet" onClick={close}>
          Close
        </button>
      </header>
      <div class="panel-body">{children}</div>
    </aside>
  );
}
