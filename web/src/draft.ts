// SPDX-License-Identifier: Apache-2.0
/*
 * draft.ts - the configuration as it is being edited: what the server has, and what we would have.  Kept
 * while other pages are looked at.
 */
import { call, type Fault } from './api';
import { diff, type Json, type Path, put, same } from './pointer';
import { Store } from './store';
import type { PatchStep } from './types';

export interface Draft {
    base: Json;
    tag: string | null;
    now: Json;
    /** Complaints about it, from the last plan. */
    faults: Fault[];
    /** The server's has changed since. */
    overtaken: boolean;
}

export const draft = new Store<Draft | null>(null);

export async function load(): Promise<void> {
    const { value, tag } = await call<Json>('GET', '/v1/config');
    const held = draft.value;

    // An edit that somebody is at is not thrown away because another one was quicker.
    if (held && isDirty(held)) {
        if (held.tag !== tag)
            draft.set({ ...held, overtaken: true });
        return;
    }
    draft.set({ base: value, tag, now: value, faults: [], overtaken: false });
}

export function isDirty(d: Draft): boolean {
    return !same(d.base, d.now);
}

export function edit(path: Path, value: Json | undefined): void {
    const held = draft.value!;

    draft.set({ ...held, now: put(held.now, path, value) ?? {} });
}

export function patchOf(d: Draft): PatchStep[] {
    return diff(d.base, d.now);
}

export async function discard(): Promise<void> {
    draft.set(null);
    await load();
}
