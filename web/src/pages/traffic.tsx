// SPDX-License-Identifier: Apache-2.0
/*
 * traffic.tsx - what goes through right now: rates, errors and their reasons, latency, statuses.
 */
import { useState } from 'preact/hooks';
import { byteRate, count, duration, percent, plural, rate, words } from '../format';
import { inFlight, lastTick, lastTicks, series, type Tick, upstreamRate } from '../live';
import { Card, Meter } from '../parts/basics';
import { Chart, type Line } from '../parts/chart';
import { Table } from '../parts/table';
import { useStore } from '../store';

const SPANS: [number, string][] = [[60, '1 min'], [300, '5 min'], [900, '15 min']];

/* Reasons that are no error. */
const FINE = new Set(['none', 'respond', 'redirect']);

const STATUSES: [string, string][] = [['2xx', '--c-good'], ['3xx', '--c-info'], ['4xx', '--c-warn'], ['5xx', '--c-bad']];

function lines(span_s: number, of: [string, string, (t: Tick) => number][]): [number[], Line[]] {
    let times: number[] = [];
    const made = of.map(([name, colour, pick]) => {
        const [at, values] = series(pick, span_s);
        times = at;
        return { name, colour, values };
    });

    return [times, made];
}

function Headline(props: { tick: Tick }) {
    const { tick } = props;
    const part = tick.errors ? tick.errors / Math.max(tick.errors, tick.rate) : 0;
    const asked = tick.hits + tick.misses;
    const of: [string, string, string][] = [
        ['Requests', rate(tick.rate), ''],
        ['Errors', percent(part), part > 0.01 ? 'bad' : ''],
        ['Half answer within', duration(tick.p50_us), ''],
        ['99 % within', duration(tick.p99_us), ''],
        ['At servers', count(inFlight(tick)), ''],
        ['Connections', count(tick.connections), ''],
        ['From the cache', asked ? percent(tick.hits / asked, 0) : '–', ''],
    ];

    return (
        <dl class="headline">
            {of.map(([name, value, tone]) => <div key={name}><dt>{name}</dt><dd class={tone}>{value}</dd></div>)}
        </dl>
    );
}

function Reasons(props: { span_s: number }) {
    const sums = new Map<string, number>();

    for (const tick of lastTicks(props.span_s))
        for (const [reason, n] of Object.entries(tick.reasons ?? {}).filter(([r]) => !FINE.has(r)))
            sums.set(reason, (sums.get(reason) ?? 0) + n);
    const rows = [...sums].filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]).slice(0, 30);
    const most = rows[0]?.[1] ?? 1;

    return (
        <Table caption="Errors by reason" rows={rows} id={r => r[0]} empty="Nothing was refused and nothing broke off."
            columns={[
                { head: 'Reason', cell: r => words(r[0]), names: true },
                { head: 'Share', cell: r => <Meter part={r[1] / most} tone="bad" label={`${percent(r[1] / most, 0)} of the most frequent`} /> },
                { head: 'Exchanges', cell: r => count(r[1]), number: true },
            ]} />
    );
}

function UpstreamsNow(props: { tick: Tick }) {
    const rows = Object.entries(props.tick.upstreams ?? {});

    return (
        <Table caption="Upstreams now" rows={rows} id={r => r[0]} empty="There are no upstreams." columns={[
            { head: 'Upstream', cell: r => <a href={`#/upstreams/${encodeURIComponent(r[0])}`}>{r[0]}</a>, names: true },
            { head: 'Usable', cell: ([, u]) => <span class={u.usable < u.of ? (u.usable ? 'warn-text' : 'bad-text') : ''}>{u.usable} of {u.of}</span>, number: true },
            { head: 'Rate', cell: r => rate(upstreamRate(r[0])), number: true },
            { head: 'In flight', cell: r => count(r[1].inflight), number: true },
        ]} />
    );
}

export function Traffic() {
    const tick = useStore(lastTick);
    const [span, setSpan] = useState(300);

    if (!tick)
        return <p class="quiet">Waiting for the first numbers …</p>;
    const [times, rates] = lines(span, [['Requests', '--c1', t => t.rate]]);
    const [, latency] = lines(span, [['p50', '--c1', t => t.p50_us], ['p90', '--c2', t => t.p90_us], ['p99', '--c3', t => t.p99_us]]);
    const [, statuses] = lines(span, STATUSES.map(([name, colour]) => [name, colour, t => t.statuses?.[name] ?? 0]));
    const [, errors] = lines(span, [['Errors', '--c-bad', t => t.errors]]);
    const [, traffic] = lines(span, [['To clients', '--c1', t => t.bytes_out], ['From clients', '--c2', t => t.bytes_in]]);
    const [, open] = lines(span, [['Connections', '--c1', t => t.connections], ['At servers', '--c2', inFlight], ['Tunnels', '--c3', t => t.tunnels]]);

    return (
        <>
            <Headline tick={tick} />
            <fieldset class="segments right">
                <legend class="hidden">Time that charts show</legend>
                {SPANS.map(([s, text]) => (
                    <button type="button" key={s} aria-pressed={span === s} onClick={() => setSpan(s)}>{text}</button>
                ))}
            </fieldset>
            <div class="grid">
                <Card><Chart title="Requests" times={times} lines={rates} unit={rate} span_s={span} /></Card>
                <Card><Chart title="Time to answer" times={times} lines={latency} unit={duration} span_s={span} /></Card>
                <Card><Chart title="Statuses" times={times} lines={statuses} unit={rate} span_s={span} stacked /></Card>
                <Card><Chart title="Errors" times={times} lines={errors} unit={rate} span_s={span} /></Card>
                <Card title={`Reasons, last ${plural(span / 60, 'minute')}`}><Reasons span_s={span} /></Card>
                <Card title="Upstreams"><UpstreamsNow tick={tick} /></Card>
                <Card><Chart title="Bytes" times={times} lines={traffic} unit={byteRate} span_s={span} /></Card>
                <Card><Chart title="Open" times={times} lines={open} unit={count} span_s={span} /></Card>
            </div>
        </>
    );
}
