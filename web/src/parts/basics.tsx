// SPDX-License-Identifier: Apache-2.0
/*
 * basics.tsx - the small things that every page is made of.
 */
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { may, Problem, type Right, session } from '../api';
import { Store, useStore } from '../store';
import type { Resource } from '../resource';

export function Card(props: { title?: ComponentChildren; aside?: ComponentChildren; children?: ComponentChildren;
    class?: string; id?: string }) {
    const id = useId();

    return (
        <section class={`card ${props.class ?? ''}`} aria-labelledby={props.title ? id : undefined} id={props.id}>
            {(props.title || props.aside) && (
                <header class="card-head">
                    {props.title && <h2 id={id}>{props.title}</h2>}
                    {props.aside && <div class="card-aside">{props.aside}</div>}
                </header>
            )}
            {props.children}
        </section>
    );
}

export type Tone = 'good' | 'warn' | 'bad' | 'quiet' | 'info';

export function Badge(props: { tone?: Tone; title?: string; children: ComponentChildren }) {
    return <span class={`badge ${props.tone ?? 'quiet'}`} title={props.title}>{props.children}</span>;
}

/** Numbers of one subject, each with its name. */
export function Facts(props: { of: [string, ComponentChildren][] }) {
    return (
        <dl class="facts">
            {props.of.map(([name, value]) => (
                <div key={name}>
                    <dt>{name}</dt>
                    <dd>{value}</dd>
                </div>
            ))}
        </dl>
    );
}

/** part: 0..1. */
export function Meter(props: { part: number; label: string; tone?: Tone }) {
    const part = Math.max(0, Math.min(1, Number.isFinite(props.part) ? props.part : 0));

    return (
        <span class={`meter ${props.tone ?? ''}`} role="img" aria-label={props.label}>
            <span class="meter-fill" style={{ width: `${part * 100}%` }} />
        </span>
    );
}

export function Fault(props: { problem: Problem }) {
    const { problem } = props;

    return (
        <div class="notice bad" role="alert">
            <p>{problem.message}</p>
            {problem.faults.length > 0 && (
                <ul>
                    {problem.faults.slice(0, 50).map((f, i) => (
                        <li key={i}>
                            {f.detail}
                            {f.hint && <> <em>{f.hint}</em></>}
                            {(f.file || f.pointer) && <span class="where">{' '}
                                {f.file ? `${f.file}:${f.line ?? ''}${f.column ? ':' + f.column : ''}` : f.pointer}</span>}
                        </li>
                    ))}
                </ul>
            )}
        </div>
    );
}

/** What to show while a resource is not there, or could not be refreshed. */
export function Waiting(props: { for: Resource<unknown>; what: string }) {
    const { problem, value } = props.for;

    if (problem && problem.status !== 401)
        return <Fault problem={problem} />;
    return value === undefined ? <p class="quiet">Asking for {props.what} …</p> : null;
}

/** For something that the server offers only in some builds or configurations. */
export function absent(resource: Resource<unknown>): boolean {
    return resource.value === undefined && resource.problem?.status === 404;
}

// ------------------------------------------------------------------ saying what happened

export interface Toast {
    id: number;
    text: string;
    bad: boolean;
}

export const toasts = new Store<Toast[]>([]);
let serial = 0;
const TOASTS_MAX = 4;

export function say(text: string, bad = false): void {
    const toast = { id: ++serial, text, bad };

    toasts.set([...toasts.value, toast].slice(-TOASTS_MAX));
    window.setTimeout(() => dismiss(toast.id), bad ? 12_000 : 5_000);
}

export function dismiss(id: number): void {
    toasts.set(toasts.value.filter(t => t.id !== id));
}

export function Toasts() {
    const shown = useStore(toasts);

    return (
        <div class="toasts" role="status" aria-live="polite">
            {shown.map(t => (
                <div key={t.id} class={`toast ${t.bad ? 'bad' : ''}`}>
                    <span>{t.text}</span>
                    <button type="button" class="plain" aria-label="Dismiss this message" onClick={() => dismiss(t.id)}>
                        ✕
                    </button>
                </div>
            ))}
        </div>
    );
}

// ------------------------------------------------------------------ doing something

/** Runs it, says how it went; true when it went well. */
export async function attempt(done: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
        await work();
        say(done);
        return true;
    } catch (error) {
        const problem = error as Problem;
        const first = problem.faults?.[0]?.detail;
        say(first && !problem.message.includes(first) ? `${problem.message} ${first}` : problem.message, true);
        return false;
    }
}

/** A button that is out of use while its work runs, and when our right is too small. */
export function Action(props: { right?: Right; do: () => Promise<unknown> | void; children: ComponentChildren; class?: string;
    label?: string; pressed?: boolean; disabled?: boolean; confirm?: string }) {
    const who = useStore(session);
    const [busy, setBusy] = useState(false);
    const [asked, setAsked] = useState(false);
    const allowed = may(who, props.right ?? 'operate');

    const run = async () => {
        setAsked(false);
        setBusy(true);
        try {
            await props.do();
        } finally {
            setBusy(false);
        }
    };
    return (
        <>
            <button type="button" class={props.class ?? 'button'} aria-label={props.label} aria-pressed={props.pressed}
                disabled={props.disabled || !allowed} aria-busy={busy}
                title={allowed ? undefined : `This token may not do that: the right “${props.right ?? 'operate'}” is needed.`}
                onClick={() => (busy ? undefined : props.confirm ? setAsked(true) : void run())}>
                {props.children}
            </button>
            {asked && (
                <Dialog title="Are you sure?" onClose={() => setAsked(false)}>
                    <p>{props.confirm}</p>
                    <div class="row end">
                        <button type="button" class="button" onClick={() => setAsked(false)}>No, leave it</button>
                        <button type="button" class="button danger" onClick={() => void run()}>Yes, go on</button>
                    </div>
                </Dialog>
            )}
        </>
    );
}

/** Modal; Escape closes, focus goes back to where it was. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
    const box = useRef<HTMLDialogElement>(null);
    const id = useId();

    /* With the page: what is tidied up after a frame finds the dialog gone, and the focus with it. */
    useLayoutEffect(() => {
        const before = document.activeElement as HTMLElement | null;
        const element = box.current!;

        element.showModal();
        return () => {
            element.close();
            before?.focus?.();
        };
    }, []);
    return (
        <dialog ref={box} class={props.wide ? 'wide' : ''} aria-labelledby={id}
            onCancel={(e: Event) => { e.preventDefault(); props.onClose(); }}>
            <header class="card-head">
                <h2 id={id}>{props.title}</h2>
                <button type="button" class="plain" aria-label="Close" onClick={props.onClose}>✕</button>
            </header>
            {props.children}
        </dialog>
    );
}

/** A field with its label, and a hint or a complaint below. */
export function Field(props: { label: string; hint?: ComponentChildren; fault?: string; children: (id: string,
    described: string | undefined) => ComponentChildren; class?: string }) {
    const id = useId();
    const described = props.fault || props.hint ? `${id}-more` : undefined;

    return (
        <div class={`field ${props.fault ? 'faulty' : ''} ${props.class ?? ''}`}>
            <label for={id}>{props.label}</label>
            {props.children(id, described)}
            {described && (
                <p class="hint" id={described}>
                    {props.fault && <strong class="fault">{props.fault} </strong>}
                    {props.hint}
                </p>
            )}
        </div>
    );
}

export function valueOf(event: Event): string {
    return (event.currentTarget as HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement).value;
}
