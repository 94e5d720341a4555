// SPDX-License-Identifier: Apache-2.0
/*
 * router.ts - which page is shown: "#/upstreams", "#/configuration/routes/0?x=1".  Behind a hash, because the
 * server has one document.
 */
import { Store } from './store';

export interface Place {
    page: string;
    rest: string; /* what follows the page, with its leading "/", or empty */
    query: URLSearchParams;
}

function read(): Place {
    const [path, query = ''] = location.hash.replace(/^#/, '').split('?');
    const [, page = '', ...rest] = path.split('/');

    return { page, rest: rest.length ? '/' + rest.join('/') : '', query: new URLSearchParams(query) };
}

export const place = new Store<Place>(read());

window.addEventListener('hashchange', () => place.set(read()));

export function go(hash: string): void {
    location.hash = hash;
}
