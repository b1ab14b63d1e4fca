/** Fields of a form; what the daemon says of one stands beneath it. */

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import type { Problem } from '../api/http';

/** What is wrong with a field, or with what lies in it. */
export function wrong(problem: Problem | null, pointer: string): string | undefined {
  const own = problem?.errors.filter((error) => error.pointer === pointer).map((error) => error.message);
  return own && own.length > 0 ? own.join('; ') : undefined;
}

interface Common {
  label: string;
  hint?: string;
  problem: Problem | null;
  /** JSON pointer in the body of the call. */
  pointer: string;
}

interface TextProps extends Common {
  value: string;
  change: (value: string) => void;
  type?: 'text' | 'number' | 'datetime-local' | 'password';
  step?: string;
  min?: string;
  max?: string;
  placeholder?: string;
}

export function TextField({ label, hint, problem, pointer, value, change, type = 'text', ...rest }: TextProps) {
  const id = useId();
  const error = wrong(problem, pointer);
  const told = [hint ? `${id}-hint` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        {...rest}
        id={id}
        // Preact's types want one literal.
        type={type as 'text'}
        value={value}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={error ? 'true' : undefined}
        aria-describedby={told || undefined}
        data-pointer={pointer}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {hint && (
        <p class="hint-text" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error-text" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

interface SelectProps extends Common {
  value: string;
  change: (value: string) => void;
  choices: [value: string, words: string][];
}

export function SelectField({ label, problem, pointer, value, change, choices }: SelectProps) {
  const id = useId();
  const error = wrong(problem, pointer);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={error ? 'true' : undefined}
        aria-describedby={error ? `${id}-error` : undefined}
        data-pointer={pointer}
        onChange={(event) => change(event.currentTarget.value)}
      >
        {choices.map(([choice, words]) => (
          <option key={choice} value={choice}>
            {words}
          </option>
        ))}
      </select>
      {error && (
        <p class="error-text" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

interface CheckProps extends Common {
  value: boolean;
  change: (value: boolean) => void;
}

export function CheckField({ label, problem, pointer, value, change }: CheckProps) {
  const id = useId();
  const error = wrong(problem, pointer);
  return (
    <div class="field check">
      <input
        id={id}
        type="checkbox"
        checked={value}
        aria-invalid={error ? 'true' : undefined}
        aria-describedby={error ? `${id}-error` : undefined}
        data-pointer={pointer}
        onChange={(event) => change(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {error && (
        <p class="error-text" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

interface ListProps extends Common {
  values: string[];
  change: (values: string[]) => void;
  /** What one of them is called. */
  one: string;
}

/** Several lines, each with its own problem. */
export function ListField({ label, hint, problem, pointer, values, change, one }: ListProps) {
  const id = useId();
  const error = wrong(problem, pointer);
  const replaced = (index: number, value: string) => change(values.map((old, at) => (at === index ? value : old)));
  return (
    <fieldset class="field list" data-pointer={pointer} aria-describedby={error ? `${id}-error` : undefined}>
      <legend>{label}</legend>
      {values.map((value, index) => {
        const told = wrong(problem, `${pointer}/${index}`);
        return (
          <div class="line" key={index}>
            <input
              type="text"
              value={value}
              spellcheck={false}
              aria-label={`${one} ${index + 1}`}
              aria-invalid={told ? 'true' : undefined}
              aria-describedby={told ? `${id}-${index}` : undefined}
              data-pointer={`${pointer}/${index}`}
              onInput={(event) => replaced(index, event.currentTarget.value)}
            />
            <button
              type="button"
              class="quiet"
              aria-label={`Remove ${one} ${index + 1}`}
              onClick={() => change(values.filter((_, at) => at !== index))}
            >
              Remove
            </button>
            {told && (
              <p class="error-text" id={`${id}-${index}`}>
                {told}
              </p>
            )}
          </div>
        );
      })}
      <button type="button" class="quiet" onClick={() => change([...values, ''])}>
        Add {one}
      </button>
      {hint && <p class="hint-text">{hint}</p>}
      {error && (
        <p class="error-text" id={`${id}-error`}>
          {error}
        </p>
      )}
    </fieldset>
  );
}

/** What is wrong beyond the fields of this form. */
export function Summary({ problem, pointers }: { problem: Problem | null; pointers: string[] }) {
  if (!problem) return null;
  const shown = (pointer: string) => pointers.some((known) => pointer === known || pointer.startsWith(`${known}/`));
  const rest = problem.errors.filter((error) => !shown(error.pointer));
  const words = problem.errors.length === 0 ? [problem.message] : rest.map((error) => `${error.pointer} ${error.message}`);
  return (
    <div class="problem" role="alert">
      {words.length > 0 ? words.map((line) => <p key={line}>{line}</p>) : <p>Not saved. See the marked fields.</p>}
    </div>
  );
}

/** Brings the first field that is wrong into focus. */
export function focusWrong(form: HTMLElement | null): void {
  requestAnimationFrame(() => {
    const first = form?.querySelector<HTMLElement>('[aria-invalid="true"]');
    first?.closest('details')?.setAttribute('open', '');
    first?.focus();
  });
}

export function Actions({ children }: { children: ComponentChildren }) {
  return <div class="actions">{children}</div>;
}
