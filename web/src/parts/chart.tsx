// SPDX-License-Identifier: Apache-2.0
/*
 * chart.tsx - a chart over time (uPlot), with its legend in text and, on demand, its numbers in a table.
 *
 * The canvas itself says nothing to a screen reader: the figure's description does, in a sentence.
 */
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { clock, moment } from '../format';
import { useStore } from '../store';
import { theme } from '../theme';

export interface Line {
    name: string;
    colour: string; /* of a custom property: "--c1" */
    values: (number | null)[];
}

interface Props {
    title: string;
    times: number[];
    lines: Line[];
    unit: (value: number | undefined) => string;
    /** Lines are parts of a whole: areas on top of each other. */
    stacked?: boolean;
    height?: number;
    /** The present: the axis is not scaled to a handful of points. */
    span_s?: number;
}

const LEAST_S = 60;

type Points = (number | null)[];

/** Each line becomes the sum of itself and those before it; drawn in reverse, so that all are seen. */
function stack(lines: Line[]): Points[] {
    const sums: Points[] = [];

    lines.forEach((line, i) => {
        sums.push(line.values.map((v, at) => (v === null ? null : v + (i ? sums[i - 1][at] ?? 0 : 0))));
    });
    return sums;
}

function styleOf(name: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || '#888888';
}

/** Opaque, so that an area does not take the colour of those behind it. */
function mixed(colour: string, ground: string, part: number): string {
    const channel = (text: string, at: number) => parseInt(text.slice(1 + 2 * at, 3 + 2 * at), 16);

    return '#' + [0, 1, 2].map(at => Math.round(channel(colour, at) * part + channel(ground, at) * (1 - part))
        .toString(16).padStart(2, '0')).join('');
}

function optionsOf(props: Props, width: number): uPlot.Options {
    const card = styleOf('--card'), ink = styleOf('--muted'), grid = { stroke: styleOf('--line'), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    const ordered = props.stacked ? [...props.lines].reverse() : props.lines;

    return {
        width, height: props.height ?? 180,
        padding: [8, 18, 0, 0],
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        legend: { show: false },
        scales: {
            x: { time: true, range: props.span_s ? (_u, min, max) => [Math.min(min, max - LEAST_S), max] : undefined },
            y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.12 : 1] },
        },
        axes: [
            { ...axis, size: 26, values: [[86400, '{D} {MMM}', null, null, null, null, null, null, 1],
                [3600, '{HH}:{mm}', null, null, null, null, null, null, 1], [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
                [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1]] as uPlot.Axis.Values },
            { ...axis, size: 62, values: (_u, at) => at.map(v => props.unit(v)) },
        ],
        series: [{}, ...ordered.map(line => {
            const colour = styleOf(line.colour);
            return { label: line.name, stroke: colour, width: 1.6, points: { show: false },
                fill: props.stacked || props.lines.length === 1 ? mixed(colour, card, props.stacked ? 0.4 : 0.13) : undefined };
        })],
    };
}

function dataOf(props: Props): uPlot.AlignedData {
    const values = props.stacked ? stack(props.lines).reverse() : props.lines.map(l => l.values);

    return [props.times, ...values] as uPlot.AlignedData;
}

function last(values: Points): number | undefined {
    for (let i = values.length - 1; i >= 0; i--)
        if (values[i] !== null)
            return values[i]!;
    return undefined;
}

function describe(props: Props): string {
    const { times, lines, unit } = props;

    if (!times.length)
        return `${props.title}: nothing yet.`;
    const parts = lines.map(line => {
        const known = line.values.filter((v): v is number => v !== null);
        return known.length ? `${line.name} now ${unit(last(known))}, between ${unit(Math.min(...known))} and ${unit(Math.max(...known))}`
            : `${line.name} unknown`;
    });
    return `${props.title}, from ${clock(times[0])} to ${clock(times[times.length - 1])}: ${parts.join('; ')}.`;
}

const ROWS = 12;

function Numbers(props: Props) {
    const { times } = props;
    const step = Math.max(1, Math.floor(times.length / ROWS));
    const at = times.map((_, i) => i).filter(i => (times.length - 1 - i) % step === 0).slice(-ROWS);

    return (
        <table class="small">
            <caption class="hidden">{props.title}</caption>
            <thead><tr><th scope="col">Time</th>{props.lines.map(l => <th scope="col" class="number" key={l.name}>{l.name}</th>)}</tr></thead>
            <tbody>
                {at.map(i => (
                    <tr key={times[i]}>
                        <th scope="row">{times[times.length - 1] - times[0] > 86400 ? moment(times[i]) : clock(times[i])}</th>
                        {props.lines.map(l => <td class="number" key={l.name}>{props.unit(l.values[i] ?? undefined)}</td>)}
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

export function Chart(props: Props) {
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | null>(null);
    const latest = useRef(props);
    const look = useStore(theme);
    const id = useId();
    const [open, setOpen] = useState(false);
    const names = props.lines.map(l => l.name + l.colour).join();
    const said = useMemo(() => describe(props), [Math.floor((props.times[props.times.length - 1] ?? 0) / 10), names]);

    latest.current = props;
    useEffect(() => {
        const element = box.current!;
        const width = () => Math.max(120, Math.floor(element.clientWidth));
        const made = new uPlot(optionsOf(latest.current, width()), dataOf(latest.current), element);
        const watch = new ResizeObserver(() => made.setSize({ width: width(), height: latest.current.height ?? 180 }));

        plot.current = made;
        watch.observe(element);
        return () => {
            watch.disconnect();
            made.destroy();
            plot.current = null;
        };
    }, [names, look, props.stacked, props.span_s]);
    useEffect(() => plot.current?.setData(dataOf(props)), [props.times, names]);

    return (
        <figure class="chart" aria-labelledby={id}>
            <figcaption id={id}>{props.title}</figcaption>
            <ul class="legend">
                {props.lines.map(l => (
                    <li key={l.name}>
                        <span class="swatch" style={{ background: `var(${l.colour})` }} aria-hidden="true" />
                        {l.name} <b>{props.unit(last(l.values))}</b>
                    </li>
                ))}
            </ul>
            <div class="plot" ref={box} role="img" aria-label={said} />
            <details open={open} onToggle={e => setOpen((e.currentTarget as HTMLDetailsElement).open)}>
                <summary>As numbers<span class="hidden"> of {props.title}</span></summary>
                {open && <Numbers {...props} />}
            </details>
        </figure>
    );
}
