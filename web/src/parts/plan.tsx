// SPDX-License-Identifier: Apache-2.0
/*
 * plan.tsx - what a change would do, shown before it is done, and the dialog in which it then is.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call, Problem } from '../api';
import { count, plural, words } from '../format';
import { noteChange } from '../live';
import { pathAt, pointer } from '../pointer';
import type { PatchStep, Plan, Written } from '../types';
import { Badge, Dialog, Fault, Field, say, type Tone, valueOf } from './basics';

const SIGNS: Record<string, [string, Tone]> = { added: ['+', 'good'], removed: ['−', 'bad'], changed: ['~', 'warn'],
    moved: ['↕', 'info'], unreachable: ['!', 'bad'] };
const MOST = 200;

/** What becomes of a request: {"route": "shop", "middleware": ["cache"], "to": "app"}. */
function outcome(o: Record<string, unknown>): string {
    if (o.route === null)
        return `no route${o.why ? `: ${String(o.why)}` : ''}`;
    const through = Array.isArray(o.middleware) && o.middleware.length ? ` through ${o.middleware.join(', ')}` : '';
    return `${String(o.route)}${through}${o.to ? ` to ${String(o.to)}` : ''}${o.says ? `: ${String(o.says)}` : ''}`;
}

export function brief(value: unknown): string {
    const told = typeof value === 'object' && value !== null && 'route' in value ? outcome(value as Record<string, unknown>) : value;
    const text = typeof told === 'string' ? told : JSON.stringify(told) ?? '';

    return text.length > 240 ? text.slice(0, 239) + '…' : text;
}

function Beside(props: { before?: unknown; after?: unknown }) {
    const { before, after } = props;

    if (before === undefined && after === undefined)
        return null;
    return (
        <span class="beside">
            {before !== undefined && before !== null && <del>{brief(before)}</del>}
            {before != null && after != null && <span aria-label="becomes"> → </span>}
            {after !== undefined && after !== null && <ins>{brief(after)}</ins>}
        </span>
    );
}

/** A warning may be a sentence, or a fault with its place. */
function warningText(w: unknown): string {
    return typeof w === 'string' ? w : String((w as { detail?: string; message?: string }).detail ?? (w as { message?: string }).message ?? brief(w));
}

export function PlanView(props: { plan: Plan }) {
    const { changes = [], different = [], warnings = [], replayed = 0 } = props.plan;
    const shown = Math.min(changes.length, MOST);
    const all = Object.values(props.plan.counts ?? {}).reduce((n, c) => n + c, 0) || changes.length;

    return (
        <div class="plan">
            {!changes.length && <p>Nothing changes in meaning.</p>}
            <ul class="plain-list">
                {changes.slice(0, MOST).map((c, i) => {
                    const [sign, tone] = SIGNS[c.kind] ?? ['·', 'quiet'];
                    return (
                        <li key={i}>
                            <Badge tone={tone}><span aria-hidden="true">{sign} </span>{words(c.kind)}</Badge>{' '}
                            {words(c.what)} <b>{c.name}</b>{c.about && !c.name && <> {c.about}</>}{c.path && <span class="where"> {c.path}</span>} <Beside before={c.before} after={c.after} />
                            {c.where && <span class="where"> {c.where}</span>}
                        </li>
                    );
                })}
            </ul>
            {all > shown && <p class="quiet">And {plural(all - shown, 'more change')}.</p>}
            {warnings.map((w, i) => <p class="notice warn" key={i}>{warningText(w)}</p>)}
            {replayed > 0 && !different.length &&
                <p class="quiet">{plural(replayed, 'recent request')} would be answered as before.</p>}
            {different.length > 0 && (
                <>
                    <h3>Requests that would go another way</h3>
                    <p class="quiet">{count(props.plan.differing ?? different.length)} of {plural(replayed, 'recent request')} that were put to both.</p>
                    <ul class="plain-list">
                        {different.slice(0, 50).map((d, i) => (
                            <li key={i}>
                                <span class="mono">{d.method} {d.url}</span> {d.count > 1 && <>({d.count} times) </>}
                                <Beside before={d.before} after={d.after} />
                            </li>
                        ))}
                    </ul>
                </>
            )}
        </div>
    );
}

export function PatchView(props: { patch: PatchStep[] }) {
    const signs: Record<string, [string, Tone]> = { add: ['+', 'good'], remove: ['−', 'bad'], replace: ['~', 'warn'] };

    if (!props.patch.length)
        return <p>The two say the same.</p>;
    return (
        <ul class="plain-list">
            {props.patch.slice(0, MOST).map((s, i) => (
                <li key={i}>
                    <Badge tone={signs[s.op]?.[1] ?? 'info'}><span aria-hidden="true">{signs[s.op]?.[0] ?? '·'} </span>{s.op}</Badge>{' '}
                    <span class="mono">{s.path || '/'}</span> {s.value !== undefined && <ins>{brief(s.value)}</ins>}
                </li>
            ))}
        </ul>
    );
}

