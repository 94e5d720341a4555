// SPDX-License-Identifier: Apache-2.0
/*
 * configuration.tsx - the whole configuration as a tree with forms, or as YAML; edits are collected, their
 * consequences shown, and then they are applied, on trial if wanted.
 */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { call, may, type Problem, session } from '../api';
import { plural } from '../format';
import { Action, attempt, Card, Fault, Field, valueOf, Waiting } from '../parts/basics';
import { Described, Form, type FormContext, Option, Properties } from '../parts/form';
import { ChangeDialog, type ChangeOrder } from '../parts/plan';
import { get, isObject, type Json, parse, type Path, pointer } from '../pointer';
import { go, place } from '../router';
import { changes, noteChange } from '../live';
import { Book, type Raw } from '../schema';
import { type Draft, discard, draft, edit, isDirty, load, patchOf } from '../draft';
import { useResource } from '../resource';
import { useStore } from '../store';

const CHILDREN_MAX = 300;

/** The pointer of a hash, with indexes of lists as numbers. */
function typed(book: Book, parts: string[]): Path {
    const [top] = parts;
    const raw = book.top().find(([name]) => name === top)?.[1];
    const list = raw && book.shape(raw).kind === 'list';

    return parts.map((part, i) => (i === 1 && list && /^[0-9]+$/.test(part) ? Number(part) : part));
}

function labelOf(item: Json, i: number): string {
    if (!isObject(item))
        return String(item);
    const { name, address, host, path, to } = item;
    const words = [host, path].filter(w => w !== undefined).map(w => (Array.isArray(w) ? w.join(', ') : String(w))).join(' ');
    return String(name ?? address ?? (words || (to ? `to ${String(to)}` : `number ${i + 1}`)));
}

function titleOf(book: Book, now: Json, at: string): string {
    const path = typed(book, parse(decodeURI(at)));

    return path.map((part, i) => (typeof part === 'number' ? labelOf(get(now, path.slice(0, i + 1)) ?? '', part) : part)).join(' › ');
}

function childrenOf(book: Book, name: string, raw: Raw, now: Json): [string, string][] {
    const shape = book.shape(raw);
    const value = get(now, [name]);

    if (shape.kind === 'map' && isObject(value))
        return Object.keys(value).map(key => [pointer([name, key]), key]);
    if (shape.kind === 'list' && value !== undefined)
        return (Array.isArray(value) ? value : [value]).map((item, i) => [pointer([name, i]), labelOf(item, i)]);
    return [];
}

function Tree(props: { book: Book; now: Json; at: string }) {
    return (
        <nav class="tree" aria-label="Parts of the configuration">
            <ul>
                {props.book.top().map(([name, raw]) => {
                    const here = pointer([name]);
                    const children = childrenOf(props.book, name, raw, props.now);
                    const open = props.at === here || props.at.startsWith(here + '/');
                    return (
                        <li key={name}>
                            <a href={`#/configuration${here}`} aria-current={props.at === here ? 'true' : undefined}
                                class={get(props.now, [name]) === undefined ? 'unset' : ''}>
                                {name}{children.length > 0 && <span class="n"> {children.length}</span>}
                            </a>
                            {open && children.length > 0 && (
                                <ul>
                                    {children.slice(0, CHILDREN_MAX).map(([to, text]) => (
                                        <li key={to}><a href={`#/configuration${encodeURI(to)}`} aria-current={props.at === to ? 'true' : undefined}>{text}</a></li>
                                    ))}
                                </ul>
                            )}
                        </li>
                    );
                })}
            </ul>
        </nav>
    );
}

