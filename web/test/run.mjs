// SPDX-License-Identifier: Apache-2.0
/*
 * run.mjs URL TEST - one test of tests.mjs or live.mjs, or the tour, in a browser of its own; tests/e2e/test_dashboard.py
 * starts it.  SHOTS: a folder for screenshots.
 */
import { Visit } from './browser.mjs';
import * as live from './live.mjs';
import * as mocked from './tests.mjs';
import { tour } from './tour.mjs';

const [url, name] = process.argv.slice(2);
const test = { ...mocked, ...live, tour }[name];
const visit = new Visit(url, process.env.SHOTS);

try {
    await test(visit);
    await visit.close();
} catch (error) {
    console.error(`${name}: ${error.stack ?? error}`);
    await visit.shot?.(`failed-${name}`).catch(() => undefined);
    await visit.browser?.close();
    process.exitCode = 1;
}
