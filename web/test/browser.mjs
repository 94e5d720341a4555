// SPDX-License-Identifier: Apache-2.0
/*
 * browser.mjs - Debian's Chromium, and what must hold on every page of every test: no request to another
 * host, no violation of the content security policy, nothing on the console.
 */
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const PATIENCE_MS = process.env.MAITRED_SLOW ? 60_000 : 20_000;

export class Failure extends Error {}

export function expect(holds, what) {
    if (!holds)
        throw new Failure(what);
}

export class Visit {
    constructor(url, shots) {
        this.url = url;
        this.shots = shots;
        this.complaints = [];
        /* Answers that a test provokes, which Chromium writes on the console. */
        this.forgiven = [];
    }

    async open({ width = 1280, height = 900, dark = false } = {}) {
        this.browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
        this.context = await this.browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light',
            reducedMotion: 'reduce', timezoneId: 'UTC', locale: 'en-GB' });
        this.page = await this.context.newPage();
        this.page.setDefaultTimeout(PATIENCE_MS);
        const { page } = this;
        page.on('request', r => {
            if (!r.url().startsWith(this.url + '/') && !r.url().startsWith('data:'))
                this.complaints.push(`a request to another host: ${r.url()}`);
        });
        page.on('pageerror', e => this.complaints.push(`an exception: ${e.message}`));
        page.on('console', m => {
            const untried = m.text().includes('404') && m.location().url.endsWith('/v1/trial'); /* nothing is on trial */
            if (['error', 'warning'].includes(m.type()) && !untried && !this.forgiven.some(f => m.text().includes(f)))
                this.complaints.push(`on the console: ${m.text()}`);
        });
        return page;
    }

    async signIn(token = 'admin-token', hash = '') {
        this.forgiven.push('401');
        await this.page.goto(`${this.url}/${hash}`);
        await this.page.getByLabel('Token').fill(token);
        await this.page.getByRole('button', { name: 'Sign in' }).click();
        await this.page.getByRole('button', { name: 'Sign in' }).waitFor({ state: 'detached' });
        await this.page.getByRole('heading', { level: 1 }).waitFor();
    }

    async go(name, title) {
        await this.page.evaluate(n => { location.hash = `#/${n}`; }, name);
        await this.page.getByRole('heading', { level: 1, name: title }).waitFor();
    }

    /** WCAG 2.2 A and AA, and axe's best practices. */
    async accessible(where) {
        if (!await this.page.evaluate(() => 'axe' in window))
            await this.page.evaluate(await (await import('node:fs/promises')).readFile(AXE, 'utf8'));
        const { violations } = await this.page.evaluate(() => window.axe.run(document, {
            runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
        expect(!violations.length, `${where}: ${violations.map(v =>
            `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`).join('\n')}`);
    }

    async shot(name) {
        if (this.shots)
            await this.page.screenshot({ path: `${this.shots}/${name}.png` });
    }

    async says(text) {
        await this.page.getByText(text).first().waitFor();
    }

    async close() {
        await this.browser?.close();
        expect(!this.complaints.length, this.complaints.slice(0, 5).join('\n'));
    }
}
