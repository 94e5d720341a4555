// SPDX-License-Identifier: Apache-2.0
/*
 * resource.ts - something of the API that a component shows: fetched, fetched again from time to time and
 * when the server says that it changed.  Nothing is asked while nobody looks (a hidden tab).
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { call, generation, Problem } from './api';
import { changes } from './live';
import { useStore } from './store';

export interface Resource<T> {
    value: T | undefined;
    tag: string | null;
    problem: Problem | undefined;
    reload: () => void;
}

interface Held<T> {
    path: string | null;
    value?: T;
    tag: string | null;
    problem?: Problem;
}

/**
 * path: null asks for nothing.  every_ms: 0 is once.  on: kinds of change after which it is asked again.
 * A value stays while a later request fails, with the problem beside it.
 */
export function useResource<T>(path: string | null, every_ms = 0, on: string[] = [], accept?: string): Resource<T> {
    const [held, setHeld] = useState<Held<T>>({ path, tag: null });
    const [turn, setTurn] = useState(0);
    const signedIn = useStore(generation);
    const kinds = useRef(on);
    const reload = useCallback(() => setTurn(n => n + 1), []);

    useEffect(() => changes.watch(() => {
        if ([...kinds.current, 'reconnected'].includes(changes.value.what))
            reload();
    }), [reload]);

    useEffect(() => {
        if (path === null)
            return undefined;
        const abort = new AbortController();
        let timer = 0;

        const again = () => {
            if (every_ms > 0 && !abort.signal.aborted)
                timer = window.setTimeout(ask, every_ms);
        };
        const ask = async () => {
            if (document.hidden) {
                again();
                return;
            }
            try {
                const { value, tag } = await call<T>('GET', path, { signal: abort.signal, accept });
                if (!abort.signal.aborted)
                    setHeld({ path, value, tag });
            } catch (error) {
                if (abort.signal.aborted)
                    return;
                const problem = error instanceof Problem ? error : new Problem(0, 'Fault', String(error));
                setHeld(before => ({ ...(before.path === path ? before : { path, tag: null }), problem }));
            }
            again();
        };

        void ask();
        return () => {
            abort.abort();
            window.clearTimeout(timer);
        };
    }, [path, every_ms, accept, turn, signedIn]);

    // What was fetched for another path is not this resource.
    const mine = held.path === path;
    return { value: mine ? held.value : undefined, tag: mine ? held.tag : null,
        problem: mine ? held.problem : undefined, reload };
}