/** How a change is sent, and what is asked before. */
export interface ChangeOrder {
    title: string;
    method: string;
    path: string;
    body?: unknown;
    type?: string;
    match?: string | null;
    done: string;
    /** In place of the plan of the body. */
    preview?: ComponentChildren;
}

/** Complaints about a JSON Patch point into its text; people want to know the place in the configuration. */
function placed(problem: Problem, order: ChangeOrder): Problem {
    if (order.type !== 'application/json-patch+json')
        return problem;
    const steps = order.body as PatchStep[], text = JSON.stringify(steps);
    const faults = problem.faults.map(f => {
        const [step, , ...rest] = f.line === 1 && f.column ? pathAt(text, f.column - 1) : [];
        return typeof step === 'number' ? { ...f, file: undefined, pointer: steps[step].path + pointer(rest) } : f;
    });
    return new Problem(problem.status, problem.title, problem.message, faults);
}

interface Wishes {
    comment: string;
    trial: boolean;
    confirm: string;
    guard: string;
}

function query(w: Wishes): string {
    const q = new URLSearchParams();

    if (w.comment.trim())
        q.set('comment', w.comment.trim());
    if (w.trial) {
        q.set('confirm', w.confirm.trim());
        if (w.guard.trim())
            q.set('guard', w.guard.trim());
    }
    const text = q.toString();
    return text && '?' + text;
}

function WishForm(props: { wishes: Wishes; set: (w: Wishes) => void }) {
    const { wishes: w, set } = props;

    return (
        <div class="wishes">
            <Field label="Why (for the list of revisions)">
                {id => <input id={id} maxLength={300} value={w.comment} onInput={e => set({ ...w, comment: valueOf(e) })} />}
            </Field>
            <label class="check">
                <input type="checkbox" checked={w.trial} onChange={e => set({ ...w, trial: (e.currentTarget as HTMLInputElement).checked })} />
                Go back by itself unless I confirm
            </label>
            {w.trial && (
                <div class="form-row">
                    <Field label="Within">{id => <input id={id} required value={w.confirm} pattern="[0-9]+(s|m|h)" onInput={e => set({ ...w, confirm: valueOf(e) })} />}</Field>
                    <Field label="And if this does not hold (optional)" class="grow" hint="For example: errors < 1%, p99 < +20%">
                        {(id, d) => <input id={id} aria-describedby={d} value={w.guard} onInput={e => set({ ...w, guard: valueOf(e) })} />}
                    </Field>
                </div>
            )}
        </div>
    );
}

export function ChangeDialog(props: { order: ChangeOrder; onClose: () => void; onDone: (w: Written) => void;
    onProblem?: (p: Problem) => void }) {
    const { order } = props;
    const [plan, setPlan] = useState<Plan | null>(null);
    const [problem, setProblem] = useState<Problem | null>(null);
    const [wishes, setWishes] = useState<Wishes>({ comment: '', trial: true, confirm: '60s', guard: 'errors < 1%' });
    const [busy, setBusy] = useState(false);

    const fail = (error: unknown) => {
        const told = placed(error as Problem, order);
        setProblem(told);
        props.onProblem?.(told);
    };
    useEffect(() => {
        if (order.preview === undefined)
            call<Plan>('POST', '/v1/plan', { body: order.body, type: order.type }).then(a => setPlan(a.value), fail);
    }, []);
    const apply = async (event: Event) => {
        event.preventDefault();
        setBusy(true);
        setProblem(null);
        try {
            const { value } = await call<Written>(order.method, order.path + query(wishes),
                { body: order.body, type: order.type, match: order.match ?? undefined });
            say(order.done);
            noteChange();
            props.onDone(value);
        } catch (error) {
            fail(error);
        }
        setBusy(false);
    };
    const ready = order.preview !== undefined || plan !== null;
    return (
        <Dialog title={order.title} onClose={props.onClose} wide>
            {order.preview ?? (plan ? <PlanView plan={plan} /> : !problem && <p class="quiet">Working out what would change …</p>)}
            {problem && <Fault problem={problem} />}
            {problem?.status === 412 && <p>Somebody else has changed the configuration meanwhile. Close this, discard or reload, and do it again.</p>}
            <form onSubmit={apply}>
                {ready && <WishForm wishes={wishes} set={setWishes} />}
                <div class="row end">
                    <button type="button" class="button" onClick={props.onClose}>Not now</button>
                    <button class="button primary" disabled={!ready || busy}>{busy ? 'Applying …' : wishes.trial ? 'Apply on trial' : 'Apply'}</button>
                </div>
            </form>
        </Dialog>
    );
}
