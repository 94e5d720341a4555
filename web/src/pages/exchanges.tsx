// SPDX-License-Identifier: Apache-2.0
/*
 * exchanges.tsx - what is under way at this moment, the oldest first.
 */
import { useState } from 'preact/hooks';
import { call, segment } from '../api';
import { bytes, duration, words } from '../format';
import { Action, attempt, Card, Field, valueOf, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import type { Exchange } from '../types';

export function Exchanges() {
    const [held, setHeld] = useState(false);
    const [filter, setFilter] = useState('');
    const resource = useResource<{ exchanges: Exchange[] }>('/v1/exchanges?most=500', held ? 0 : 1500);
    const rows = (resource.value?.exchanges ?? []).filter(x =>
        `${x.method} ${x.host}${x.target} ${x.client} ${x.route} ${x.server} ${x.request_id}`.toLowerCase().includes(filter.toLowerCase()));

    return (
        <Card>
            <div class="form-row">
                <Field label="Find" class="find" hint="A path, client, route, server or request id.">
                    {(id, d) => <input id={id} aria-describedby={d} type="search" value={filter} onInput={e => setFilter(valueOf(e))} />}
                </Field>
                <label class="check"><input type="checkbox" checked={held} onChange={e => setHeld((e.currentTarget as HTMLInputElement).checked)} /> Hold still</label>
            </div>
            <Waiting for={resource} what="the exchanges" />
            {resource.value && (
                <Table caption="Exchanges in flight" rows={rows} id={x => x.id} empty={filter ? 'Nothing under way is like that.' : 'Nothing is under way at this moment.'} columns={[
                    { head: 'Request', cell: x => (
                        <>
                            <span class="mono cut" title={`${x.host}${x.target}`}>{x.method} {x.host}{x.target}</span>
                            {x.route && <span class="why">route {x.route}</span>}
                        </>
                    ), sort: x => x.route, names: true },
                    { head: 'For', cell: x => duration(x.age_us), sort: x => x.age_us, number: true },
                    { head: 'State', cell: x => words(x.state) + (x.status ? `, ${x.status}` : '') },
                    { head: 'Client', cell: x => <span class="mono">{x.client}</span>, sort: x => x.client },
                    { head: 'Server', cell: x => <span class="mono">{x.server || '–'}</span>, sort: x => x.server },
                    { head: 'Bytes', cell: x => <>{bytes(x.request_bytes)} in<br />{bytes(x.response_bytes)} out</>,
                        sort: x => x.request_bytes + x.response_bytes, number: true },
                    { head: 'Actions', cell: x => (
                        <Action class="button small" label={`Cancel ${x.method} ${x.target} of ${x.client}`}
                            do={() => attempt('The exchange is cancelled.', () => call('DELETE', `/v1/exchanges/${segment(x.id)}`)).then(resource.reload)}>Cancel</Action>
                    ) },
                ]} />
            )}
        </Card>
    );
}
