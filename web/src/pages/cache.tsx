// SPDX-License-Identifier: Apache-2.0
/*
 * cache.tsx - what the caches spare the servers, how full the stores are, and purging.
 */
import { useState } from 'preact/hooks';
import { call, may, segment, session } from '../api';
import { bytes, count, percent, plural, seconds } from '../format';
import { lastTick, series } from '../live';
import { attempt, Card, Dialog, Facts, Field, Meter, valueOf, Waiting } from '../parts/basics';
import { Chart } from '../parts/chart';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import { useStore } from '../store';
import type { CacheStatus, StoreStatus } from '../types';

const KINDS: [string, string, string][] = [
    ['url', 'One URL', 'https://example.com/style.css'],
    ['prefix', 'All that begins so', 'https://example.com/images/'],
    ['host', 'A whole host', 'example.com'],
    ['tag', 'A tag', 'article-42'],
    ['all', 'Everything', ''],
];

function Live() {
    useStore(lastTick);
    const [times, hits] = series(t => t.hits, 300);
    const [, misses] = series(t => t.misses, 300);

    return (
        <Chart title="From the cache, and not" times={times} unit={v => `${count(v)}/s`} span_s={300} stacked
            lines={[{ name: 'Hits', colour: '--c-good', values: hits }, { name: 'Misses', colour: '--c-warn', values: misses }]} />
    );
}

function Fill(props: { used: number; most: number; what: string }) {
    if (!props.most)
        return <>–</>;
    return (
        <>
            <Meter part={props.used / props.most} label={`${props.what}: ${percent(props.used / props.most, 0)} full`} />{' '}
            {bytes(props.used)} of {bytes(props.most)}
        </>
    );
}

function ratio(hits: number, misses: number): number {
    return hits + misses ? hits / (hits + misses) : 0;
}

function Purge(props: { stores: string[]; reload: () => void }) {
    const [store, setStore] = useState(props.stores[0]);
    const [kind, setKind] = useState('url');
    const [value, setValue] = useState('');
    const [soft, setSoft] = useState(false);
    const [asked, setAsked] = useState(false);
    const chosen = KINDS.find(k => k[0] === kind)!;

    const purge = async () => {
        setAsked(false);
        const body = kind === 'all' ? { all: true, soft } : { [kind]: value.trim(), soft };
        if (await attempt(`Purged from ${store}: ${kind === 'all' ? 'everything' : value.trim()}.`,
            () => call('POST', `/v1/caches/${segment(store)}/purge`, { body })))
            setValue('');
        props.reload();
    };
    const submit = (event: Event) => {
        event.preventDefault();
        if (kind === 'all')
            setAsked(true);
        else
            void purge();
    };
    return (
        <form class="form-row" onSubmit={submit}>
            <Field label="Store">
                {id => <select id={id} value={store} onChange={e => setStore(valueOf(e))}>{props.stores.map(s => <option key={s}>{s}</option>)}</select>}
            </Field>
            <Field label="What">
                {id => <select id={id} value={kind} onChange={e => setKind(valueOf(e))}>{KINDS.map(([k, text]) => <option key={k} value={k}>{text}</option>)}</select>}
            </Field>
            {kind !== 'all' && (
                <Field label={chosen[1]} class="grow">
                    {id => <input id={id} required placeholder={chosen[2]} value={value} onInput={e => setValue(valueOf(e))} />}
                </Field>
            )}
            <label class="check"><input type="checkbox" checked={soft} onChange={e => setSoft((e.currentTarget as HTMLInputElement).checked)} />
                Soft: keep it as stale</label>
            <button class="button primary">Purge</button>
            {asked && (
                <Dialog title="Purge everything?" onClose={() => setAsked(false)}>
                    <p>All that “{store}” holds is asked of the servers again. They will notice.</p>
                    <div class="row end">
                        <button type="button" class="button" onClick={() => setAsked(false)}>No, leave it</button>
                        <button type="button" class="button danger" onClick={() => void purge()}>Yes, purge everything</button>
                    </div>
                </Dialog>
            )}
        </form>
    );
}

export function Cache() {
    const resource = useResource<{ stores: StoreStatus[]; caches: CacheStatus[] }>('/v1/caches', 3000, ['configuration']);
    const who = useStore(session);
    const stores = resource.value?.stores ?? [], caches = resource.value?.caches ?? [];
    const hits = caches.reduce((n, c) => n + c.hits, 0), misses = caches.reduce((n, c) => n + c.misses, 0);

    return (
        <>
            <Waiting for={resource} what="the caches" />
            {resource.value && !stores.length && <p class="quiet">Nothing is cached: no route uses <code>cache</code>.</p>}
            {stores.length > 0 && (
                <>
                    <Card>
                        <Facts of={[
                            ['From the cache', percent(ratio(hits, misses))], ['Hits', count(hits)], ['Misses', count(misses)],
                            ['Bytes spared', bytes(caches.reduce((n, c) => n + c.hit_bytes, 0))],
                            ['Servers’ time spared', seconds(caches.reduce((n, c) => n + c.saved_seconds, 0))],
                        ]} />
                        <Live />
                    </Card>
                    <Card title="By route">
                        <Table caption="Caches by route" rows={caches} id={c => c.name + c.store} empty="No route uses a cache." columns={[
                            { head: 'Route', cell: c => c.name, sort: c => c.name, names: true },
                            { head: 'Hit ratio', cell: c => <><Meter part={ratio(c.hits, c.misses)} tone="good" label={`${percent(ratio(c.hits, c.misses), 0)} hits`} /> {percent(ratio(c.hits, c.misses))}</>,
                                sort: c => ratio(c.hits, c.misses) },
                            { head: 'Hits', cell: c => count(c.hits), sort: c => c.hits, number: true },
                            { head: 'Misses', cell: c => count(c.misses), sort: c => c.misses, number: true },
                            { head: 'Stale', cell: c => count(c.stale), sort: c => c.stale, number: true },
                            { head: 'Shared', cell: c => count(c.shared), sort: c => c.shared, number: true },
                            { head: 'Passed', cell: c => count(c.passed), sort: c => c.passed, number: true },
                            { head: 'Store', cell: c => c.store },
                        ]} />
                    </Card>
                    <Card title="Stores">
                        <Table caption="Stores" rows={stores} id={s => s.name} empty="There is no store." columns={[
                            { head: 'Store', cell: s => s.name, names: true },
                            { head: 'Memory', cell: s => <Fill used={s.memory_bytes} most={s.memory_max} what="Memory" />, sort: s => s.memory_bytes },
                            { head: 'Disk', cell: s => <Fill used={s.disk_bytes} most={s.disk_max} what="Disk" />, sort: s => s.disk_bytes },
                            { head: 'Objects', cell: s => plural(s.objects + s.disk_objects, 'object'), sort: s => s.objects, number: true },
                            { head: 'Evicted', cell: s => count(s.evicted), sort: s => s.evicted, number: true },
                            { head: 'Purged', cell: s => count(s.purged), sort: s => s.purged, number: true },
                        ]} />
                    </Card>
                    {may(who, 'operate') && <Card title="Purge"><Purge stores={stores.map(s => s.name)} reload={resource.reload} /></Card>}
                </>
            )}
        </>
    );
}
