// SPDX-License-Identifier: Apache-2.0
/*
 * worldmap.tsx - a number for each country, as the colour of its square.  The table beside it says the
 * same in words.
 */
import { count } from '../format';
import { WORLD } from './world';

const WIDTH = 24, HEIGHT = 19, COLUMNS = (WORLD[0].length + 1) / 3;
const regions = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });

export function countryName(code: string): string {
    try {
        return regions.of(code.toUpperCase()) ?? code;
    } catch {
        return code; /* "unknown", "private" */
    }
}

/** Squares are coloured by the logarithm: otherwise the first country takes all the light. */
function strength(n: number, most: number): number {
    return n > 0 ? 0.15 + 0.85 * (Math.log1p(n) / Math.log1p(most)) : 0;
}

export function WorldMap(props: { of: Map<string, number>; unit: string }) {
    const most = Math.max(1, ...props.of.values());
    const cells = WORLD.flatMap((row, y) => row.split(' ').map((code, x) => ({ code, x, y })).filter(c => c.code !== '..'));
    const [first] = [...props.of].sort((a, b) => b[1] - a[1]);
    const said = first ? `Map of ${props.unit} by country; most are from ${countryName(first[0])}. The table has all numbers.`
        : `Map of ${props.unit} by country: none is known.`;

    return (
        <svg class="map" viewBox={`0 0 ${COLUMNS * WIDTH} ${WORLD.length * HEIGHT}`} role="img" aria-label={said}>
            {cells.map(({ code, x, y }) => {
                const n = props.of.get(code) ?? 0, part = strength(n, most);
                return (
                    <g key={code} transform={`translate(${x * WIDTH} ${y * HEIGHT})`} class={part > 0.6 ? 'full' : part > 0 ? 'lit' : ''}>
                        <title>{`${countryName(code)}: ${count(n)} ${props.unit}`}</title>
                        <rect width={WIDTH} height={HEIGHT} rx="3.5"
                            style={{ fill: part ? `color-mix(in srgb, var(--c1) ${Math.round(part * 100)}%, var(--line))` : 'var(--line)' }} />
                        <text x={WIDTH / 2} y={HEIGHT / 2 + 3.2} aria-hidden="true">{code}</text>
                    </g>
                );
            })}
        </svg>
    );
}
