// SPDX-License-Identifier: Apache-2.0
/*
 * format.ts - numbers, times and sizes as people read them.  Always English, times in the viewer's zone.
 */

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const DAY = 86400;
const BLANK = '\u00a0'; /* a number and its unit stay on one line */

function scaled(value: number, step: number, units: string[], gap: string): string {
    let at = 0;

    while (Math.abs(value) >= step && at < units.length - 1) {
        value /= step;
        at++;
    }
    const digits = at === 0 && Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
    const text = value.toFixed(digits).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
    return units[at] ? text + gap + units[at] : text;
}

/** 1234567 -> "1.23 M" */
export function count(value: number | undefined): string {
    if (value === undefined || !Number.isFinite(value))
        return '–';
    return value < 10000 ? plain.format(value) : scaled(value, 1000, ['', 'k', 'M', 'G', 'T'], BLANK);
}

export function rate(value: number | undefined): string {
    if (value === undefined || !Number.isFinite(value))
        return '–';
    return scaled(value, 1000, ['', 'k', 'M'], BLANK) + '/s';
}

export function bytes(value: number | undefined): string {
    if (value === undefined || !Number.isFinite(value))
        return '–';
    return scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], BLANK);
}

export function byteRate(value: number | undefined): string {
    return value === undefined ? '–' : bytes(value) + '/s';
}

/** Microseconds. */
export function duration(us: number | undefined): string {
    if (us === undefined || !Number.isFinite(us))
        return '–';
    if (us < 1e6)
        return scaled(us, 1000, ['µs', 'ms'], BLANK);
    return seconds(us / 1e6);
}

export function seconds(s: number): string {
    if (s < 60)
        return (s < 10 && !Number.isInteger(s) ? s.toFixed(1) : Math.round(s)) + BLANK + 's';
    if (s < 3600)
        return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
    if (s < DAY)
        return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / DAY)} d ${Math.floor((s % DAY) / 3600)} h`;
}

export function percent(part: number, digits = 1): string {
    return Number.isFinite(part) ? `${(part * 100).toFixed(part > 0 && part < 0.0995 ? Math.max(digits, 2) : digits)} %` : '–';
}

/** Unix seconds -> "21 Nov 2026, 23:20:05" */
export function moment(s: number): string {
    return new Date(s * 1000).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric',
        hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

export function clock(s: number): string {
    return new Date(s * 1000).toLocaleTimeString('en-GB', { hour12: false });
}

export function day(s: number): string {
    return new Date(s * 1000).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** "3 min ago", "in 12 d" */
export function ago(s: number, now = Date.now() / 1000): string {
    const away = now - s;

    if (Math.abs(away) < 5)
        return 'just now';
    const [span] = seconds(Math.round(Math.abs(away))).match(/^\S+\s\S+/) ?? [''];
    return away > 0 ? `${span} ago` : `in ${span}`;
}

export function plural(n: number, one: string, many = one + 's'): string {
    return `${count(n)} ${n === 1 ? one : many}`;
}

/** "server_timeout" -> "server timeout" */
export function words(name: string): string {
    return name.replace(/_/g, ' ');
}