/** Adds an item to a list or a map and goes there. */
function AddChild(props: { book: Book; name: string; raw: Raw; now: Json }) {
    const shape = props.book.shape(props.raw);
    const [fresh, setFresh] = useState('');
    const value = get(props.now, [props.name]);

    const add = (event: Event) => {
        event.preventDefault();
        const items = value === undefined ? 0 : Array.isArray(value) ? value.length : 1;
        const path: Path = shape.kind === 'list' ? [props.name, items] : [props.name, fresh.trim()];
        edit(path, {});
        setFresh('');
        go(`#/configuration${encodeURI(pointer(path))}`);
    };
    return (
        <form class="form-row" onSubmit={add}>
            {shape.kind === 'map' && (
                <Field label="Name of a new one">
                    {id => <input id={id} required value={fresh} spellcheck={false} onInput={e => setFresh(valueOf(e))} />}
                </Field>
            )}
            <button class="button">Add to {props.name}</button>
        </form>
    );
}

function Editor(props: { book: Book; draft: Draft; at: string }) {
    const { book, at } = props;
    const who = useStore(session);
    const path = typed(book, parse(decodeURI(at)));
    const [top, child] = path;
    const raw = book.top().find(([name]) => name === top)?.[1];
    const context: FormContext = useMemo(() => ({ book, set: edit, faults: props.draft.faults, disabled: !may(who, 'admin') }),
        [book, props.draft.faults, who]);

    if (!raw)
        return <p class="quiet">Choose a part of the configuration.</p>;
    const shape = book.shape(raw);
    const parts = shape.kind === 'map' || shape.kind === 'list';
    const value = get(props.draft.now, path);
    const below = parts && child !== undefined ? shape.of : raw;
    const inner = book.shape(below);

    if (parts && child === undefined && book.shape(shape.of).kind === 'object')
        return (
            <>
                <p class="hint"><Described text={shape.description} /></p>
                <ul class="parts">
                    {childrenOf(book, String(top), raw, props.draft.now).slice(0, CHILDREN_MAX).map(([to, text]) =>
                        <li key={to}><a href={`#/configuration${encodeURI(to)}`}>{text}</a></li>)}
                </ul>
                {!context.disabled && <AddChild book={book} name={String(top)} raw={raw} now={props.draft.now} />}
            </>
        );
    const remove = () => {
        edit(path, undefined);
        go(`#/configuration${pointer([top])}`);
    };
    return (
        <Form.Provider value={context}>
            {inner.kind === 'object' && (value === undefined || isObject(value)) ? (
                <>
                    <p class="hint"><Described text={inner.description} /></p>
                    <Properties key={at} properties={inner.properties} path={path} value={value} />
                </>
            ) : <Option key={at} raw={below} name={String(child ?? top)} path={path} value={value} />}
            {child !== undefined && !context.disabled &&
                <p><button type="button" class="button danger small" onClick={remove}>Remove {String(child)} from {top}</button></p>}
        </Form.Provider>
    );
}

function Pending(props: { draft: Draft; review: () => void }) {
    const steps = patchOf(props.draft).length;

    return (
        <aside class="pending" aria-label="Changes that are not applied yet">
            <p>
                <b>{plural(steps, 'change')}</b> not applied yet.
                {props.draft.overtaken && ' The configuration has been changed by somebody else meanwhile.'}
            </p>
            <div class="row">
                <button type="button" class="button" onClick={() => void attempt('The changes are gone.', discard)}>Discard</button>
                <button type="button" class="button primary" onClick={props.review}>Review and apply</button>
            </div>
        </aside>
    );
}

