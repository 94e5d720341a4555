// SPDX-License-Identifier: Apache-2.0
/*
 * main.tsx - where the page begins.
 */
import { render } from 'preact';
import { session, whoami } from './api';
import { App } from './app';
import { runLive } from './live';

render(<App />, document.getElementById('app')!);
// A failure is shown by the page: it asks for a token, or says that the stream of events is lost.
void whoami().catch(() => session.set({ ...session.value })).finally(() => void runLive());
