// SPDX-License-Identifier: Apache-2.0
/*
 * traces.tsx - what was decided about single exchanges, step by step, with the setting behind each step.
 */
import { useState } from 'preact/hooks';
import { segment } from '../api';
import { duration, moment, plural, words } from '../format';
import { Badge, Card, Dialog, Facts, Field, Meter, type Tone, valueOf, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { place, go } from '../router';
import { useResource } from '../resource';
import { useStore } from '../store';
import type { Trace } from '../types';

function toneOf(status: number): Tone {
    return status >= 500 ? 'bad' : status >= 400 ? 'warn' : status >= 300 ? 'info' : 'good';
}

function Decisions(props: { trace: Trace }) {
    const { events = [], took_us } = props.trace;

    return (
        <Table caption="Decisions in their order" rows={events.map((e, i) => ({ ...e, i }))} id={e => e.i} most={256} empty="Nothing was noted." columns={[
            { head: 'After', cell: e => duration(e.at_us), number: true },
            { head: 'What', cell: e => words(e.what), names: true },
            { head: 'Decision', cell: e => e.detail },
            { head: 'Took', cell: e => (e.took_us ? <><Meter part={e.took_us / (took_us || 1)} label={`${duration(e.took_us)} of ${duration(took_us)}`} /> {duration(e.took_us)}</> : '') },
            { head: 'Because of', cell: e => (e.where ? <span class="where">{e.where}</span> : '') },
        ]} />
    );
}

function Details(props: { id: string }) {
    const resource = useResource<Trace>(`/v1/traces/${segment(props.id)}`);
    const t = resource.value;

    return (
        <Dialog title="What was decided, and why" onClose={() => go('#/traces')} wide>
            <Waiting for={resource} what="the trace" />
            {t && (
                <>
                    <p class="mono">{t.method} {t.host}{t.target}</p>
                    <Facts of={[['Status', t.status ? <Badge tone={toneOf(t.status)}>{t.status}</Badge> : 'under way'], ['Reason', words(t.reason || 'none')],
                        ['Took', duration(t.took_us)], ['Route', t.route || '–'], ['Server', t.server || '–'], ['Request id', <span class="mono">{t.request_id}</span>],
                        ['Trace id', <span class="mono">{t.trace_id}</span>]]} />
                    <Decisions trace={t} />
                    {!!t.lost && <p class="quiet">{plural(t.lost, 'more decision')} did not fit.</p>}
                </>
            )}
        </Dialog>
    );
}

export function Traces() {
    const [route, setRoute] = useState('');
    const [status, setStatus] = useState('');
    const [find, setFind] = useState('');
    const wanted = decodeURIComponent(useStore(place).rest.slice(1));
    const query = new URLSearchParams({ most: '200', ...(route && { route }), ...(status && { status }) });
    const resource = useResource<{ traces: Trace[] }>(`/v1/traces?${query}`, 3000);

    return (
        <Card>
            <form class="form-row" onSubmit={e => { e.preventDefault(); if (find.trim()) go(`#/traces/${segment(find.trim())}`); }}>
                <Field label="Route">{id => <input id={id} value={route} onInput={e => setRoute(valueOf(e).trim())} />}</Field>
                <Field label="Status">{id => <input id={id} inputMode="numeric" size={4} value={status} onInput={e => setStatus(valueOf(e).trim())} />}</Field>
                <Field label="Request id or trace id" class="grow">{id => <input id={id} class="mono" value={find} onInput={e => setFind(valueOf(e))} />}</Field>
                <button class="button" disabled={!find.trim()}>Open</button>
            </form>
            <Waiting for={resource} what="the traces" />
            {resource.value && (
                <Table caption="Traces, the newest first" rows={resource.value.traces ?? []} id={t => t.trace_id + t.request_id}
                    empty="No exchange was traced: “tracing” in the configuration says which are." columns={[
                        { head: 'Request', cell: t => <a class="mono cut" href={`#/traces/${segment(t.request_id || t.trace_id)}`}>{t.method} {t.host}{t.target}</a>, names: true },
                        { head: 'Status', cell: t => <Badge tone={toneOf(t.status)}>{t.status}</Badge>, sort: t => t.status },
                        { head: 'Reason', cell: t => words(t.reason === 'none' ? '' : t.reason ?? ''), sort: t => t.reason },
                        { head: 'Took', cell: t => duration(t.took_us), sort: t => t.took_us, number: true },
                        { head: 'Route', cell: t => t.route, sort: t => t.route },
                        { head: 'Server', cell: t => <span class="mono">{t.server || '–'}</span> },
                        { head: 'Began', cell: t => moment(t.began), sort: t => t.began },
                    ]} />
            )}
            {wanted && <Details key={wanted} id={wanted} />}
        </Card>
    );
}
