// SPDX-License-Identifier: Apache-2.0
/*
 * store.ts - a value that components watch.  The whole of the page's state outside components.
 */
import { useEffect, useState } from 'preact/hooks';

export class Store<T> {
    private watchers = new Set<() => void>();

    constructor(private current: T) {}

    get value(): T {
        return this.current;
    }

    set(value: T): void {
        if (Object.is(value, this.current))
            return;
        this.current = value;
        for (const watcher of [...this.watchers])
            watcher();
    }

    watch(watcher: () => void): () => void {
        this.watchers.add(watcher);
        return () => this.watchers.delete(watcher);
    }
}

export function useStore<T>(store: Store<T>): T {
    const [value, setValue] = useState(store.value);

    useEffect(() => {
        setValue(store.value);
        return store.watch(() => setValue(store.value));
    }, [store]);
    return value;
}
