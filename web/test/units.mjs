// SPDX-License-Identifier: Apache-2.0
/*
 * units.mjs - what needs no browser: pointers and patches, differences of texts, the event stream's reader,
 * numbers for people.  `node --test test/units.mjs`.
 */
import { build } from 'esbuild';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

globalThis.sessionStorage = { getItem: () => null };
const folder = await mkdtemp(path.join(tmpdir(), 'maitred-units-'));
after(() => rm(folder, { recursive: true }));

async function module(name) {
    const outfile = path.join(folder, `${name}.mjs`);

    await build({ entryPoints: [`src/${name}.ts`], outfile, format: 'esm', bundle: true });
    return import(outfile);
}

const { diff, get, parse, pathAt, pointer, put } = await module('pointer');
const { diffLines, hunks } = await module('lines');
const { Book } = await module('schema');
const { EventReader } = await module('live');
const { ago, bytes, count, duration, percent, rate } = await module('format');

test('a pointer goes there and back', () => {
    assert.equal(pointer(['a/b', 'c~d', 0]), '/a~1b/c~0d/0');
    assert.deepEqual(parse('/a~1b/c~0d/0'), ['a/b', 'c~d', '0']);
});

test('values are changed without changing them', () => {
    const before = { routes: [{ name: 'a' }, { name: 'b' }] };

    assert.deepEqual(put(before, ['routes', 1, 'to'], 'app'), { routes: [{ name: 'a' }, { name: 'b', to: 'app' }] });
    assert.deepEqual(put(before, ['routes', 0], undefined), { routes: [{ name: 'b' }] });
    assert.deepEqual(put(before, ['process', 'drain'], '3s').process, { drain: '3s' });
    assert.deepEqual(before, { routes: [{ name: 'a' }, { name: 'b' }] });
});

test('a single item in place of a list stays one until it has company', () => {
    const one = { health: { path: '/' } };

    assert.equal(get(one, ['health', 0, 'path']), '/');
    assert.deepEqual(put(one, ['health', 0, 'path'], '/ok'), { health: { path: '/ok' } });
    assert.deepEqual(put(one, ['health', 1], {}), { health: [{ path: '/' }, {}] });
});

test('a patch leads from one to the other', () => {
    const from = { a: 1, b: { c: [1, 2] }, 'x/y': 0 }, to = { b: { c: [1, 3] }, d: null, 'x/y': 1 };

    assert.deepEqual(diff(from, to), [{ op: 'remove', path: '/a' }, { op: 'replace', path: '/b/c/1', value: 3 },
        { op: 'add', path: '/d', value: null }, { op: 'replace', path: '/x~1y', value: 1 }]);
    assert.deepEqual(diff(from, from), []);
    assert.deepEqual(diff([1], [1, 2]), [{ op: 'replace', path: '', value: [1, 2] }]);
});

test('a place in a text of JSON has a path', () => {
    const text = '[{"op":"add","path":"/a","value":{"servers":[{"address":"x:1"},{"weigth":3}]}}, {"op":"add","value":"q{\\"[,"}]';

    assert.deepEqual(pathAt(text, text.indexOf('x:1')), [0, 'value', 'servers', 0, 'address']);
    assert.deepEqual(pathAt(text, text.indexOf('"weigth"')), [0, 'value', 'servers', 1, 'weigth']);
    assert.deepEqual(pathAt(text, text.indexOf('q{')), [1, 'value']);
    assert.deepEqual(pathAt(text, 0), []);
    assert.doesNotThrow(() => pathAt('[{"', 2));
});

test('lines that two texts share are found', () => {
    assert.deepEqual(diffLines('a\nb\nc', 'a\nx\nc').map(l => l.sign + l.text), [' a', '-b', '+x', ' c']);
    assert.deepEqual(diffLines('a', 'a\nb').map(l => l.sign + l.text), [' a', '+b']);
    const far = hunks(diffLines([...'abcdefghij'].join('\n'), [...'abcdefghiX'].join('\n')), 1);
    assert.deepEqual(far.map(l => l && l.sign + l.text), [' i', '-j', '+X']);
    const big = Array.from({ length: 4000 }, (_, i) => `line ${i}`);
    assert.equal(diffLines(['x', ...big, 'y'].join('\n'), ['z', ...big.reverse(), 'w'].join('\n')).length, 8004);
});

test('shapes of options', () => {
    const book = new Book({ $defs: { server: { anyOf: [{ type: 'object', properties: { address: { type: ['string', 'number', 'boolean'] } } }, { type: ['string', 'number', 'boolean'] }] } } });
    const kind = raw => book.shape(raw).kind;

    assert.equal(kind({ $ref: '#/$defs/server' }), 'object');
    assert.equal(book.shape({ $ref: '#/$defs/server' }).shorthand.kind, 'text');
    assert.equal(kind({ anyOf: [{ type: 'array', items: { $ref: '#/$defs/server' } }, { $ref: '#/$defs/server' }] }), 'list');
    assert.equal(kind({ anyOf: [{ enum: ['a'] }, { type: 'object', maxProperties: 1, properties: { a: {} } }] }), 'choice');
    assert.equal(kind({ allOf: [{ type: ['boolean', 'string'], pattern: 'x' }] }), 'boolean');
    assert.equal(kind({ type: ['integer', 'string'], minimum: 0, maximum: 0, pattern: '^0$|s$' }), 'text');
    assert.equal(kind({ type: ['integer', 'string'], maximum: 10 }), 'number');
    assert.equal(book.shape({ anyOf: [{ type: 'string' }, { type: 'object', additionalProperties: { type: 'integer' } }] }).alternative.kind, 'map');
});

test('events are read however they are cut', () => {
    const text = ': welcome\r\n\r\nevent: tick\ndata: {"at":1}\n\nevent: change\ndata: a\ndata:b\n\n';

    for (let cut = 1; cut < text.length; cut++) {
        const got = [];
        const reader = new EventReader((name, data) => got.push([name, data]));
        reader.push(text.slice(0, cut));
        reader.push(text.slice(cut));
        assert.deepEqual(got, [['tick', '{"at":1}'], ['change', 'a\nb']]);
    }
    const endless = new EventReader(() => undefined);
    assert.throws(() => endless.push('x'.repeat(2 << 20)));
});

test('numbers for people', () => {
    const plain = text => text.replace(/\u00a0/g, ' ');

    assert.equal(plain(count(1234567)), '1.23 M');
    assert.equal(plain(rate(1000)), '1 k/s');
    assert.equal(plain(bytes(1536)), '1.5 KiB');
    assert.equal(plain(bytes(0)), '0 B');
    assert.equal(plain(duration(8420)), '8.42 ms');
    assert.equal(plain(duration(93211e6)), '1 d 1 h');
    assert.equal(percent(0.0012), '0.12 %');
    assert.equal(plain(ago(1000, 1000 + 7200)), '2 h ago');
    assert.equal(plain(ago(1000 + 86400 * 9, 1000)), 'in 9 d');
    assert.equal(duration(undefined), '–');
});
