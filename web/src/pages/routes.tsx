// SPDX-License-Identifier: Apache-2.0
/*
 * routes.tsx - which requests go where, and how they fare.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { bytes, count, duration, percent, rate } from '../format';
import { Card, Field, valueOf, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import type { Route } from '../types';

function Conditions(props: { route: Route }) {
    const { host = [], path = [] } = props.route;

    return (
        <span class="mono">
            {host.length ? host.join(', ') : 'any host'} {path.length ? path.join(', ') : '/…'}
        </span>
    );
}

function text(r: Route): string {
    return [r.name, ...(r.host ?? []), ...(r.path ?? []), ...(r.to ?? []), ...(r.use ?? [])].join(' ').toLowerCase();
}

function idOf(r: Route): string {
    return r.name + r.where;
}

/** Requests a second of each route, out of two looks at their counters. */
function useRates(routes: Route[] | undefined): Map<string, number> {
    const before = useRef<{ at: number; requests: Map<string, number> } | null>(null);
    const [rates, setRates] = useState(new Map<string, number>());

    useEffect(() => {
        if (!routes)
            return;
        const at = performance.now() / 1000, old = before.current;
        if (old)
            setRates(new Map(routes.filter(r => old.requests.has(idOf(r)))
                .map(r => [idOf(r), Math.max(0, r.requests - old.requests.get(idOf(r))!) / Math.max(0.1, at - old.at)])));
        before.current = { at, requests: new Map(routes.map(r => [idOf(r), r.requests])) };
    }, [routes]);
    return rates;
}

export function RoutesPage() {
    const resource = useResource<{ routes: Route[] }>('/v1/routes', 3000, ['configuration']);
    const [filter, setFilter] = useState('');
    const rates = useRates(resource.value?.routes);
    const rows = (resource.value?.routes ?? []).filter(r => text(r).includes(filter.toLowerCase()));

    return (
        <Card>
            <Waiting for={resource} what="the routes" />
            <Field label="Find" class="find" hint="A name, host, path, middleware or upstream. Routes are tried in their order.">
                {(id, d) => <input id={id} aria-describedby={d} type="search" value={filter} onInput={e => setFilter(valueOf(e))} />}
            </Field>
            {resource.value && (
                <Table caption="Routes" rows={rows} id={idOf} empty="No route is like that." columns={[
                    { head: 'Route', cell: r => r.name, sort: r => r.name, names: true },
                    { head: 'Takes', cell: r => <Conditions route={r} /> },
                    { head: 'Through', cell: r => (r.use?.length ? <span class="chips">{r.use.map((u, i) => <i key={i}>{u}</i>)}</span> : '–') },
                    { head: 'To', cell: r => (r.to?.length ? r.to.join(', ') : 'itself') },
                    { head: 'Rate', cell: r => rate(rates.get(idOf(r))), sort: r => rates.get(idOf(r)) ?? 0, number: true },
                    { head: 'Requests', cell: r => count(r.requests), sort: r => r.requests, number: true },
                    { head: 'Errors', cell: r => <span class={r.errors ? 'bad-text' : ''}>{r.requests ? percent(r.errors / r.requests) : '–'}</span>,
                        sort: r => (r.requests ? r.errors / r.requests : 0), number: true },
                    { head: 'p50', cell: r => (r.requests ? duration(r.p50_us) : '–'), sort: r => r.p50_us, number: true },
                    { head: 'p99', cell: r => (r.requests ? duration(r.p99_us) : '–'), sort: r => r.p99_us, number: true },
                    { head: 'Sent', cell: r => bytes(r.bytes_out), sort: r => r.bytes_out, number: true },
                    { head: 'Written at', cell: r => <span class="where">{r.where}</span> },
                ]} />
            )}
        </Card>
    );
}
