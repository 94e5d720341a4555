// SPDX-License-Identifier: Apache-2.0
/*
 * theme.ts - light or dark: as the system says, unless somebody chose.
 */
import { Store } from './store';

export type Choice = 'system' | 'light' | 'dark';

const KEY = 'maitred.theme';
const system = window.matchMedia('(prefers-color-scheme: dark)');

function chosen(): Choice {
    const kept = localStorage.getItem(KEY);

    return kept === 'light' || kept === 'dark' ? kept : 'system';
}

export const choice = new Store<Choice>(chosen());
/** What is seen. */
export const theme = new Store<'light' | 'dark'>('light');

function apply(): void {
    const seen = choice.value === 'system' ? (system.matches ? 'dark' : 'light') : choice.value;

    document.documentElement.dataset.theme = seen;
    theme.set(seen);
}

export function choose(next: Choice): void {
    localStorage.setItem(KEY, next);
    choice.set(next);
    apply();
}

system.addEventListener('change', apply);
apply();
