// SPDX-License-Identifier: Apache-2.0
/*
 * tests.mjs - what the dashboard does, against the mock of the admin API (tests/support/admin_mock.py).
 * Each function is a test; names say what holds.
 */
import { expect } from './browser.mjs';

const PAGES = [['', 'Traffic'], ['exchanges', 'In flight'], ['traces', 'Traces'], ['upstreams', 'Upstreams'], ['routes', 'Routes'],
    ['cache', 'Cache'], ['certificates', 'Certificates'], ['configuration', 'Configuration'], ['configuration/routes/0', 'Configuration'],
    ['revisions', 'Revisions'], ['analytics', 'Analytics'], ['process', 'Process and log']];

async function order(t, what, body = {}) {
    const done = await fetch(`${t.url}/mock/${what}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    return done.json();
}

/** Bodies of calls that the page made. */
async function calls(t, method, path) {
    return (await order(t, 'calls')).filter(c => c[0] === method && c[1].split('?')[0] === path);
}

async function settle(page) {
    await page.waitForTimeout(400);
}

async function everyPage(t, options) {
    const faults = [];
    const check = (holds, what) => holds || faults.push(what);

    await t.open(options);
    await t.signIn();
    for (const [name, title] of PAGES) {
        await t.go(name, title);
        await settle(t.page);
        check(await t.page.getByRole('alert').count() === 0, `${title} shows a fault: ${await t.page.getByRole('alert').allInnerTexts()}`);
        await t.accessible(title).catch(e => faults.push(e.message));
        const { scroll, width } = await t.page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: window.innerWidth }));
        check(scroll <= width, `${title} is ${scroll} wide in a window of ${width}`);
        const cut = await t.page.evaluate(() => [...document.querySelectorAll('.table-box')].filter(b => b.scrollWidth > b.clientWidth)
            .map(b => b.querySelector('caption').textContent));
        check(!cut.length, `${title}: a table does not fit: ${cut}`);
        await t.shot(`${options.width ?? 1280}-${options.dark ? 'dark' : 'light'}-${(name || 'traffic').replace(/\//g, '-')}`);
    }
    expect(!faults.length, faults.join('\n'));
}

export const every_page_in_the_light = t => everyPage(t, {});
export const every_page_in_the_dark = t => everyPage(t, { dark: true });
export const every_page_on_a_phone = t => everyPage(t, { width: 360, height: 740 });

export async function asks_for_a_token(t) {
    const page = await t.open();

    t.forgiven.push('401');
    await page.goto(t.url);
    await page.getByLabel('Token').waitFor();
    await t.accessible('the page that asks for a token');
    await t.shot('signin');
    await page.getByLabel('Token').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await t.says('not known to the server');
    expect(await page.evaluate(() => sessionStorage.length) === 0, 'a wrong token is kept');
    await page.getByLabel('Token').fill('pasted-€');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await t.says('No token has such characters: “€”.');
    expect(await page.evaluate(() => sessionStorage.length) === 0, 'what cannot be sent is kept');
    await page.getByLabel('Token').fill('pasted-\u200b');
    await page.keyboard.press('Enter');
    await t.says('cannot even be seen');
    await page.getByLabel('Token').fill('admin-token');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Traffic' }).waitFor();
    expect(await page.evaluate(() => sessionStorage.getItem('maitred.token')) === 'admin-token', 'the token is not kept for the tab');
    expect(await page.evaluate(() => JSON.stringify(localStorage)).then(text => !text.includes('admin-token')), 'the token outlives the tab');
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Traffic' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    expect(await page.evaluate(() => sessionStorage.getItem('maitred.token')) === null, 'the token is still there after signing out');
}

export async function numbers_are_live(t) {
    const page = await t.open();
    const rate = page.locator('.headline dd').first();

    await t.signIn();
    await rate.waitFor();
    const before = await rate.innerText();
    await page.waitForFunction(b => document.querySelector('.headline dd').textContent !== b, before);
    await page.getByRole('img', { name: /^Requests, from .* now .*\/s/ }).waitFor();
    expect(await page.locator('canvas').count() >= 6, 'charts are missing');
    await page.getByText('As numbers').first().click();
    await page.locator('.chart table tbody tr').nth(11).waitFor();
    await t.says('no server');
    expect(await page.getByRole('rowheader', { name: 'none', exact: true }).count() === 0, 'what went well is told as an error');
    await page.getByRole('button', { name: '1 min' }).click();
    await t.says('Reasons, last 1 minute');
}

export async function a_stream_that_breaks_comes_back(t) {
    const page = await t.open();

    await t.signIn();
    await page.getByText('Live', { exact: true }).waitFor();
    await order(t, 'drop');
    await page.getByText('Connection lost').waitFor();
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText('Live', { exact: true }).waitFor();
    t.forgiven.push('503');
    await order(t, 'set', { down: true });
    await order(t, 'drop');
    await page.getByText('The state store is locked.').first().waitFor();
}

async function heap(page) {
    const session = await page.context().newCDPSession(page);

    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    await session.detach();
    return usedSize;
}

/** A day has 86,400 ticks; after 20,000 more, it holds no more than after the first thousand. */
export async function a_page_that_stays_open_does_not_grow(t) {
    const page = await t.open();
    const requests = () => page.evaluate(() => document.querySelectorAll('*').length);

    await order(t, 'set', { past_s: 1500 });
    await t.signIn();
    await page.getByRole('img', { name: /^Requests, from/ }).waitFor();
    await settle(page);
    const before = await heap(page), nodes = await requests();
    await order(t, 'set', { past_s: 0, flood: 20000 });
    await order(t, 'drop');
    await page.getByRole('button', { name: 'Try now' }).click();
    const ends = [19_900, 20_100].map(s => ` to ${new Date(Date.now() + s * 1000).toISOString().slice(11, 14)}`);
    await page.waitForFunction(all => [...document.querySelectorAll('.chart .plot')].some(p =>
        all.some(end => p.getAttribute('aria-label').includes(end))), ends, { timeout: 40_000 });
    await page.waitForTimeout(1500);
    const after = await heap(page);
    expect(after < before + 3e6, `the heap grew from ${before} to ${after} bytes`);
    expect(await requests() < nodes + 50, 'the page has grown');
}

export async function buttons_change_servers(t) {
    const page = await t.open();

    await t.signIn('operate-token', '#/upstreams');
    const row = page.getByRole('row').filter({ hasText: '10.0.0.1:8080' });
    for (const [button, state] of [['Drain', 'draining'], ['Maintain', 'maintenance'], ['Ready', 'up']]) {
        await page.getByRole('button', { name: `${button}: 10.0.0.1:8080` }).click();
        await row.getByText(state, { exact: true }).waitFor();
    }
    await page.getByLabel('Weight of 10.0.0.1:8080').fill('7');
    await row.getByRole('button', { name: 'Set' }).click();
    await t.says('The weight of 10.0.0.1:8080 is 7 now.');
    const bodies = (await calls(t, 'PATCH', '/v1/upstreams/app/servers/10.0.0.1%3A8080')).map(c => JSON.stringify(c[2]));
    expect(bodies.join() === '{"state":"draining"},{"state":"maintenance"},{"state":"ready"},{"weight":7}', `asked for ${bodies}`);

    const app = page.getByRole('region', { name: 'app' });
    await app.getByText('Add a server').click();
    await app.getByLabel('Address').fill('10.0.0.9:80');
    await app.getByRole('button', { name: 'Add', exact: true }).click();
    await app.getByRole('rowheader', { name: '10.0.0.9:80' }).waitFor();
    t.forgiven.push('409');
    await app.getByLabel('Address').fill('10.0.0.9:80');
    await app.getByRole('button', { name: 'Add', exact: true }).click();
    await t.says('is there already.');
    await page.getByRole('button', { name: 'Remove 10.0.0.9:80' }).click();
    await page.getByRole('button', { name: 'Yes, go on' }).click();
    await app.getByRole('rowheader', { name: '10.0.0.9:80' }).waitFor({ state: 'detached' });
}

/** What was asked before the sign-in is refused; word of that may come after it. */
export async function a_late_refusal_does_not_sign_out(t) {
    const page = await t.open();
    let release;
    const signedIn = new Promise(resolve => { release = resolve; });

    await page.route('**/v1/config', async route => {
        if (!(await route.request().allHeaders()).authorization)
            await signedIn;
        await route.continue();
    });
    const refusal = page.waitForResponse(r => r.url().endsWith('/v1/config') && r.status() === 401);
    await t.signIn('admin-token', '#/configuration/process');
    release();
    await (await refusal).finished();
    await page.waitForTimeout(300); /* the page hears of it */
    await page.getByText(/Further options/).first().click();
    await page.getByLabel('drain', { exact: true }).fill('45s');
    expect(await page.getByLabel('Token').count() === 0, 'it asks for a token again');
}

export async function the_keyboard_is_enough(t) {
    const page = await t.open();
    const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
    const tabTo = async (name, key = 'Tab') => {
        for (let i = 0; i < 80; i++) {
            await page.keyboard.press(key);
            if ((await focused()).includes(name))
                return;
        }
        throw new Error(`Tab does not lead to ${name}`);
    };

    await t.signIn();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Traffic' }).waitFor();
    await page.keyboard.press('Tab');
    expect((await focused()).includes('Skip to the content'), 'the first stop is not the way past the navigation');
    await tabTo('Upstreams');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Upstreams' }).waitFor();
    expect(await page.evaluate(() => document.activeElement.id) === 'main', 'focus did not go to the new page');
    await page.getByRole('button', { name: 'Drain: 10.0.0.1:8080' }).waitFor();
    await tabTo('Drain: 10.0.0.1:8080');
    await page.keyboard.press('Space');
    await t.says('finishes what it has');
    expect((await focused()).includes('Drain: 10.0.0.1:8080'), 'focus was lost when the table changed');
    await tabTo('Remove 10.0.0.1:8080');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.evaluate(() => {
        new MutationObserver((_, observer) => {
            if (document.querySelector('dialog'))
                return;
            observer.disconnect();
            window.focusedThen = document.activeElement.getAttribute('aria-label');
        }).observe(document.body, { childList: true, subtree: true });
    });
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const then = await page.evaluate(() => window.focusedThen);
    expect(then === 'Remove 10.0.0.1:8080', `focus went from the dialog to ${then}`);
    expect((await calls(t, 'DELETE', '/v1/upstreams/app/servers/10.0.0.1%3A8080')).length === 0, 'Escape removed the server');
}

export async function a_change_is_planned_tried_and_kept(t) {
    const page = await t.open();

    t.forgiven.push('422');
    await t.signIn('admin-token', '#/configuration/process');
    await page.getByText(/Further options/).first().click();
    await page.getByLabel('drain', { exact: true }).fill('soon');
    await page.getByRole('button', { name: 'Review and apply' }).click();
    await page.getByRole('dialog').getByText('is not a duration').waitFor();
    await page.keyboard.press('Escape');
    await t.says('This does not work yet');
    await t.accessible('a configuration with a fault');
    expect(await page.locator('.faulty').getByText('is not a duration').count() === 1, 'the fault does not stand at its field');
    await page.getByLabel('drain', { exact: true }).fill('45s');
    await page.getByRole('button', { name: 'Review and apply' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Requests that would go another way').waitFor();
    await dialog.getByLabel('Why').fill('slow clients');
    await t.accessible('a plan');
    await t.shot('plan');
    await dialog.getByRole('button', { name: 'Apply on trial' }).click();
    await page.getByRole('complementary', { name: 'A configuration on trial' }).waitFor();
    const [[, path, body]] = await calls(t, 'PATCH', '/v1/config');
    expect(JSON.stringify(body) === '[{"op":"add","path":"/process","value":{"drain":"45s"}}]', `sent ${JSON.stringify(body)}`);
    expect(path === '/v1/config?comment=slow+clients&confirm=60s&guard=errors+%3C+1%25', path);
    await t.shot('trial');
    await page.getByRole('button', { name: 'Keep it' }).click();
    await page.getByRole('complementary', { name: 'A configuration on trial' }).waitFor({ state: 'detached' });
    expect((await calls(t, 'POST', '/v1/trial/confirm')).length === 1, 'it was not confirmed');
}

export async function forms_know_every_kind_of_option(t) {
    const page = await t.open();
    const changed = async () => {
        await page.getByRole('button', { name: 'Review and apply' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByText('Go back by itself unless I confirm').click();
        await dialog.getByRole('button', { name: 'Apply', exact: true }).click();
        await dialog.waitFor({ state: 'detached' });
        return JSON.stringify((await calls(t, 'PATCH', '/v1/config')).at(-1)[2]);
    };

    await t.signIn('admin-token', '#/configuration/upstreams/app');
    await page.getByLabel('balance', { exact: true }).selectOption('hash');
    await page.getByRole('group', { name: 'health' }).getByLabel('path', { exact: true }).fill('/ready');
    const first = await changed();
    expect(first === '[{"op":"replace","path":"/upstreams/app/balance","value":"hash"},'
        + '{"op":"replace","path":"/upstreams/app/health/path","value":"/ready"}]', first);

    await t.go('configuration/routes/0', 'Configuration');
    await page.getByLabel('host', { exact: true }).fill('example.com\nwww.example.com');
    await page.getByRole('button', { name: 'Up compress' }).click();
    const sent = await changed();
    expect(sent === '[{"op":"replace","path":"/routes/0/host","value":["example.com","www.example.com"]},'
        + '{"op":"replace","path":"/routes/0/use/0","value":"compress"},{"op":"replace","path":"/routes/0/use/1","value":{"cache":{"ttl":{"200":"60s"}}}}]', sent);

    await t.go('configuration/upstreams', 'Configuration');
    await page.getByLabel('Name of a new one').fill('blog');
    await page.getByRole('button', { name: 'Add to upstreams' }).click();
    await page.getByText(/Further options/).first().click();
    await page.getByRole('group', { name: 'servers' }).getByRole('button', { name: 'Add to servers' }).click();
    await page.getByText(/Further options/).first().click();
    await page.getByLabel('address', { exact: true }).fill('10.0.7.1:80');
    const added = await changed();
    expect(added === '[{"op":"add","path":"/upstreams/blog","value":{"servers":[{"address":"10.0.7.1:80"}]}}]', added);
}

export async function yaml_can_be_edited(t) {
    const page = await t.open();

    t.forgiven.push('404', '412');
    await t.signIn('admin-token', '#/configuration');
    await page.getByRole('button', { name: 'YAML' }).click();
    const text = page.getByLabel('Configuration as YAML');
    await text.waitFor();
    const before = await text.inputValue();
    expect(before.includes('least_connections') && before.includes('***'), 'the text is not the configuration');
    await text.fill(before + 'process:\n  drain: 50s\n');
    await order(t, 'set', { version: 9 });
    await page.getByRole('button', { name: 'Review and apply' }).click();
    await page.getByRole('button', { name: 'Apply on trial' }).click();
    await t.says('Somebody else has changed the configuration meanwhile');
    await order(t, 'set', { version: 3 });
    await page.getByRole('button', { name: 'Apply on trial' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const sent = await calls(t, 'POST', '/v1/apply');
    expect(sent.length === 2 && sent[1][2].endsWith('drain: 50s\n'), 'the text was not sent');
}

export async function revisions_are_compared_and_restored(t) {
    const page = await t.open();

    await t.signIn('admin-token', '#/revisions');
    await page.getByRole('button', { name: '3', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.locator('.diff ins').getByText('drain: 30s').waitFor();
    expect(await dialog.locator('.diff del').innerText() === "-   drain: 20s\n", 'the line that went is not shown');
    await t.accessible('a comparison');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Restore revision 2' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Apply on trial' }).click();
    await page.getByRole('button', { name: 'Go back now' }).click();
    await t.says('The configuration before is back.');
    await page.getByRole('button', { name: 'Roll back by one' }).click();
    await page.getByRole('button', { name: 'Yes, go on' }).click();
    await t.says('The configuration before is in force again.');
    for (const path of ['/v1/revisions/2/restore', '/v1/trial/abort', '/v1/rollback'])
        expect((await calls(t, 'POST', path)).length === 1, `${path} was not asked for`);
}

export async function caches_are_purged_and_exchanges_cancelled(t) {
    const page = await t.open();

    await t.signIn('operate-token', '#/cache');
    await page.getByLabel('What').selectOption('tag');
    await page.getByLabel('A tag').fill('article-42');
    await page.getByLabel(/Soft/).check();
    await page.getByRole('button', { name: 'Purge', exact: true }).click();
    await t.says('Purged from memory: article-42.');
    await page.getByLabel('What').selectOption('all');
    await page.getByRole('button', { name: 'Purge', exact: true }).click();
    await page.getByRole('button', { name: 'Yes, purge everything' }).click();
    await t.says('Purged from memory: everything.');
    const purged = (await calls(t, 'POST', '/v1/caches/memory/purge')).map(c => JSON.stringify(c[2])).join();
    expect(purged === '{"tag":"article-42","soft":true},{"all":true,"soft":true}', purged);

    await t.go('exchanges', 'In flight');
    await page.getByRole('button', { name: 'Cancel POST /shop/cart of 198.51.100.1' }).click();
    await page.getByText('POST example.com/shop/cart').waitFor({ state: 'detached' });
    expect((await calls(t, 'DELETE', '/v1/exchanges/7001')).length === 1, 'another one was cancelled');

    await t.go('process', 'Process and log');
    await page.getByLabel('Tells').selectOption('debug');
    await t.says('The log tells “debug” and above now.');
}

export async function a_trace_is_told_step_by_step(t) {
    const page = await t.open();

    await t.signIn('read-token', '#/traces');
    await page.getByRole('link', { name: /item\/2$/ }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('has 3 in flight').waitFor();
    await dialog.getByText('site.yaml:20:5').waitFor();
    await t.accessible('a trace');
    await t.shot('trace');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    t.forgiven.push('404');
    await page.getByLabel('Request id or trace id').fill('nobody');
    await page.keyboard.press('Enter');
    await t.says('No trace of `nobody` is kept');
}

export async function who_may_only_read_changes_nothing(t) {
    const page = await t.open();

    await t.signIn('read-token', '#/upstreams');
    expect(await page.getByRole('button', { name: 'Drain: 10.0.0.1:8080' }).isDisabled(), 'draining is offered');
    expect(await page.getByLabel('Weight of 10.0.0.1:8080').isDisabled(), 'a weight is offered');
    expect(await page.getByText('Add a server').count() === 0, 'adding is offered');
    await t.go('configuration/upstreams/app', 'Configuration');
    expect(await page.getByLabel('balance', { exact: true }).isDisabled(), 'a form is offered');
    await t.go('cache', 'Cache');
    expect(await page.getByRole('button', { name: 'Purge', exact: true }).count() === 0, 'purging is offered');
    expect((await order(t, 'calls')).length === 0, 'something was changed');
}

export async function trouble_is_told_in_sentences(t) {
    const page = await t.open();

    t.forgiven.push('503');
    await t.signIn('admin-token', '#/upstreams');
    await page.getByText('10.0.0.1:8080').first().waitFor();
    await order(t, 'set', { down: true });
    await page.getByRole('alert').getByText('The state store is locked.').waitFor();
    expect(await page.getByText('10.0.0.1:8080').count() > 0, 'what was known is gone');
    await order(t, 'set', { down: false, faults: ['the state directory is read-only: changes are refused'] });
    await page.getByRole('alert').waitFor({ state: 'detached' });
    await page.reload();
    await page.getByRole('complementary', { name: 'Faults of the process' }).getByText('read-only').waitFor();
}

const EVIL = '"><img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

export async function what_clients_send_stays_text(t) {
    const page = await t.open();

    await order(t, 'set', { exchanges: [{ id: 1, request_id: EVIL, method: 'GET', host: EVIL, target: '/' + EVIL, client: EVIL, route: EVIL, server: EVIL,
        state: EVIL, status: 0, version: 11, age_us: 1, request_bytes: 0, response_bytes: 0 }], faults: [EVIL] });
    await t.signIn('admin-token', '#/exchanges');
    await page.getByText('onerror').first().waitFor();
    await settle(page);
    expect(await page.title() === 'In flight · maitred', 'a name was run');
    expect(await page.locator('main img').count() === 0, 'a name became an element');
}

export async function colours_can_be_chosen(t) {
    const page = await t.open();
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);

    await t.signIn();
    expect(await theme() === 'light', 'it does not look as the system says');
    await page.getByRole('button', { name: 'Dark' }).click();
    expect(await theme() === 'dark', 'the choice does nothing');
    await page.reload();
    await page.getByRole('heading', { level: 1 }).waitFor();
    expect(await theme() === 'dark', 'the choice is forgotten');
    await page.getByRole('button', { name: 'Auto' }).click();
    expect(await theme() === 'light', 'it does not follow the system again');
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.waitForFunction(() => document.documentElement.dataset.theme === 'dark');
}

export async function a_phone_has_a_menu(t) {
    const page = await t.open({ width: 360, height: 740 });

    await t.signIn();
    expect(!await page.getByRole('link', { name: 'Upstreams' }).first().isVisible(), 'the navigation covers the page');
    await page.getByRole('button', { name: 'Menu' }).click();
    await t.accessible('the menu');
    await t.shot('phone-menu');
    await page.getByRole('link', { name: 'Upstreams' }).first().click();
    await page.getByRole('heading', { level: 1, name: 'Upstreams' }).waitFor();
    expect(!await page.getByRole('link', { name: 'Traffic' }).first().isVisible(), 'the menu stays open');
    await page.getByRole('button', { name: 'Drain: 10.0.0.1:8080' }).click();
    await t.says('finishes what it has');
}
