// SPDX-License-Identifier: Apache-2.0
/*
 * pointer.ts - JSON Pointers (RFC 6901), values changed without changing them, and the JSON Patch
 * (RFC 6902) that leads from one value to another.
 */
import type { PatchStep } from './types';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Path = (string | number)[];

export function escape(part: string | number): string {
    return String(part).replace(/~/g, '~0').replace(/\//g, '~1');
}

export function pointer(path: Path): string {
    return path.map(part => '/' + escape(part)).join('');
}

export function parse(text: string): string[] {
    return text.split('/').slice(1).map(part => part.replace(/~1/g, '/').replace(/~0/g, '~'));
}

export function isObject(value: unknown): value is { [key: string]: Json } {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where there is one item without a list around it, "0" is that item. */
export function get(value: Json | undefined, path: Path): Json | undefined {
    let at = value;

    for (const part of path) {
        if (Array.isArray(at))
            at = at[Number(part)];
        else if (isObject(at) && Object.hasOwn(at, part))
            at = at[part];
        else if (Number(part) !== 0 || at === undefined || at === null)
            return undefined;
    }
    return at;
}

/** A copy with that value there; undefined removes it. */
export function put(value: Json | undefined, path: Path, to: Json | undefined): Json | undefined {
    if (!path.length)
        return to;
    const [part, ...rest] = path;
    const below = put(get(value, [part]), rest, to);

    // A single item stays one as long as it is the only one.
    if (part === 0 && value !== undefined && !Array.isArray(value))
        return below;
    if (Array.isArray(value) || typeof part === 'number') {
        const list = Array.isArray(value) ? [...value] : value === undefined ? [] : [value];
        if (below === undefined)
            list.splice(Number(part), 1);
        else
            list[Number(part)] = below;
        return list;
    }
    const object = isObject(value) ? { ...value } : {};
    if (below === undefined)
        delete object[part];
    else
        object[part] = below;
    return object;
}

export function same(a: Json | undefined, b: Json | undefined): boolean {
    return JSON.stringify(a) === JSON.stringify(b);
}

export function diff(a: Json | undefined, b: Json | undefined, at = ''): PatchStep[] {
    if (same(a, b))
        return [];
    if (isObject(a) && isObject(b)) {
        const steps: PatchStep[] = [];
        for (const key of Object.keys(a))
            if (!Object.hasOwn(b, key))
                steps.push({ op: 'remove', path: `${at}/${escape(key)}` });
        for (const key of Object.keys(b))
            steps.push(...(Object.hasOwn(a, key) ? diff(a[key], b[key], `${at}/${escape(key)}`)
                : [{ op: 'add', path: `${at}/${escape(key)}`, value: b[key] }]));
        return steps;
    }
    if (Array.isArray(a) && Array.isArray(b) && a.length === b.length)
        return a.flatMap((item, i) => diff(item, b[i], `${at}/${i}`));
    return [{ op: 'replace', path: at, value: b }];
}

/**
 * The path of the value that stands at an offset of a JSON text: that of the innermost value around it, or
 * of the member whose key it is.
 */
export function pathAt(text: string, offset: number): Path {
    const TOKEN = /"(?:\\.|[^"\\])*"|[{}[\],]|[^\s{}[\],":]+/y;
    const open: { list: boolean; part: string | number }[] = [];
    let found: Path = [];
    let key = true; /* the next string of the innermost object is a key */

    for (let at = 0; at < text.length;) {
        TOKEN.lastIndex = at;
        const match = TOKEN.exec(text);
        if (!match) {
            at++; /* blanks, a colon */
            continue;
        }
        const [token] = match, inner = open[open.length - 1];
        at = TOKEN.lastIndex;
        if (token[0] === '"' && inner && !inner.list && key) {
            inner.part = JSON.parse(token);
            key = false;
        }
        if (match.index <= offset)
            found = open.map(o => o.part);
        if (at > offset)
            return found;
        if (token === '{' || token === '[') {
            open.push({ list: token === '[', part: token === '[' ? 0 : '' });
            key = true;
        } else if (token === '}' || token === ']')
            open.pop();
        else if (token === ',' && inner) {
            key = !inner.list;
            if (inner.list)
                (inner.part as number)++;
        }
    }
    return found;
}
