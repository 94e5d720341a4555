// SPDX-License-Identifier: Apache-2.0
/*
 * app.tsx - the frame around every page: navigation, the state of the connection, what everybody should
 * know (a configuration on trial, faults of the process), and the page itself.
 */
import type { FunctionComponent } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { session, signOut } from './api';
import { type Choice, choice, choose } from './theme';
import { liveState, reconnect } from './live';
import { SignIn } from './pages/signin';
import { Analytics } from './pages/analytics';
import { Cache } from './pages/cache';
import { Certificates } from './pages/certificates';
import { Configuration } from './pages/configuration';
import { Exchanges } from './pages/exchanges';
import { Process } from './pages/process';
import { Revisions } from './pages/revisions';
import { RoutesPage } from './pages/routes';
import { Traces } from './pages/traces';
import { Traffic } from './pages/traffic';
import { Upstreams } from './pages/upstreams';
import { TrialBanner } from './parts/trial';
import { Toasts } from './parts/basics';
import { place } from './router';
import { useStore } from './store';
import { useResource } from './resource';
import type { About } from './types';

interface Page {
    name: string; /* in the hash */
    title: string;
    show: FunctionComponent;
}

const GROUPS: { title: string; pages: Page[] }[] = [
    { title: 'Now', pages: [
        { name: '', title: 'Traffic', show: Traffic },
        { name: 'exchanges', title: 'In flight', show: Exchanges },
        { name: 'traces', title: 'Traces', show: Traces },
    ] },
    { title: 'The house', pages: [
        { name: 'upstreams', title: 'Upstreams', show: Upstreams },
        { name: 'routes', title: 'Routes', show: RoutesPage },
        { name: 'cache', title: 'Cache', show: Cache },
        { name: 'certificates', title: 'Certificates', show: Certificates },
    ] },
    { title: 'Changes', pages: [
        { name: 'configuration', title: 'Configuration', show: Configuration },
        { name: 'revisions', title: 'Revisions', show: Revisions },
    ] },
    { title: 'Record', pages: [
        { name: 'analytics', title: 'Analytics', show: Analytics },
        { name: 'process', title: 'Process and log', show: Process },
    ] },
];
const PAGES = GROUPS.flatMap(g => g.pages);

function Navigation(props: { current: string; open: boolean; close: () => void }) {
    return (
        <nav id="navigation" aria-label="Pages" class={props.open ? 'open' : ''}>
            {GROUPS.map(group => (
                <div key={group.title}>
                    <h2>{group.title}</h2>
                    <ul>
                        {group.pages.map(page => (
                            <li key={page.name}>
                                <a href={`#/${page.name}`} aria-current={page.name === props.current ? 'page' : undefined}
                                    onClick={props.close}>{page.title}</a>
                            </li>
                        ))}
                    </ul>
                </div>
            ))}
        </nav>
    );
}

/** The stream's state; what is old must not look new. */
function Pulse() {
    const { state, why } = useStore(liveState);
    const text = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost' }[state];

    return (
        <span class={`pulse ${state}`} role="status">
            <i aria-hidden="true" />{text}
            {state === 'lost' && why && <span class="why">{why}</span>}
            {state === 'lost' && <button type="button" class="link" onClick={reconnect}>Try now</button>}
        </span>
    );
}

const CHOICES: [Choice, string][] = [['system', 'Auto'], ['light', 'Light'], ['dark', 'Dark']];

function Foot() {
    const chosen = useStore(choice);
    const who = useStore(session);

    return (
        <div class="side-foot">
            <fieldset class="segments">
                <legend class="hidden">Colours</legend>
                {CHOICES.map(([value, text]) => (
                    <button type="button" key={value} aria-pressed={chosen === value} onClick={() => choose(value)}>{text}</button>
                ))}
            </fieldset>
            {who.name && (
                <p class="quiet">
                    {who.name}, may {who.right === 'admin' ? 'do everything' : who.right}
                    {' · '}<button type="button" class="link" onClick={signOut}>Sign out</button>
                </p>
            )}
        </div>
    );
}

function Faults() {
    const about = useResource<About>('/v1', 15_000, ['configuration']);
    const faults = about.value?.faults ?? [];

    return faults.length ? (
        <aside class="notice bad" aria-label="Faults of the process">
            <ul>{faults.map(f => <li key={f}>{f}</li>)}</ul>
        </aside>
    ) : null;
}

export function App() {
    const at = useStore(place);
    const who = useStore(session);
    const [open, setOpen] = useState(false);
    const main = useRef<HTMLElement>(null);
    const first = useRef(true);
    const page = PAGES.find(p => p.name === at.page) ?? PAGES[0];

    useLayoutEffect(() => {
        document.title = `${page.title} · maitred`;
        if (!first.current) {
            main.current?.focus({ preventScroll: true });
            window.scrollTo(0, 0);
        }
        first.current = false;
    }, [page]);
    if (who.asks)
        return <><SignIn /><Toasts /></>;
    return (
        <>
            <a class="skip" href="#main" onClick={e => { e.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
            <div class="frame">
                <header class="side">
                    <div class="brand">
                        <a href="#/" class="wordmark" aria-label="maitred, to the first page"><Mark />maitred</a>
                        <Pulse />
                        <button type="button" class="menu" aria-expanded={open} aria-controls="navigation"
                            onClick={() => setOpen(!open)}>{open ? 'Close' : 'Menu'}</button>
                    </div>
                    <div class={`side-body ${open ? 'open' : ''}`}>
                        <Navigation current={page.name} open={open} close={() => setOpen(false)} />
                        <Foot />
                    </div>
                </header>
                <main id="main" ref={main} tabIndex={-1} aria-labelledby="title">
                    <TrialBanner />
                    <Faults />
                    <h1 id="title">{page.title}</h1>
                    <page.show key={page.name} />
                </main>
            </div>
            <Toasts />
        </>
    );
}

/** A cloche: what is under it is served by somebody else. */
function Mark() {
    return (
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" class="mark">
            <path d="M5 22a11 11 0 0 1 22 0z" />
            <path d="M3 25.5h26" />
            <circle cx="16" cy="8" r="1.9" />
        </svg>
    );
}
