// SPDX-License-Identifier: Apache-2.0
/*
 * analytics.tsx - who asked for what over the last hour, day, week or month.
 */
import { useEffect, useState } from 'preact/hooks';
import { bytes, count, duration, percent, rate, seconds, words } from '../format';
import { absent, Card, Facts, Meter, Waiting } from '../parts/basics';
import { Chart } from '../parts/chart';
import { type Column, Table } from '../parts/table';
import { countryName, WorldMap } from '../parts/worldmap';
import { useResource } from '../resource';

interface Item {
    name: string;
    requests: number;
    within: number; /* how much of `requests` may be another's */
    errors: number;
    bytes: number;
    mean_us: number;
}

interface List {
    unseen: number;
    items: Item[];
}

interface Distribution {
    mean_us: number;
    p50_us: number;
    p90_us: number;
    p99_us: number;
}

interface Totals {
    requests: number;
    errors: number;
    visitors: number;
    bytes_in: number;
    bytes_out: number;
    hits?: number;
    saved_us?: number;
    missed?: number;
    multiplexing: number | null;
    took: Distribution;
    origin: Distribution;
}

type Told = { from: number; to: number; totals: Totals } & Record<string, List>;

interface Point {
    at: number;
    requests: number;
    errors: number;
    visitors: number;
    bytes_out: number;
    p50_us: number;
    p99_us: number;
}

const SPANS: [number, string][] = [[3600, 'Hour'], [86400, 'Day'], [7 * 86400, 'Week'], [30 * 86400, 'Month']];

const LISTS: [key: string, title: string, what: string][] = [
    ['paths', 'Paths', 'Path'], ['hosts', 'Hosts', 'Host'], ['clients', 'Clients', 'Client'], ['agents', 'Agents', 'Agent'],
    ['referrers', 'Referrers', 'Referrer'], ['routes', 'Routes', 'Route'], ['upstreams', 'Upstreams', 'Upstream'],
    ['statuses', 'Statuses', 'Status'], ['methods', 'Methods', 'Method'], ['versions', 'Versions of HTTP', 'Version'],
    ['threats', 'Threats', 'What was refused'],
];

function columns(what: string, most: number, plain: boolean, name: (item: Item) => string): Column<Item>[] {
    return [
        { head: what, cell: i => (
            <>
                <span class={`cut ${plain ? '' : 'mono'}`} title={i.name}>{name(i)}</span>
                <Meter part={i.requests / most} label={`${percent(i.requests / most, 0)} of the first`} />
            </>
        ), names: true },
        { head: 'Requests', cell: i => <span title={`${bytes(i.bytes)}${i.within ? `; at most ${count(i.within)} requests too many` : ''}`}>{i.within ? '≤ ' : ''}{count(i.requests)}</span>, sort: i => i.requests, number: true },
        { head: 'Errors', cell: i => <span class={i.errors ? 'bad-text' : ''}>{i.requests ? percent(i.errors / i.requests) : '–'}</span>, sort: i => i.errors, number: true },
        { head: 'Mean', cell: i => duration(i.mean_us), sort: i => i.mean_us, number: true },
    ];
}

function Ranking(props: { list: List | undefined; title: string; what: string; name?: (item: Item) => string; slim?: boolean }) {
    const items = props.list?.items ?? [];

    return (
        <Table caption={props.title} rows={items} id={i => i.name} most={10} empty="Nothing in this time."
            columns={columns(props.what, items[0]?.requests || 1, !!props.name, props.name ?? (i => i.name || '(none)')).slice(0, props.slim ? 2 : undefined)} />
    );
}

