// SPDX-License-Identifier: Apache-2.0
/*
 * build.mjs OUT - bundles the dashboard into the folder OUT, with a manifest that says how its files are
 * to be served.  tools/web calls it, and puts the files into the binary.
 */
import { build } from 'esbuild';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TYPES = { '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
/* Nothing from elsewhere, nothing inline, no frame around it. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    + "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

async function bundle(out) {
    await build({
        absWorkingDir: HERE,
        entryPoints: { app: 'src/main.tsx', style: 'src/style.css' },
        outdir: path.join(out, 'assets'),
        entryNames: '[name]-[hash]',
        bundle: true,
        minify: true,
        format: 'esm',
        target: ['es2022'],
        jsx: 'automatic',
        jsxImportSource: 'preact',
        legalComments: 'inline',
        charset: 'utf8',
        logLevel: 'warning',
    });
}

async function icon(out) {
    const source = path.join(HERE, 'src/icon.svg');
    const name = `icon-${createHash('sha256').update(await readFile(source)).digest('hex').slice(0, 8).toUpperCase()}.svg`;

    await copyFile(source, path.join(out, 'assets', name));
}

const out = path.resolve(process.argv[2] ?? 'out');
await rm(out, { recursive: true, force: true });
await mkdir(path.join(out, 'assets'), { recursive: true });
await bundle(out);
await icon(out);

const assets = (await readdir(path.join(out, 'assets'))).sort();
const named = (begin, end) => '/assets/' + assets.find(n => n.startsWith(begin) && n.endsWith(end));
const html = (await readFile(path.join(HERE, 'src/index.html'), 'utf8'))
    .replace('@icon@', named('icon-', '.svg')).replace('@style@', named('style-', '.css')).replace('@script@', named('app-', '.js'));
await writeFile(path.join(out, 'index.html'), html);
await writeFile(path.join(out, 'manifest.json'), JSON.stringify({
    policy: POLICY,
    files: [{ path: '/', file: 'index.html', type: 'text/html; charset=utf-8', lasting: false },
        ...assets.map(n => ({ path: '/assets/' + n, file: 'assets/' + n, type: TYPES[path.extname(n)], lasting: true }))],
}, null, 1) + '\n');
