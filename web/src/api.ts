// SPDX-License-Identifier: Apache-2.0
/*
 * api.ts - the only door to the server: the admin API, same origin, with the token of this session.
 *
 * A failure is a Problem, whose message is a sentence for people (RFC 9457).  401 puts the page into the
 * state in which it asks for a token; whoever waited gets the Problem all the same.
 */
import { Store } from './store';

export type Right = 'read' | 'operate' | 'admin';

export interface Fault {
    pointer?: string;
    file?: string;
    line?: number;
    column?: number;
    detail: string;
    hint?: string;
}

export class Problem extends Error {
    constructor(readonly status: number, readonly title: string, detail: string, readonly faults: Fault[] = []) {
        super(sentence(detail || title));
    }
}

export interface Session {
    /** The API wants a token that we do not have. */
    asks: boolean;
    /** Why it asks again, a sentence. */
    why: string;
    name: string;
    right: Right;
}

const KEY = 'maitred.token';
const RANKS: Right[] = ['read', 'operate', 'admin'];

export const session = new Store<Session>({ asks: false, why: '', name: '', right: 'read' });
/** Counts sign-ins: what was asked before one is asked again. */
export const generation = new Store(0);

export function may(who: Session, right: Right): boolean {
    return RANKS.indexOf(who.right) >= RANKS.indexOf(right);
}

export function token(): string | null {
    return sessionStorage.getItem(KEY);
}

/** "no such server" -> "No such server." */
export function sentence(text: string): string {
    const trimmed = text.trim();

    if (!trimmed)
        return '';
    return trimmed[0].toUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? '' : '.');
}

export interface Call {
    body?: unknown;
    /** Of the body; a body that is no string is sent as JSON. */
    type?: string;
    accept?: string;
    match?: string;
    signal?: AbortSignal;
}

export interface Answer<T> {
    value: T;
    tag: string | null;
    status: number;
}

async function problemOf(response: Response): Promise<Problem> {
    const text = await response.text().catch(() => '');

    try {
        const told = JSON.parse(text);
        return new Problem(response.status, told.title ?? '', told.detail ?? '', told.errors ?? []);
    } catch {
        return new Problem(response.status, response.statusText,
            `the server answered ${response.status} ${response.statusText}`);
    }
}

/** Notes that a token is wanted. */
function wanted(): void {
    const why = token() ? 'This token is not known to the server (any more).' : '';

    session.set({ ...session.value, asks: true, why });
}

export async function send(path: string, options: RequestInit): Promise<Response> {
    const held = token();
    let response: Response;

    try {
        response = await fetch(path, {
            cache: 'no-store', credentials: 'same-origin', redirect: 'error', ...options,
            headers: { ...(held && { Authorization: `Bearer ${held}` }), ...options.headers as Record<string, string> },
        });
    } catch (error) {
        if ((error as Error).name === 'AbortError')
            throw error;
        throw new Problem(0, 'Not reachable', 'The server cannot be reached. It is asked again by itself.');
    }
    if (response.ok)
        return response;
    // One that comes late may be about a token that is not ours any more.
    if (response.status === 401 && held === token())
        wanted();
    throw await problemOf(response);
}

export async function call<T>(method: string, path: string, options: Call = {}): Promise<Answer<T>> {
    const headers: Record<string, string> = { Accept: options.accept ?? 'application/json' };
    let body: string | undefined;

    if (options.body !== undefined) {
        body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
        headers['Content-Type'] = options.type ?? 'application/json';
    }
    if (options.match)
        headers['If-Match'] = options.match;
    const response = await send(path, { method, headers, body, signal: options.signal });
    const text = await response.text();
    const json = /json/.test(response.headers.get('Content-Type') ?? '');

    return { value: (json && text ? JSON.parse(text) : text) as T, tag: response.headers.get('ETag'),
        status: response.status };
}

/** Who we are; the page asks for a token when that fails with 401. */
export async function whoami(): Promise<void> {
    const { value } = await call<{ name: string; right: Right }>('GET', '/v1/whoami');

    session.set({ asks: false, why: '', name: value.name, right: value.right });
}

/** The first character that a field of a request cannot hold: fetch() refuses it before it asks anybody. */
function misfit(given: string): string | undefined {
    return [...given].find(letter => !/[\t\x20-\x7e\x80-\xff]/.test(letter));
}

export async function signIn(given: string): Promise<void> {
    const wrong = misfit(given);

    if (wrong !== undefined)
        throw new Problem(0, 'Not a token', /\p{C}/u.test(wrong)
            ? 'No token has such characters: one of them cannot even be seen.'
            : `No token has such characters: “${wrong}”.`);
    sessionStorage.setItem(KEY, given);
    try {
        await whoami();
    } catch (error) {
        if ((error as Problem).status === 401)
            sessionStorage.removeItem(KEY);
        throw error;
    }
    generation.set(generation.value + 1);
}

export function signOut(): void {
    sessionStorage.removeItem(KEY);
    session.set({ asks: true, why: '', name: '', right: 'read' });
}

/** "/v1/upstreams/" + segment("10.0.0.1:80") */
export function segment(text: string | number): string {
    return encodeURIComponent(String(text));
}
