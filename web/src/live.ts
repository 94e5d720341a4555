// SPDX-License-Identifier: Apache-2.0
/*
 * live.ts - the stream of events: one tick a second, and word of changes.
 *
 * Read with fetch, because an EventSource cannot send a token.  A connection that breaks, or is silent
 * longer than the server ever is, is made again, with longer and longer pauses.  Memory: SERIES_MAX ticks
 * and nothing else, however long the page is open.
 */
import { generation, Problem, send, session } from './api';
import { Store } from './store';

export const SERIES_MAX = 900; /* seconds that charts can show */
const SILENCE_MS = 40_000;     /* the server comments every 15 s */
const TOGETHER_MS = 50;
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;
const LINE_MAX = 1 << 20;      /* characters of one event */

/** Of the second before `at`, but for `requests`, which counts since the process began. */
export interface Tick {
    at: number;
    requests: number;
    rate: number;
    errors: number;
    p50_us: number;
    p90_us: number;
    p99_us: number;
    bytes_in: number;
    bytes_out: number;
    connections: number;
    tunnels: number;
    hits: number;
    misses: number;
    statuses: Record<string, number>;
    reasons: Record<string, number>;
    /** exchanges: since the process began. */
    upstreams: Record<string, { usable: number; of: number; exchanges: number; inflight: number }>;
}

export interface Change {
    what: string;
    [detail: string]: unknown;
}

/** We have changed the configuration ourselves: the stream may be late, or lost. */
export function noteChange(): void {
    changes.set({ what: 'configuration' });
}

export type LiveState = 'connecting' | 'live' | 'lost';

export const liveState = new Store<{ state: LiveState; why: string }>({ state: 'connecting', why: '' });
export const lastTick = new Store<Tick | null>(null);
export const changes = new Store<Change>({ what: '' });

/** The ticks of the last SERIES_MAX seconds, oldest first; null is a gap. */
const ticks: (Tick | null)[] = [];
let times: number[] = [];

export function series(pick: (tick: Tick) => number, last_s: number): [number[], (number | null)[]] {
    const from = Math.max(0, ticks.length - last_s);

    return [times.slice(from), ticks.slice(from).map(tick => (tick ? pick(tick) : null))];
}

/** How many exchanges with servers are under way. */
export function inFlight(tick: Tick): number {
    return Object.values(tick.upstreams ?? {}).reduce((n, u) => n + u.inflight, 0);
}

/** Exchanges a second of an upstream. */
export function upstreamRate(name: string): number | undefined {
    const [before, now] = lastTicks(2);
    const a = before?.upstreams?.[name], b = now?.upstreams?.[name];

    return a && b && now.at > before.at ? Math.max(0, b.exchanges - a.exchanges) / (now.at - before.at) : undefined;
}

export function lastTicks(last_s: number): Tick[] {
    return ticks.slice(Math.max(0, ticks.length - last_s)).filter((t): t is Tick => t !== null);
}

function keep(at: number, tick: Tick | null): void {
    ticks.push(tick);
    times.push(at);
    if (ticks.length > SERIES_MAX) {
        ticks.shift();
        times.shift();
    }
}

function onTick(tick: Tick): void {
    const before = times[times.length - 1];

    if (before !== undefined && tick.at <= before) {
        if (tick.at > before - 2)
            return;
        ticks.length = times.length = 0; /* the server's clock was set back */
    } else if (before !== undefined && tick.at > before + 5)
        keep(before + 1, null);
    keep(tick.at, tick);
    show(tick);
}

let latest: Tick | null = null;
let showing = 0; /* timer */

/** Those that come all at once, after a pause, are drawn together. */
function show(tick: Tick): void {
    latest = tick;
    showing ||= window.setTimeout(() => {
        showing = 0;
        lastTick.set(latest);
    }, TOGETHER_MS);
}

function onEvent(name: string, data: string): void {
    try {
        if (name === 'tick')
            onTick(JSON.parse(data) as Tick);
        else if (name === 'change')
            changes.set(JSON.parse(data) as Change);
    } catch {
        /* One event that is not understood must not end the stream. */
    }
}

/** Server-sent events, as far as we use them: "event:" and "data:" lines, a blank line ends one. */
export class EventReader {
    private rest = '';
    private name = '';
    private data: string[] = [];

    constructor(private readonly give: (name: string, data: string) => void) {}

    push(text: string): void {
        const lines = (this.rest + text).split('\n');

        this.rest = lines.pop() ?? '';
        if (this.rest.length > LINE_MAX)
            throw new Problem(0, 'Fault', 'the stream of events has a line without end');
        for (const line of lines)
            this.line(line.endsWith('\r') ? line.slice(0, -1) : line);
    }

    private line(line: string): void {
        if (line === '') {
            if (this.data.length)
                this.give(this.name || 'message', this.data.join('\n'));
            this.name = '';
            this.data = [];
            return;
        }
        const colon = line.indexOf(':');
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');

        if (field === 'event')
            this.name = value;
        else if (field === 'data' && this.data.length < 1000)
            this.data.push(value);
    }
}

async function listen(signal: AbortController): Promise<void> {
    const response = await send('/v1/events', { headers: { Accept: 'text/event-stream' }, signal: signal.signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const events = new EventReader(onEvent);
    let watchdog = 0;

    // What changed while nobody listened is not known: everybody looks again.
    if (times.length)
        changes.set({ what: 'reconnected' });
    liveState.set({ state: 'live', why: '' });
    try {
        for (;;) {
            watchdog = window.setTimeout(() => signal.abort(), SILENCE_MS);
            const { done, value } = await reader.read();
            window.clearTimeout(watchdog);
            if (done)
                return;
            events.push(value);
        }
    } finally {
        window.clearTimeout(watchdog);
    }
}

function sleep(ms: number, wake: AbortSignal): Promise<void> {
    return new Promise(resolve => {
        const timer = window.setTimeout(resolve, ms);
        wake.addEventListener('abort', () => {
            window.clearTimeout(timer);
            resolve();
        }, { once: true });
    });
}

let wakeUp: AbortController | null = null;

/** Now, not when the pause is over. */
export function reconnect(): void {
    wakeUp?.abort();
}

/** Runs as long as the page does. */
export async function runLive(): Promise<void> {
    let pause = PAUSE_MIN_MS;

    generation.watch(reconnect);
    window.addEventListener('online', reconnect);
    for (;;) {
        const began = Date.now();
        let why = '';

        if (!session.value.asks)
            await listen(new AbortController()).catch(error => { why = (error as Problem).status ? (error as Problem).message : ''; });
        // A stream that lived for a while was no failure: begin with short pauses again.
        pause = Date.now() - began > 10_000 ? PAUSE_MIN_MS : Math.min(pause * 1.7, PAUSE_MAX_MS);
        const wait = pause * (0.7 + 0.6 * Math.random());
        liveState.set({ state: 'lost', why });
        wakeUp = new AbortController();
        await sleep(wait, wakeUp.signal);
        liveState.set({ state: 'connecting', why: '' });
    }
}
