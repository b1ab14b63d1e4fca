/** A table with a header; its rows are its children. */

import type { ComponentChildren } from 'preact';

interface Props {
  columns: string[];
  /** What it shows, for those who do not see what stands around it. */
  caption?: string;
  class?: string;
  children: ComponentChildren;
}

export function Table({ columns, caption, class: kind, children }: Props) {
  return (
    <table class={kind}>
      {caption && <caption class="visually-hidden">{caption}</caption>}
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={column} scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
