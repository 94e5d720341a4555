// SPDX-License-Identifier: Apache-2.0
/*
 * upstreams.tsx - groups of servers: how each is and why, and what to do about it.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { call, may, segment, session } from '../api';
import { count, duration, plural } from '../format';
import { absent, Action, attempt, Badge, Card, Facts, Field, type Tone, valueOf, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { place } from '../router';
import { useResource } from '../resource';
import { useStore } from '../store';
import type { Server, Upstream } from '../types';

const TONES: Record<string, Tone> = { up: 'good', draining: 'warn', maintenance: 'info', leaving: 'quiet', down: 'bad',
    ejected: 'bad', resting: 'warn', 'not checked yet': 'quiet' };
const WANTED: [state: string, shown: string, done: string][] = [
    ['ready', 'Ready', 'is ready'],
    ['draining', 'Drain', 'finishes what it has and gets nothing new'],
    ['maintenance', 'Maintain', 'is in maintenance'],
];

function pathOf(upstream: string, server?: string): string {
    return `/v1/upstreams/${segment(upstream)}/servers${server === undefined ? '' : '/' + segment(server)}`;
}

/** What an operator asked for, as far as the state tells it. */
function wantedOf(server: Server): string {
    return server.state === 'draining' || server.state === 'maintenance' ? server.state : 'ready';
}

function Weight(props: { upstream: string; server: Server; reload: () => void }) {
    const { server, upstream } = props;
    const [text, setText] = useState<string | null>(null);
    const who = useStore(session);
    const changed = text !== null && text !== String(server.weight);

    const save = async (event: Event) => {
        event.preventDefault();
        if (await attempt(`The weight of ${server.address} is ${text} now.`,
            () => call('PATCH', pathOf(upstream, server.address), { body: { weight: Number(text) } })))
            setText(null);
        props.reload();
    };
    return (
        <form class="weight" onSubmit={save}>
            <input type="number" min={1} max={65535} required aria-label={`Weight of ${server.address}`}
                value={text ?? server.weight} disabled={!may(who, 'operate')} onInput={e => setText(valueOf(e))} />
            {changed && <button class="button small">Set</button>}
        </form>
    );
}

function Buttons(props: { upstream: string; server: Server; reload: () => void }) {
    const { server, upstream } = props;
    const wanted = wantedOf(server);

    return (
        <div class="actions">
            <span class="segments" role="group" aria-label={`State of ${server.address}`}>
                {WANTED.map(([state, shown, done]) => (
                    <Action key={state} class="" pressed={wanted === state} label={`${shown}: ${server.address}`}
                        do={() => attempt(`${server.address} ${done}.`,
                            () => call('PATCH', pathOf(upstream, server.address), { body: { state } })).then(props.reload)}>
                        {shown}
                    </Action>
                ))}
            </span>
            <Action class="button small quiet-button" label={`Remove ${server.address}`}
                confirm={`${server.address} finishes what it serves and leaves “${upstream}”. The configuration's files are not changed; a server that they name can be brought back.`}
                do={() => attempt(`${server.address} leaves.`, () => call('DELETE', pathOf(upstream, server.address))).then(props.reload)}>
                Remove
            </Action>
        </div>
    );
}

function State(props: { server: Server }) {
    const { server } = props;

    return (
        <>
            <Badge tone={TONES[server.state] ?? 'quiet'}>{server.state}</Badge>
            {server.why && <span class="why">{server.why}</span>}
        </>
    );
}

function Failures(props: { server: Server }) {
    const { failures, exchanges } = props.server;

    return <><span class={failures ? 'bad-text' : ''}>{count(failures)}</span> <span class="quiet">of {count(exchanges)}</span></>;
}

