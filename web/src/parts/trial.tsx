// SPDX-License-Identifier: Apache-2.0
/*
 * trial.tsx - a configuration on trial, above every page: how long it still has, how it does, keep or not.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { call, sentence } from '../api';
import { seconds, words } from '../format';
import { useResource } from '../resource';
import type { Trial } from '../types';
import { Action, attempt, Badge, say } from './basics';

const TONES = { too_early: 'quiet', holds: 'good', broken: 'bad' } as const;

function useNow(every_ms: number): number {
    const [now, setNow] = useState(Date.now());

    useEffect(() => {
        const timer = window.setInterval(() => setNow(Date.now()), every_ms);
        return () => window.clearInterval(timer);
    }, [every_ms]);
    return now / 1000;
}

function Banner(props: { trial: Trial; reload: () => void }) {
    const { trial } = props;
    const left = Math.max(0, Math.round(trial.until - useNow(1000)));

    const decide = (what: 'confirm' | 'abort', done: string) => () =>
        attempt(done, () => call('POST', `/v1/trial/${what}`)).then(props.reload);
    return (
        <aside class="notice trial" aria-label="A configuration on trial">
            <p>
                <strong>A new configuration is on trial.</strong>{' '}
                Unless somebody confirms it, the one before returns in <b role="timer">{seconds(left)}</b>.
                {trial.guard && <> Guard: <code>{trial.guard}</code>{' '}
                    <Badge tone={TONES[trial.verdict]}>{words(trial.verdict)}</Badge> {trial.why}</>}
            </p>
            <div class="row">
                <Action right="admin" class="button primary" do={decide('confirm', 'The new configuration stays.')}>Keep it</Action>
                <Action right="admin" class="button" do={decide('abort', 'The configuration before is back.')}>Go back now</Action>
            </div>
        </aside>
    );
}

export function TrialBanner() {
    const [every_ms, setEvery] = useState(20_000);
    const trial = useResource<Trial>('/v1/trial', every_ms, ['trial', 'configuration']);
    const state = trial.value?.state;
    const before = useRef(state);

    useEffect(() => {
        setEvery(state === 'running' ? 2000 : 20_000);
        if (before.current === 'running' && state === 'reverted')
            say(sentence(`The configuration before is back: ${trial.value!.why || 'nobody confirmed the new one'}`), true);
        if (before.current === 'running' && state === 'failed')
            say(sentence(`The configuration on trial is still served: ${trial.value!.why}`), true);
        before.current = state;
    }, [state]);
    return state === 'running' ? <Banner trial={trial.value!} reload={trial.reload} /> : null;
}
