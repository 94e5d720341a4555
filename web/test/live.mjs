// SPDX-License-Identifier: Apache-2.0
/*
 * live.mjs - the dashboard as a real maitred serves it.  What runs behind it: tests/e2e/test_dashboard.py.
 */
import { expect } from './browser.mjs';

const PAGES = [['', 'Traffic'], ['exchanges', 'In flight'], ['traces', 'Traces'], ['upstreams', 'Upstreams'], ['routes', 'Routes'],
    ['cache', 'Cache'], ['certificates', 'Certificates'], ['configuration/upstreams/app', 'Configuration'],
    ['revisions', 'Revisions'], ['analytics', 'Analytics'], ['process', 'Process and log']];

export async function live_every_page_shows_what_runs(t) {
    const page = await t.open();
    const there = { '': 'maitred, to the first page', upstreams: 'Drain: ' };

    await t.signIn('token-of-the-admin');
    await page.getByText('Live', { exact: true }).waitFor();
    await page.locator('.headline').waitFor();
    for (const [name, title] of PAGES) {
        await t.go(name, title);
        await page.waitForTimeout(500);
        expect(await page.getByRole('alert').count() === 0, `${title} shows a fault: ${await page.getByRole('alert').allInnerTexts()}`);
        expect(!/undefined|NaN|Asking for|\[object/.test(await page.locator('main').innerText()), `${title}: ${await page.locator('main').innerText()}`);
        await t.accessible(title);
        if (there[name])
            expect(await page.locator(`[aria-label^="${there[name]}"]`).count() > 0, `${title} has no ${there[name]}`);
        await t.shot(`live-${(name || 'traffic').replace(/\//g, '-')}`);
    }
}

export async function live_numbers_move(t) {
    const page = await t.open();
    const rate = page.locator('.headline dd').first();

    await t.signIn('token-of-the-admin');
    await page.waitForFunction(() => parseFloat(document.querySelector('.headline dd')?.textContent ?? '0') > 5);
    expect(/\/s$/.test(await rate.innerText()), 'the rate has no unit');
    await page.getByRole('rowheader', { name: 'app' }).waitFor();
    await t.go('routes', 'Routes');
    await page.getByRole('row').filter({ hasText: 'everything' }).getByText(/[1-9].*\/s/).waitFor();
    await t.go('traces', 'Traces');
    await page.getByRole('rowheader').getByRole('link').first().click();
    await page.getByRole('dialog').getByRole('rowheader').first().waitFor();
}

export async function live_a_drained_server_gets_nothing(t) {
    const page = await t.open();

    await t.signIn('token-of-the-night', '#/upstreams');
    await page.getByRole('button', { name: /^Maintain: / }).first().click();
    await page.getByRole('cell', { name: 'maintenance', exact: true }).waitFor();
}

export async function live_a_change_is_applied_and_rolled_back(t) {
    const page = await t.open();
    const apply = async name => {
        await page.getByRole('button', { name: 'Review and apply' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByText('Go back by itself unless I confirm').click();
        await dialog.getByRole('button', { name, exact: true }).click();
    };

    t.forgiven.push('422');
    await t.signIn('token-of-the-admin', '#/configuration/routes/0');
    await page.getByLabel('path', { exact: true }).fill('/changed');
    await apply('Apply');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect((await fetch(process.env.SITE + '/changed')).status === 418, 'the change is not in force');

    await page.getByText(/Further options/).last().click();
    await page.getByLabel('scheme', { exact: true }).selectOption('https');
    await page.getByLabel('path_regex', { exact: true }).fill('(');
    await page.getByRole('button', { name: 'Review and apply' }).click();
    await page.getByRole('dialog').getByRole('alert').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.faulty').waitFor();
    await page.getByRole('button', { name: 'Discard' }).click();

    await t.go('revisions', 'Revisions');
    await page.getByRole('button', { name: 'Roll back by one' }).click();
    await page.getByRole('button', { name: 'Yes, go on' }).click();
    await t.says('The configuration before is in force again.');
    expect((await fetch(process.env.SITE + '/changed')).status === 200, 'the change is still in force');
    await page.getByText('Rolled back by hand').waitFor();
}

/** The stream tells that something changed; nobody has to reload. */
export async function live_changes_of_others_are_seen(t) {
    const page = await t.open();

    await t.signIn('token-of-the-admin', '#/revisions');
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByRole('row').filter({ hasText: 'The process began' }).waitFor();
    const done = await fetch(`${t.url}/v1/config/process?comment=from+elsewhere`, { method: 'PUT', body: '{"drain":"7s"}',
        headers: { Authorization: 'Bearer token-of-the-admin', 'Content-Type': 'application/json' } });
    expect(done.ok, await done.text());
    await page.getByRole('row').filter({ hasText: 'from elsewhere' }).getByText('in force').waitFor();
    await page.getByRole('button', { name: '2', exact: true }).click();
    await page.getByRole('dialog').locator('.diff ins').getByText('drain: 7s').waitFor();
}

export async function live_a_trial_goes_back_by_itself(t) {
    const page = await t.open();

    await t.signIn('token-of-the-admin', '#/configuration/routes/0');
    await page.getByLabel('path', { exact: true }).fill('/tried');
    await page.getByRole('button', { name: 'Review and apply' }).click();
    await page.getByLabel('Within').fill('3s');
    await page.getByLabel('And if this does not hold').fill('');
    await page.getByRole('button', { name: 'Apply on trial' }).click();
    await page.getByRole('complementary', { name: 'A configuration on trial' }).waitFor();
    expect((await fetch(process.env.SITE + '/tried')).status === 418, 'the change is not on trial');
    await page.getByRole('complementary', { name: 'A configuration on trial' }).waitFor({ state: 'detached' });
    expect((await fetch(process.env.SITE + '/tried')).status === 200, 'the change is still in force');
}