function AddServer(props: { upstream: string; reload: () => void }) {
    const [address, setAddress] = useState('');
    const [weight, setWeight] = useState('1');
    const [state, setState] = useState('ready');
    const who = useStore(session);

    const add = async (event: Event) => {
        event.preventDefault();
        const body = { address: address.trim(), weight: Number(weight), state };
        if (await attempt(`${body.address} belongs to ${props.upstream} now.`, () => call('POST', pathOf(props.upstream), { body })))
            setAddress('');
        props.reload();
    };
    if (!may(who, 'operate'))
        return null;
    return (
        <details class="more">
            <summary>Add a server<span class="hidden"> to {props.upstream}</span></summary>
            <form class="form-row" onSubmit={add}>
                <Field label="Address" hint="10.0.0.1:8080, app.internal:8080 or unix:/run/app.sock">
                    {(id, d) => <input id={id} aria-describedby={d} required value={address} onInput={e => setAddress(valueOf(e))} />}
                </Field>
                <Field label="Weight">
                    {id => <input id={id} type="number" min={1} max={65535} required value={weight} onInput={e => setWeight(valueOf(e))} />}
                </Field>
                <Field label="State">
                    {id => (
                        <select id={id} value={state} onChange={e => setState(valueOf(e))}>
                            {WANTED.map(([s]) => <option key={s} value={s}>{s}</option>)}
                        </select>
                    )}
                </Field>
                <button class="button primary">Add</button>
            </form>
        </details>
    );
}

function summary(u: Upstream): [string, Tone] {
    const usable = u.servers.filter(s => s.usable).length;

    if (u.unresolved && !u.servers.length)
        return ['name not resolved', 'bad'];
    return [`${usable} of ${u.servers.length} usable`, usable === u.servers.length ? 'good' : usable ? 'warn' : 'bad'];
}

function Group(props: { upstream: Upstream; reload: () => void; shown: boolean }) {
    const { upstream: u, reload } = props;
    const [text, tone] = summary(u);
    const box = useRef<HTMLDivElement>(null);

    useEffect(() => {
        if (props.shown)
            box.current?.scrollIntoView();
    }, [props.shown]);
    return (
        <div ref={box}>
            <Card title={u.name} aside={<>
                <Badge tone={tone}>{text}</Badge>
                {u.guard?.breaker && u.guard.breaker !== 'closed' && u.guard.breaker !== 'off' &&
                    <Badge tone="bad">breaker {u.guard.breaker}</Badge>}
            </>}>
                <Facts of={[
                    ['Exchanges', count(u.exchanges)], ['Retries', count(u.retries)], ['Waited', count(u.waited)],
                    ['Requests per connection', u.requests_per_connection.toFixed(1)],
                    ...(u.guard?.refused ? [['Refused by guards', count(u.guard.refused)] as [string, string]] : []),
                ]} />
                <Table caption={`Servers of ${u.name}`} rows={u.servers} id={s => s.address} most={200}
                    empty="It has no server at the moment." columns={[
                        { head: 'Server', cell: s => <span class="mono">{s.address}</span>, sort: s => s.address, names: true },
                        { head: 'State', cell: s => <State server={s} />, sort: s => s.state },
                        { head: 'In flight', cell: s => count(s.inflight), sort: s => s.inflight, number: true },
                        { head: 'Latency', cell: s => (s.latency_us ? duration(s.latency_us) : '–'), sort: s => s.latency_us, number: true },
                        { head: 'Failures', cell: s => <Failures server={s} />, sort: s => s.failures, number: true },
                        { head: 'Weight', cell: s => <Weight upstream={u.name} server={s} reload={reload} /> },
                        { head: 'Actions', cell: s => <Buttons upstream={u.name} server={s} reload={reload} />, wide: true },
                    ]} />
                <AddServer upstream={u.name} reload={reload} />
            </Card>
        </div>
    );
}

export function Upstreams() {
    const resource = useResource<{ upstreams: Upstream[] }>('/v1/upstreams', 2000, ['server', 'configuration']);
    const wanted = decodeURIComponent(useStore(place).rest.slice(1));
    const all = resource.value?.upstreams ?? [];
    const [filter, setFilter] = useState('');
    const shown = all.filter(u => !filter || u.name.includes(filter) || u.servers.some(s => s.address.includes(filter)));
    const MOST = 30;

    if (absent(resource))
        return <p class="quiet">This server tells nothing of its upstreams.</p>;
    return (
        <>
            <Waiting for={resource} what="the upstreams" />
            {all.length > 5 && (
                <Field label="Find" class="find">
                    {id => <input id={id} type="search" value={filter} onInput={e => setFilter(valueOf(e))} />}
                </Field>
            )}
            {resource.value && !all.length && <p class="quiet">The configuration has no upstreams.</p>}
            {shown.slice(0, MOST).map(u => <Group key={u.name} upstream={u} reload={resource.reload} shown={u.name === wanted} />)}
            {shown.length > MOST && <p class="quiet">{plural(shown.length - MOST, 'more upstream')}: find them by name.</p>}
        </>
    );
}
