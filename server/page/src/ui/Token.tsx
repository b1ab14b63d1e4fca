/** Asks for a token when the daemon wants one. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { setToken } from '../api/http';

export function Token({ refused, done }: { refused: boolean; done: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [token, change] = useState('');
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="token" aria-labelledby="token-title" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setToken(token.trim());
          done();
        }}
      >
        <h2 id="token-title">This daemon asks who you are</h2>
        <div class="field">
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            value={token}
            aria-invalid={refused ? 'true' : undefined}
            aria-describedby="token-hint"
            onInput={(event) => change(event.currentTarget.value)}
          />
          <p class={refused ? 'error-text' : 'hint-text'} id="token-hint">
            {refused
              ? 'This token is not known here.'
              : 'One that avicuna token made. It is kept until this tab is closed.'}
          </p>
        </div>
        <button type="submit" class="main" disabled={token.trim() === ''}>
          Go on
        </button>
      </form>
    </dialog>
  );
}
