// SPDX-License-Identifier: Apache-2.0
/*
 * form.tsx - a form for any part of the configuration, made from the schema.
 *
 * What is set is shown; what is not waits behind "Further options", with its default.  Values are kept as
 * they would be written: a field that is emptied is an option that is not there.
 */
import { createContext } from 'preact';
import { useContext, useEffect, useId, useState } from 'preact/hooks';
import type { Fault } from '../api';
import { isObject, type Json, type Path, pointer } from '../pointer';
import type { Book, Raw, Shape } from '../schema';
import { Field, valueOf } from './basics';

export interface FormContext {
    book: Book;
    set: (path: Path, value: Json | undefined) => void;
    faults: Fault[];
    disabled: boolean;
}

export const Form = createContext<FormContext>(null as unknown as FormContext);

interface Part {
    raw: Raw;
    path: Path;
    name: string;
    value: Json | undefined;
}

function faultAt(faults: Fault[], path: Path): string | undefined {
    const at = pointer(path);

    return faults.find(f => f.pointer === at)?.detail;
}

/** Descriptions are Markdown as far as `code` goes. */
export function Described(props: { text?: string }) {
    return <>{(props.text ?? '').split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}

function shown(value: unknown): string {
    return typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
}

// ------------------------------------------------------------------ single values

function numberOr(text: string): Json {
    return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : text;
}

function Single(props: Part & { shape: Shape }) {
    const { set, faults, disabled } = useContext(Form);
    const { shape, path, value } = props;
    const fallback = shape.default === undefined ? '' : shown(shape.default);
    const change = (text: string) => set(path, text === '' ? undefined : shape.kind === 'number' ? numberOr(text) : text);

    return (
        <Field label={props.name} hint={<Described text={shape.description} />} fault={faultAt(faults, path)}>
            {(id, d) => {
                const common = { id, disabled, 'aria-describedby': d, value: shown(value) };
                const names = shape.kind === 'boolean' ? ['true', 'false'] : shape.kind === 'enum' ? shape.values : null;
                if (names && (value === undefined || names.includes(String(value)))) {
                    const pick = (text: string) => (shape.kind === 'boolean' && text ? set(path, text === 'true') : change(text));
                    return (
                        <select {...common} value={value === undefined ? '' : String(value)} onChange={e => pick(valueOf(e))}>
                            <option value="">{fallback ? `as by default: ${fallback}` : 'not set'}</option>
                            {names.map(n => <option key={n} value={n}>{n === 'true' ? 'yes' : n === 'false' ? 'no' : n}</option>)}
                        </select>
                    );
                }
                return <input {...common} placeholder={fallback} inputMode={shape.kind === 'number' ? 'numeric' : undefined}
                    spellcheck={false} autocomplete="off" onInput={e => change(valueOf(e))} />;
            }}
        </Field>
    );
}

function linesOf(text: string): string[] {
    return text.split('\n').map(l => l.trim()).filter(Boolean);
}

/** Lists of words: one a line. */
function Words(props: Part & { shape: Shape }) {
    const { set, faults, disabled } = useContext(Form);
    const { path, value } = props;
    const items = value === undefined ? [] : Array.isArray(value) ? value : [value];
    const written = items.map(shown).join('\n');
    const [text, setText] = useState(written);

    // What is being typed may have an empty line at its end; what comes from elsewhere replaces it.
    useEffect(() => {
        if (linesOf(text).join('\n') !== written)
            setText(written);
    }, [written]);
    const change = (event: Event) => {
        const lines = linesOf(valueOf(event));
        setText(valueOf(event));
        set(path, !lines.length ? undefined : lines.length === 1 && !Array.isArray(value) ? lines[0] : lines);
    };
    return (
        <Field label={props.name} hint={<><Described text={props.shape.description} /> One a line.</>} fault={faultAt(faults, path)}>
            {(id, d) => (
                <textarea id={id} aria-describedby={d} disabled={disabled} rows={Math.min(8, items.length + 1)} spellcheck={false}
                    value={text} onInput={change} />
            )}
        </Field>
    );
}

// ------------------------------------------------------------------ what has parts

function Box(props: { title: string; text?: string; fault?: string; remove?: () => void; children: preact.ComponentChildren }) {
    const { disabled } = useContext(Form);

    return (
        <fieldset class="box">
            <legend>{props.title}</legend>
            {props.remove && !disabled &&
                <button type="button" class="link remove" onClick={props.remove}>Remove<span class="hidden"> {props.title}</span></button>}
            {props.fault && <p class="hint"><strong class="fault">{props.fault}</strong></p>}
            {props.text && <p class="hint"><Described text={props.text} /></p>}
            {props.children}
        </fieldset>
    );
}

function Further(props: { properties: [string, Raw][]; path: Path }) {
    const [open, setOpen] = useState(false);

    if (!props.properties.length)
        return null;
    return (
        <details class="more" open={open} onToggle={e => setOpen((e.currentTarget as HTMLDetailsElement).open)}>
            <summary>Further options ({props.properties.length})</summary>
            {open && props.properties.map(([name, raw]) => <Option key={name} raw={raw} name={name} path={[...props.path, name]} value={undefined} />)}
        </details>
    );
}

/** The options of an object; those that were set when it was opened stay above while it is edited. */
export function Properties(props: { properties: [string, Raw][]; path: Path; value: Json | undefined }) {
    const held = isObject(props.value) ? props.value : {};
    const isSet = ([name]: [string, Raw]) => Object.hasOwn(held, name);

    return (
        <>
            {props.properties.filter(isSet).map(([name, raw]) =>
                <Option key={name} raw={raw} name={name} path={[...props.path, name]} value={held[name]} />)}
            <Further properties={props.properties.filter(p => !isSet(p))} path={props.path} />
        </>
    );
}

function ObjectPart(props: Part & { shape: Extract<Shape, { kind: 'object' }> }) {
    const { set, faults, disabled } = useContext(Form);
    const { shape, path, value, name } = props;

    if (value !== undefined && value !== null && !isObject(value) && shape.shorthand) {
        const first = shape.properties[0]?.[0];
        return (
            <div class="short">
                <Option raw={{}} as={{ ...shape.shorthand, description: shape.description, default: shape.default }} name={name} path={path} value={value} />
                {first && !Array.isArray(value) && !disabled && (
                    <button type="button" class="link" onClick={() => set(path, { [first]: value })}>More options for {name}</button>
                )}
            </div>
        );
    }
    if (value === undefined)
        return (
            <div class="absent">
                <button type="button" class="button small" disabled={disabled} onClick={() => set(path, {})}>Add {name}</button>
                <p class="hint"><Described text={shape.description} /></p>
            </div>
        );
    return (
        <Box title={name} text={shape.description} fault={faultAt(faults, path)} remove={() => set(path, undefined)}>
            <Properties properties={shape.properties} path={path} value={value} />
        </Box>
    );
}

function itemName(item: Json, i: number): string {
    if (typeof item === 'string')
        return item;
    if (isObject(item)) {
        const named = item.name ?? item.address ?? item.path ?? item.host;
        if (typeof named === 'string')
            return named;
        const keys = Object.keys(item);
        if (keys.length === 1)
            return keys[0];
    }
    return `number ${i + 1}`;
}

function ListPart(props: Part & { shape: Extract<Shape, { kind: 'list' }> }) {
    const { book, set, faults, disabled } = useContext(Form);
    const { shape, path, value, name } = props;
    const items = value === undefined ? [] : Array.isArray(value) ? value : [value];
    const item = book.shape(shape.of);
    const move = (from: number, to: number) => {
        const list = [...items];
        list.splice(to, 0, ...list.splice(from, 1));
        set(path, list);
    };

    if (item.kind !== 'object' && item.kind !== 'choice' && item.kind !== 'map' && items.every(i => typeof i !== 'object'))
        return <Words {...props} />;
    return (
        <Box title={name} text={shape.description} fault={faultAt(faults, path)} remove={value === undefined ? undefined : () => set(path, undefined)}>
            {items.map((v, i) => (
                <div class="item" key={i}>
                    <Option raw={shape.of} name={itemName(v, i)} path={[...path, i]} value={v} />
                    {!disabled && (
                        <div class="row">
                            <button type="button" class="link" disabled={i === 0} onClick={() => move(i, i - 1)}>Up<span class="hidden"> {itemName(v, i)}</span></button>
                            <button type="button" class="link" disabled={i === items.length - 1} onClick={() => move(i, i + 1)}>Down<span class="hidden"> {itemName(v, i)}</span></button>
                            <button type="button" class="link" onClick={() => set(path, items.filter((_, at) => at !== i))}>Remove<span class="hidden"> {itemName(v, i)}</span></button>
                        </div>
                    )}
                </div>
            ))}
            <button type="button" class="button small" disabled={disabled}
                onClick={() => set([...path, items.length], item.kind === 'object' ? {} : item.kind === 'choice' ? item.names[0] : '')}>Add to {name}</button>
        </Box>
    );
}

function MapPart(props: Part & { shape: Extract<Shape, { kind: 'map' }> }) {
    const { book, set, faults, disabled } = useContext(Form);
    const { shape, path, value, name } = props;
    const [fresh, setFresh] = useState('');
    const held = isObject(value) ? value : {};
    const item = book.shape(shape.of);

    if (value !== undefined && value !== null && typeof value !== 'object')
        return <Single {...props} />;
    return (
        <Box title={name} text={shape.description} fault={faultAt(faults, path)} remove={value === undefined ? undefined : () => set(path, undefined)}>
            {Object.entries(held).map(([key, v]) => (
                <div class="item" key={key}>
                    <Option raw={shape.of} name={key} path={[...path, key]} value={v} />
                    {item.kind !== 'object' && !disabled &&
                        <button type="button" class="link" onClick={() => set([...path, key], undefined)}>Remove<span class="hidden"> {key}</span></button>}
                </div>
            ))}
            <div class="form-row">
                <Field label={`New name in ${name}`}>
                    {id => <input id={id} disabled={disabled} value={fresh} spellcheck={false} onInput={e => setFresh(valueOf(e))} />}
                </Field>
                <button type="button" class="button small" disabled={disabled || !fresh.trim() || Object.hasOwn(held, fresh.trim())}
                    onClick={() => { set([...path, fresh.trim()], item.kind === 'object' ? {} : ''); setFresh(''); }}>Add</button>
            </div>
        </Box>
    );
}

/** One of several kinds, by name alone or with options: `balance: hash`, `use: - cache: {...}`. */
function ChoicePart(props: Part & { shape: Extract<Shape, { kind: 'choice' }> }) {
    const { book, set, faults, disabled } = useContext(Form);
    const { shape, path, value } = props;
    const id = useId();
    const name = isObject(value) ? Object.keys(value)[0] ?? '' : value === undefined || value === null ? '' : String(value);
    const below = name && shape.options[name] ? book.shape(shape.options[name]) : null;
    const inner = isObject(value) ? value[name] : undefined;

    return (
        <div class="choice">
            <Field label={props.name} hint={<Described text={shape.description} />} fault={faultAt(faults, path)}>
                {(fid, d) => (
                    <select id={fid} aria-describedby={d} disabled={disabled} value={name} onChange={e => set(path, valueOf(e) || undefined)}>
                        <option value="">{shape.default ? `as by default: ${shown(shape.default)}` : 'not set'}</option>
                        {shape.names.map(n => <option key={n} value={n}>{n}</option>)}
                        {name && !shape.names.includes(name) && <option value={name}>{name}</option>}
                    </select>
                )}
            </Field>
            {below?.kind === 'object' && (
                <div class="inset" id={id}>
                    {inner !== undefined && inner !== null && !isObject(inner)
                        ? <Option raw={shape.options[name]} name={name} path={[...path, name]} value={inner} />
                        : <Properties properties={below.properties} path={[...path, name]} value={inner} />}
                </div>
            )}
            {below && below.kind !== 'object' && isObject(value) &&
                <Option raw={shape.options[name]} name={name} path={[...path, name]} value={inner} />}
        </div>
    );
}

export function Option(props: Part & { as?: Shape }) {
    const { book } = useContext(Form);
    const said = props.as ?? book.shape(props.raw);
    const other = said.kind === 'text' && typeof props.value === 'object' ? said.alternative : undefined;
    const shape: Shape = other ? { ...other, description: said.description } : said;

    switch (shape.kind) {
    case 'object':
        return <ObjectPart {...props} shape={shape} />;
    case 'list':
        return <ListPart {...props} shape={shape} />;
    case 'map':
        return <MapPart {...props} shape={shape} />;
    case 'choice':
        return <ChoicePart {...props} shape={shape} />;
    case 'enum':
    case 'boolean':
    case 'number':
    case 'text':
        return <Single {...props} shape={shape} />;
    }
}
