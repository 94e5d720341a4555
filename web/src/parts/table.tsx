// SPDX-License-Identifier: Apache-2.0
/*
 * table.tsx - a table that can be sorted, and that becomes a list of cards on a phone.
 *
 * The roles are written out because a table whose `display` is changed by style is no table any more to
 * some browsers' accessibility tree.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

export interface Column<T> {
    head: string;
    cell: (row: T) => ComponentChildren;
    /** Sorts by it when the head is pressed: larger numbers first. */
    sort?: (row: T) => number | string;
    number?: boolean;
    wide?: boolean;
    /** The name of the row: a heading of it. */
    names?: boolean;
}

interface Order {
    column: number;
    down: boolean;
}

function sorted<T>(rows: T[], columns: Column<T>[], order: Order | null): T[] {
    const by = order && columns[order.column]?.sort;

    if (!by || !order)
        return rows;
    const sign = order.down ? -1 : 1;
    return [...rows].sort((a, b) => {
        const x = by(a), y = by(b);
        return sign * (typeof x === 'string' ? x.localeCompare(String(y)) : x - Number(y));
    });
}

function Head<T>(props: { column: Column<T>; at: number; order: Order | null; set: (order: Order) => void }) {
    const { column, order, at } = props;
    const mine = order?.column === at;

    return (
        <th role="columnheader" scope="col" class={column.number ? 'number' : ''}
            aria-sort={mine ? (order!.down ? 'descending' : 'ascending') : undefined}>
            {column.sort ? (
                <button type="button" class="sort" onClick={() => props.set({ column: at, down: mine ? !order!.down : !!column.number })}>
                    {column.head}<span aria-hidden="true">{mine ? (order!.down ? ' ↓' : ' ↑') : ''}</span>
                </button>
            ) : column.head}
        </th>
    );
}

export function Table<T>(props: { caption: string; columns: Column<T>[]; rows: T[]; id: (row: T) => string | number;
    empty: string; showCaption?: boolean; most?: number }) {
    const [order, setOrder] = useState<Order | null>(null);
    const [all, setAll] = useState(false);
    const most = props.most ?? 100;
    const rows = sorted(props.rows, props.columns, order);
    const shown = all ? rows.slice(0, 2000) : rows.slice(0, most);

    if (!rows.length)
        return <p class="quiet">{props.empty}</p>;
    return (
        <div class="table-box">
            <table role="table">
                <caption class={props.showCaption ? '' : 'hidden'}>{props.caption}</caption>
                <thead role="rowgroup">
                    <tr role="row">
                        {props.columns.map((c, i) => <Head key={c.head} column={c} at={i} order={order} set={setOrder} />)}
                    </tr>
                </thead>
                <tbody role="rowgroup">
                    {shown.map(row => (
                        <tr role="row" key={props.id(row)}>
                            {props.columns.map(c => (c.names
                                ? <th role="rowheader" scope="row" key={c.head}>{c.cell(row)}</th>
                                : <td role="cell" key={c.head} data-head={c.head}
                                    class={`${c.number ? 'number' : ''} ${c.wide ? 'wide' : ''}`}>{c.cell(row)}</td>))}
                        </tr>
                    ))}
                </tbody>
            </table>
            {rows.length > shown.length && (
                <p class="quiet">
                    {shown.length} of {rows.length} are shown.{' '}
                    {!all && <button type="button" class="link" onClick={() => setAll(true)}>Show more</button>}
                </p>
            )}
        </div>
    );
}
