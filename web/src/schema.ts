// SPDX-License-Identifier: Apache-2.0
/*
 * schema.ts - what kind of field belongs to an option, out of /v1/schema.json.
 *
 * The schema is generated from the tables of options, so it uses few of JSON Schema's ways: `allOf` with
 * one member, `anyOf` of an object and its shorthand, of a list and a single item, of names and an object
 * with one of them; `$ref` into $defs.
 */

export interface Raw {
    $ref?: string;
    $defs?: Record<string, Raw>;
    allOf?: Raw[];
    anyOf?: Raw[];
    type?: string | string[];
    enum?: unknown[];
    properties?: Record<string, Raw>;
    additionalProperties?: boolean | Raw;
    items?: Raw;
    description?: string;
    default?: unknown;
    minimum?: number;
    maximum?: number;
    pattern?: string;
    maxProperties?: number;
    required?: string[];
}

interface Said {
    description?: string;
    default?: unknown;
}

export type Shape = Said & (
    | { kind: 'object'; properties: [string, Raw][]; shorthand: Shape | null }
    | { kind: 'map'; of: Raw }
    | { kind: 'list'; of: Raw }
    | { kind: 'choice'; options: Record<string, Raw>; names: string[] }
    | { kind: 'enum'; values: string[] }
    | { kind: 'boolean' }
    | { kind: 'number'; minimum?: number; maximum?: number }
    | { kind: 'text'; alternative?: Shape } /* where it may be more than a text: `to: {a: 1, b: 2}` */
);

const DEPTH_MAX = 16;

export class Book {
    constructor(private readonly root: Raw) {}

    /** One schema without references and with its allOf joined. */
    flat(raw: Raw, depth = 0): Raw {
        let joined: Raw = { ...raw };

        if (depth > DEPTH_MAX)
            return joined;
        if (raw.$ref) {
            const there = this.root.$defs?.[raw.$ref.replace('#/$defs/', '')];
            delete joined.$ref;
            joined = { ...(there ? this.flat(there, depth + 1) : {}), ...joined };
        }
        for (const part of raw.allOf ?? []) {
            const below = this.flat(part, depth + 1);
            joined = { ...below, ...joined, description: joined.description ?? below.description };
        }
        delete joined.allOf;
        return joined;
    }

    top(): [string, Raw][] {
        return Object.entries(this.flat(this.root).properties ?? {});
    }

    shape(raw: Raw): Shape {
        const flat = this.flat(raw);
        const said: Said = { description: flat.description, default: flat.default };

        return { ...said, ...this.kind(flat) } as Shape;
    }

    private kind(flat: Raw): Shape {
        return flat.anyOf ? this.either(flat.anyOf.map(o => this.flat(o))) : this.one(flat);
    }

    private one(flat: Raw): Shape {
        const types = ([] as string[]).concat(flat.type ?? []);

        if (flat.properties && flat.maxProperties === 1)
            return { kind: 'choice', options: flat.properties, names: Object.keys(flat.properties) };
        if (flat.properties)
            return { kind: 'object', properties: Object.entries(flat.properties), shorthand: null };
        if (typeof flat.additionalProperties === 'object')
            return { kind: 'map', of: flat.additionalProperties };
        if (flat.items)
            return { kind: 'list', of: flat.items };
        if (flat.enum)
            return { kind: 'enum', values: flat.enum.map(String) };
        if (types.includes('boolean') && !types.includes('number'))
            return { kind: 'boolean' };
        if (types.includes('integer') && (flat.maximum ?? 1) > 0)
            return { kind: 'number', minimum: flat.minimum, maximum: flat.maximum };
        return { kind: 'text' };
    }

    /** The richest of the ways to write it; the others are its alternatives. */
    private either(options: Raw[]): Shape {
        const shapes = options.filter(o => o.type !== 'null').map(o => this.kind(o));
        const find = <K extends Shape['kind']>(kind: K) => shapes.find(s => s.kind === kind) as Extract<Shape, { kind: K }> | undefined;
        const choice = find('choice'), object = find('object'), names = find('enum');

        // A list stands before the single item that may be written in its place.
        if (shapes[0]?.kind === 'list')
            return shapes[0];
        if (object)
            return { ...object, shorthand: shapes.find(s => s !== object) ?? null };
        if (choice)
            return { ...choice, names: [...new Set([...choice.names, ...(names?.values ?? [])])] };
        const [first = { kind: 'text' } as Shape, ...others] = shapes;
        return first.kind === 'text' && others.length ? { ...first, alternative: others[0] } : names ?? first;
    }
}
