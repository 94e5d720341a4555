// SPDX-License-Identifier: Apache-2.0
/*
 * tour.mjs - takes the pictures of docs/guide/dashboard.md, of the mock's house: SHOTS=docs/dashboard.
 */
export async function tour(t) {
    const page = await t.open({ width: 1180, height: 800 });
    const shown = async (name, title, wait = 900) => {
        await t.go(name, title);
        await page.waitForTimeout(wait);
    };

    await t.signIn();
    await page.waitForTimeout(1500);
    await t.shot('traffic');
    await shown('configuration/process', 'Configuration');
    await page.getByText(/Further options/).first().click();
    await page.getByLabel('drain', { exact: true }).fill('45s');
    await page.getByRole('button', { name: 'Review and apply' }).click();
    await page.getByRole('dialog').getByText('Requests that would go another way').waitFor();
    await t.shot('plan');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Discard' }).click();
    await page.getByRole('button', { name: 'Dismiss this message' }).click();
    await page.getByRole('button', { name: 'Dark' }).click();
    await shown('upstreams', 'Upstreams');
    await t.shot('upstreams-dark');
    await page.setViewportSize({ width: 1180, height: 960 });
    await shown('analytics', 'Analytics', 1500);
    await t.shot('analytics-dark');
    await page.getByRole('button', { name: 'Light' }).click();
    await page.setViewportSize({ width: 360, height: 740 });
    await shown('upstreams', 'Upstreams');
    await t.shot('phone');
}
