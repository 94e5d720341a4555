// SPDX-License-Identifier: Apache-2.0
/*
 * revisions.tsx - every configuration that was in force: what it changed, and the way back to it.
 */
import { useState } from 'preact/hooks';
import { call } from '../api';
import { ago, moment } from '../format';
import { diffLines, hunks } from '../lines';
import { noteChange } from '../live';
import { Action, attempt, Badge, Card, Dialog, Field, valueOf, Waiting } from '../parts/basics';
import { ChangeDialog, type ChangeOrder, PatchView } from '../parts/plan';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import type { AuditEntry, PatchStep, Revision } from '../types';

const CAUSES: Record<string, string> = { start: 'The process began', reload: 'The files were read again', change: 'Changed',
    rollback: 'Rolled back by hand', revert: 'Went back by itself' };
const PAGE = 50;

export function TextDiff(props: { before: string; after: string }) {
    const lines = hunks(diffLines(props.before, props.after));

    if (!lines.length)
        return <p class="quiet">The texts are the same.</p>;
    return (
        <pre class="diff" tabIndex={0} aria-label="Difference">
            {lines.map((l, i) => (l === null ? <span class="skip-lines" key={i}>⋯{'\n'}</span>
                : l.sign === '+' ? <ins key={i}>+ {l.text}{'\n'}</ins> : l.sign === '-' ? <del key={i}>- {l.text}{'\n'}</del>
                    : <span key={i}>  {l.text}{'\n'}</span>))}
        </pre>
    );
}

/** Two revisions side by side: in meaning, and line by line. */
function Comparison(props: { from: number; to: number }) {
    const patch = useResource<{ patch: PatchStep[] }>(`/v1/revisions/${props.from}/diff?to=${props.to}`);
    const before = useResource<Revision>(`/v1/revisions/${props.from}`);
    const after = useResource<Revision>(`/v1/revisions/${props.to}`);

    return (
        <>
            <Waiting for={patch} what="the difference" />
            {patch.value && <PatchView patch={patch.value.patch ?? []} />}
            {before.value?.text !== undefined && after.value?.text !== undefined &&
                <TextDiff before={before.value.text} after={after.value.text} />}
        </>
    );
}

function Details(props: { revision: Revision; all: Revision[]; onClose: () => void }) {
    const { revision: r, all } = props;
    const others = all.filter(o => o.number !== r.number);
    const current = all.find(o => o.current);
    const [with_, setWith] = useState(others.find(o => o.number < r.number)?.number ?? others[0]?.number ?? 0);
    const whole = useResource<Revision>(`/v1/revisions/${r.number}`);

    return (
        <Dialog title={`Revision ${r.number}`} onClose={props.onClose} wide>
            <p>{CAUSES[r.cause] ?? r.cause} by {r.who || 'nobody'}, {moment(r.at)}{r.comment && <>: “{r.comment}”</>}{current?.number === r.number && ' It is in force.'}</p>
            {others.length > 0 && (
                <>
                    <Field label="What it changed, compared with">
                        {id => (
                            <select id={id} value={with_} onChange={e => setWith(Number(valueOf(e)))}>
                                {others.map(o => <option key={o.number} value={o.number}>revision {o.number}{o.current ? ' (in force)' : ''}, {moment(o.at)}</option>)}
                            </select>
                        )}
                    </Field>
                    <Comparison key={with_} from={with_} to={r.number} />
                </>
            )}
            <details class="more"><summary>The whole text</summary>
                {whole.value && <pre class="diff" tabIndex={0} aria-label={`Text of revision ${r.number}`}>{whole.value.text}</pre>}
            </details>
        </Dialog>
    );
}

function Audit() {
    const audit = useResource<{ entries: AuditEntry[] }>('/v1/audit?most=50', 10_000, ['configuration', 'server']);

    return (
        <Card title="Who did what">
            <Waiting for={audit} what="the record" />
            {audit.value && (
                <Table caption="Who did what" rows={audit.value.entries ?? []} id={e => e.number} empty="Nobody has done anything yet." columns={[
                    { head: 'When', cell: e => <time dateTime={new Date(e.at * 1000).toISOString()}>{moment(e.at)}</time>, names: true },
                    { head: 'Who', cell: e => `${e.who}${e.from ? `, ${e.from}` : ''}` },
                    { head: 'What', cell: e => <span class="mono">{e.action} {e.target}</span> },
                    { head: 'Outcome', cell: e => <Badge tone={/^[23]/.test(e.outcome) ? 'good' : 'bad'}>{e.outcome}</Badge> },
                ]} />
            )}
        </Card>
    );
}

export function Revisions() {
    const [before, setBefore] = useState(0);
    const list = useResource<{ revisions: Revision[] }>(`/v1/revisions?most=${PAGE}${before ? `&before=${before}` : ''}`, 0, ['configuration', 'trial']);
    const [shown, setShown] = useState<Revision | null>(null);
    const [order, setOrder] = useState<ChangeOrder | null>(null);
    const all = list.value?.revisions ?? [];
    const current = all.find(r => r.current);

    const restore = (r: Revision) => setOrder({ title: `Back to revision ${r.number}`, method: 'POST', path: `/v1/revisions/${r.number}/restore`,
        done: `What revision ${r.number} said is in force again.`,
        preview: current ? <Comparison from={current.number} to={r.number} /> : <p>The configuration becomes what revision {r.number} said.</p> });
    return (
        <>
            <Card aside={
                <Action right="admin" class="button" disabled={all.length < 2} confirm="The configuration before this one comes back into force, as a new revision."
                    do={() => attempt('The configuration before is in force again.', () => call('POST', '/v1/rollback')).then(noteChange)}>Roll back by one</Action>
            } title="Configurations so far">
                <Waiting for={list} what="the revisions" />
                {list.value && (
                    <Table caption="Revisions" rows={all} id={r => r.number} empty="No revision is kept: the configuration has no state directory, or this is the first start." columns={[
                        { head: 'Revision', cell: r => <button type="button" class="link" onClick={() => setShown(r)}>{r.number}</button>, names: true },
                        { head: 'When', cell: r => <span title={moment(r.at)}>{ago(r.at)}</span> },
                        { head: 'Cause', cell: r => CAUSES[r.cause] ?? r.cause },
                        { head: 'Who', cell: r => r.who || '–' },
                        { head: 'Why', cell: r => r.comment || '–' },
                        { head: 'State', cell: r => (r.current ? <Badge tone="good">in force</Badge> : (
                            <Action right="admin" class="button small" label={`Restore revision ${r.number}`} do={() => restore(r)}>Restore …</Action>)) },
                    ]} />
                )}
                <div class="row">
                    {before > 0 && <button type="button" class="button small" onClick={() => setBefore(0)}>Newest</button>}
                    {all.length === PAGE && <button type="button" class="button small" onClick={() => setBefore(all[all.length - 1].number)}>Older</button>}
                </div>
            </Card>
            <Audit />
            {shown && <Details revision={shown} all={all} onClose={() => setShown(null)} />}
            {order && <ChangeDialog order={order} onClose={() => setOrder(null)} onDone={() => { setOrder(null); list.reload(); }} />}
        </>
    );
}