function Forms() {
    const schema = useResource<Raw>('/v1/schema.json');
    const held = useStore(draft);
    const at = useStore(place).rest || '/listeners';
    const [problem, setProblem] = useState<Problem | null>(null);
    const [order, setOrder] = useState<ChangeOrder | null>(null);
    const book = useMemo(() => (schema.value ? new Book(schema.value) : null), [schema.value]);

    useEffect(() => {
        const look = () => void load().then(() => setProblem(null), setProblem);
        look();
        return changes.watch(() => {
            if (changes.value.what === 'configuration')
                look();
        });
    }, []);
    if (problem && !held)
        return <Fault problem={problem} />;
    if (!book || !held)
        return <Waiting for={schema} what="the configuration" />;
    const review = () => setOrder({ title: 'What would change', method: 'PATCH', path: '/v1/config', body: patchOf(draft.value!),
        type: 'application/json-patch+json', match: draft.value!.tag, done: 'The new configuration is in force.' });
    return (
        <>
            {held.faults.length > 0 && (
                <div class="notice bad" role="alert">
                    <p>This does not work yet:</p>
                    <ul>{held.faults.map((f, i) => (
                        <li key={i}>{f.detail} {f.hint && <em>{f.hint}</em>}{' '}
                            {f.pointer && <a class="where" href={`#/configuration${f.pointer.split('/').slice(0, 3).join('/')}`}>{f.pointer}</a>}</li>
                    ))}</ul>
                </div>
            )}
            <div class="config">
                <Tree book={book} now={held.now} at={at} />
                <Card title={titleOf(book, held.now, at)} class="editor"><Editor book={book} draft={held} at={at} /></Card>
            </div>
            {isDirty(held) && <Pending draft={held} review={review} />}
            {order && (
                <ChangeDialog order={order} onClose={() => setOrder(null)}
                    onProblem={p => draft.set({ ...draft.value!, faults: p.faults })}
                    onDone={() => { setOrder(null); draft.set(null); void load(); }} />
            )}
        </>
    );
}

function Yaml() {
    const resource = useResource<string>('/v1/config', 0, [], 'application/yaml');
    const who = useStore(session);
    const [text, setText] = useState<string | null>(null);
    const [order, setOrder] = useState<ChangeOrder | null>(null);
    const changed = text !== null && text !== resource.value;

    if (resource.value === undefined)
        return <Waiting for={resource} what="the configuration" />;
    const review = () => setOrder({ title: 'What would change', method: 'POST', path: '/v1/apply', body: text!, type: 'application/yaml',
        match: resource.tag, done: 'The new configuration is in force.' });
    return (
        <Card>
            <Field label="Configuration as YAML" hint="All files joined, with what the API changed over them. Secrets are written as ***; left so, they stay as they are.">
                {(id, d) => (
                    <textarea id={id} aria-describedby={d} class="code" rows={28} spellcheck={false} readOnly={!may(who, 'admin')}
                        value={text ?? resource.value} onInput={e => setText(valueOf(e))} />
                )}
            </Field>
            <div class="row end">
                <button type="button" class="button" disabled={!changed} onClick={() => setText(null)}>Discard</button>
                <button type="button" class="button primary" disabled={!changed} onClick={review}>Review and apply</button>
            </div>
            {order && <ChangeDialog order={order} onClose={() => setOrder(null)}
                onDone={() => { setOrder(null); setText(null); resource.reload(); }} />}
        </Card>
    );
}

function Sources() {
    const sources = useResource<{ files: string[]; patch: unknown[] }>('/v1/config-sources', 0, ['configuration']);
    const n = sources.value?.patch?.length ?? 0;

    if (!sources.value)
        return null;
    const drop = () => attempt('The files alone count again.', () => call('POST', '/v1/reset')).then(done => {
        if (done)
            draft.set(null);
        noteChange();
    });
    return (
        <p class="quiet">
            From {sources.value.files?.join(', ') || 'the command line'}
            {n > 0 ? <>, with {plural(n, 'change')} made through the API.{' '}
                <Action right="admin" class="link" do={drop} confirm="The configuration becomes what the files say. What the API has changed stays in the list of revisions.">
                    Drop {n === 1 ? 'it' : 'them'}</Action></> : ', and nothing over it.'}
        </p>
    );
}

export function Configuration() {
    const [yaml, setYaml] = useState(false);

    return (
        <>
            <div class="row spread">
                <Sources />
                <fieldset class="segments">
                    <legend class="hidden">How it is shown</legend>
                    <button type="button" aria-pressed={!yaml} onClick={() => setYaml(false)}>Forms</button>
                    <button type="button" aria-pressed={yaml} onClick={() => setYaml(true)}>YAML</button>
                </fieldset>
            </div>
            {yaml ? <Yaml /> : <Forms />}
        </>
    );
}