function Sums(props: { totals: Totals }) {
    const t = props.totals;
    const facts: [string, string][] = [
        ['Requests', count(t.requests)], ['Visitors', `about ${count(t.visitors)}`],
        ['Errors', percent(t.requests ? t.errors / t.requests : 0)], ['Sent', bytes(t.bytes_out)], ['Received', bytes(t.bytes_in)],
        ['Half answer within', duration(t.took?.p50_us)], ['99 % within', duration(t.took?.p99_us)],
        ['Servers’ own time, mean', duration(t.origin?.mean_us)],
    ];

    if (t.saved_us !== undefined)
        facts.push(['Servers’ time spared', seconds(t.saved_us / 1e6)]);
    if (t.multiplexing !== null && t.multiplexing !== undefined)
        facts.push(['Requests per server connection', t.multiplexing.toFixed(1)]);
    if (t.missed)
        facts.push(['Not recorded (too busy)', count(t.missed)]);
    return <Facts of={facts} />;
}

/** The end of the time that is looked at moves on only each half minute. */
function useNow(): number {
    const round = () => Math.ceil(Date.now() / 30_000) * 30;
    const [now, setNow] = useState(round);

    useEffect(() => {
        const timer = window.setInterval(() => setNow(round()), 5000);
        return () => window.clearInterval(timer);
    }, []);
    return now;
}

function Curves(props: { span_s: number; now: number }) {
    const query = `from=${props.now - props.span_s}&to=${props.now}`;
    const series = useResource<{ step: number; points: Point[] }>(`/v1/analytics/series?${query}`);
    const [kept, setKept] = useState(series.value);

    useEffect(() => {
        if (series.value)
            setKept(series.value);
    }, [series.value]);
    const points = kept?.points ?? [], step = kept?.step || 60;
    if (!kept)
        return <Waiting for={series} what="the past" />;
    const times = points.map(p => p.at);
    return (
        <div class="grid">
            <Card><Chart title="Requests" times={times} unit={rate} lines={[
                { name: 'Requests', colour: '--c1', values: points.map(p => p.requests / step) },
                { name: 'Errors', colour: '--c-bad', values: points.map(p => p.errors / step) }]} /></Card>
            <Card><Chart title="Time to answer" times={times} unit={duration} lines={[
                { name: 'p50', colour: '--c1', values: points.map(p => (p.requests ? p.p50_us : null)) },
                { name: 'p99', colour: '--c3', values: points.map(p => (p.requests ? p.p99_us : null)) }]} /></Card>
        </div>
    );
}

export function Analytics() {
    const [span, setSpan] = useState(3600);
    const now = useNow();
    const told = useResource<Told>(`/v1/analytics?from=${now - span}&to=${now}&top=50`);
    const [kept, setKept] = useState(told.value);
    const countries = new Map((kept?.countries?.items ?? []).map(i => [i.name.toUpperCase(), i.requests]));

    useEffect(() => {
        if (told.value)
            setKept(told.value);
    }, [told.value]);
    if (absent(told) || told.problem?.status === 409)
        return <p class="quiet">{told.problem?.message} <code>analytics: {'{}'}</code> in the configuration turns it on.</p>;
    return (
        <>
            <fieldset class="segments right">
                <legend class="hidden">Time that is looked at</legend>
                {SPANS.map(([s, text]) => <button type="button" key={s} aria-pressed={span === s} onClick={() => setSpan(s)}>{text}</button>)}
            </fieldset>
            {!kept && <Waiting for={told} what="the record" />}
            {kept && (
                <>
                    <Card><Sums totals={kept.totals} /></Card>
                    <Curves span_s={span} now={now} />
                    <Card title="Countries" class="spaced ranked">
                        {countries.size ? <div class="map-and-table"><WorldMap of={countries} unit="requests" />
                            <Ranking list={kept.countries} title="Countries" what="Country" name={i => countryName(i.name)} slim /></div>
                            : <p class="quiet">No country is known: <code>analytics: database</code> names a MaxMind database of countries.</p>}
                    </Card>
                    <div class="grid">
                        {LISTS.filter(([key]) => kept[key]).map(([key, title, what]) => (
                            <Card key={key} title={title} class="ranked">
                                <Ranking list={kept[key]} title={title} what={what} name={key === 'threats' ? i => words(i.name) : undefined} />
                            </Card>
                        ))}
                    </div>
                </>
            )}
        </>
    );
}
