// SPDX-License-Identifier: Apache-2.0
/*
 * signin.tsx - asks for a token.  It is kept for this tab only, and sent nowhere but to this server.
 */
import { useState } from 'preact/hooks';
import { type Problem, session, signIn } from '../api';
import { Field, valueOf } from '../parts/basics';
import { useStore } from '../store';

export function SignIn() {
    const { why } = useStore(session);
    const [given, setGiven] = useState('');
    const [fault, setFault] = useState('');
    const [busy, setBusy] = useState(false);

    const submit = async (event: Event) => {
        event.preventDefault();
        setBusy(true);
        setFault('');
        try {
            await signIn(given.trim());
        } catch (error) {
            const problem = error as Problem;
            setFault(problem.status === 401 ? 'This token is not known to the server.' : problem.message);
        }
        setBusy(false);
    };
    return (
        <main class="signin" aria-labelledby="title">
            <form class="card" onSubmit={submit}>
                <p class="wordmark">maitred</p>
                <h1 id="title">Whom may I announce?</h1>
                <Field label="Token" fault={fault || why}
                    hint={<>One of <code>admin: tokens</code> in the configuration. It stays in this tab until you close it.</>}>
                    {(id, described) => (
                        <input id={id} type="password" autocomplete="current-password" required value={given}
                            aria-describedby={described} aria-invalid={!!fault} onInput={e => setGiven(valueOf(e))} />
                    )}
                </Field>
                <button class="button primary" disabled={busy || !given.trim()}>{busy ? 'Asking …' : 'Sign in'}</button>
            </form>
        </main>
    );
}
