// SPDX-License-Identifier: Apache-2.0
/*
 * process.tsx - the program itself: version, listeners, connections, level of its log, reload and upgrade.
 */
import { useState } from 'preact/hooks';
import { call, may, segment, session } from '../api';
import { count, moment, plural, seconds, words } from '../format';
import { absent, Action, attempt, Badge, Card, Facts, Field, valueOf, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import { useStore } from '../store';
import type { About, Connection, Listener } from '../types';

const LEVELS = ['debug', 'info', 'warning', 'error'];

function Itself() {
    const about = useResource<About>('/v1', 5000, ['configuration']);
    const a = about.value;

    return (
        <Card title="maitred" aside={
            <>
                <Action class="button" do={() => attempt('The files were read again, and their configuration is in force.', () => call('POST', '/v1/reload')).then(about.reload)}>Read the files again</Action>
                <Action right="admin" class="button" confirm="The program on disk takes over; this one finishes what it has. No connection is refused."
                    do={() => attempt('The program on disk takes over.', () => call('POST', '/v1/upgrade'))}>Upgrade in place</Action>
            </>
        }>
            <Waiting for={about} what="the process" />
            {a && (
                <Facts of={[['Version', a.version], ['Process', String(a.pid)], ['Up for', seconds(a.uptime_s)], ['Workers', count(a.workers)],
                    ['Configuration', a.config?.path ?? 'command line'], ['Revision', a.config?.revision ? String(a.config.revision) : '–'],
                    ['In force since', a.config?.loaded_at ? moment(a.config.loaded_at) : '–']]} />
            )}
        </Card>
    );
}

function Log() {
    const log = useResource<{ level: string }>('/v1/log', 0, ['configuration']);
    const who = useStore(session);
    const level = log.value?.level;

    if (absent(log))
        return null;
    const set = (event: Event) => {
        const wanted = valueOf(event);
        void attempt(`The log tells “${wanted}” and above now.`, () => call('PUT', '/v1/log', { body: { level: wanted } })).then(log.reload);
    };
    return (
        <Card title="Log">
            <Waiting for={log} what="the level of the log" />
            {level && (
                <Field label="Tells" hint={<>Until the next reload; <code>process: log_level</code> in the configuration says it for good.</>}>
                    {(id, d) => (
                        <select id={id} aria-describedby={d} value={level} disabled={!may(who, 'operate')} onChange={set}>
                            {[...new Set([...LEVELS, level])].map(l => <option key={l} value={l}>{l}{l === 'error' ? '' : ' and above'}</option>)}
                        </select>
                    )}
                </Field>
            )}
        </Card>
    );
}

function Listeners() {
    const listeners = useResource<{ listeners: Listener[] }>('/v1/listeners', 3000, ['configuration']);

    return (
        <Card title="Listeners">
            <Waiting for={listeners} what="the listeners" />
            {listeners.value && (
                <Table caption="Listeners" rows={listeners.value.listeners} id={l => l.name + l.address} empty="There is no listener." columns={[
                    { head: 'Listener', cell: l => <span class="mono">{l.name || l.address}</span>, names: true },
                    { head: 'Address', cell: l => <span class="mono">{l.address}</span> },
                    { head: 'TLS', cell: l => (l.tls ? <Badge tone="good">TLS</Badge> : 'in the clear') },
                    { head: 'Open', cell: l => count(l.open), sort: l => l.open, number: true },
                    { head: 'Connections so far', cell: l => count(l.connections), sort: l => l.connections, number: true },
                    { head: 'Requests', cell: l => count(l.requests), sort: l => l.requests, number: true },
                ]} />
            )}
        </Card>
    );
}

function Connections() {
    const [open, setOpen] = useState(false);
    const connections = useResource<{ connections: Connection[] }>(open ? '/v1/connections' : null, 3000);
    const rows = connections.value?.connections ?? [];

    return (
        <Card title="Connections of clients" aside={
            <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? 'Hide' : 'Show'}</button>
        }>
            {open && <Waiting for={connections} what="the connections" />}
            {open && connections.value && (
                <>
                    <p class="quiet">{plural(rows.length, 'connection')}.</p>
                    <Table caption="Connections" rows={rows} id={c => c.id} empty="Nobody is connected." columns={[
                        { head: 'Client', cell: c => <span class="mono">{c.client}</span>, sort: c => c.client, names: true },
                        { head: 'Listener', cell: c => c.listener, sort: c => c.listener },
                        { head: 'Protocol', cell: c => c.protocol + (c.tls ? ' over TLS' : '') },
                        { head: 'State', cell: c => words(c.state ?? '') },
                        { head: 'Requests', cell: c => count(c.requests), sort: c => c.requests, number: true },
                        { head: 'Actions', cell: c => (
                            <Action class="button small" label={`Close the connection of ${c.client}`}
                                do={() => attempt('The connection is closed.', () => call('DELETE', `/v1/connections/${segment(c.id)}`)).then(connections.reload)}>Close</Action>
                        ) },
                    ]} />
                </>
            )}
        </Card>
    );
}

export function Process() {
    return <><Itself /><Log /><Listeners /><Connections /></>;
}
