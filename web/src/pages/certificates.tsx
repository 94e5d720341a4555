// SPDX-License-Identifier: Apache-2.0
/*
 * certificates.tsx - which names are vouched for, until when, and what went wrong.
 */
import { ago, day } from '../format';
import { Badge, Card, type Tone, Waiting } from '../parts/basics';
import { Table } from '../parts/table';
import { useResource } from '../resource';
import type { Certificate } from '../types';

const DAY_S = 86400;

function toneOf(c: Certificate): Tone {
    const left = c.not_after - Date.now() / 1000;

    return left < 3 * DAY_S ? 'bad' : left < 20 * DAY_S ? 'warn' : 'good';
}

function Names(props: { of: string[] }) {
    const [first, ...others] = props.of ?? [];

    return (
        <>
            <span class="mono">{first ?? 'no name'}</span>
            {others.length > 0 && (
                <details class="inline"><summary>and {others.length} more</summary><span class="mono">{others.join(', ')}</span></details>
            )}
        </>
    );
}

export function Certificates() {
    const resource = useResource<{ certificates: Certificate[] }>('/v1/certificates', 30_000, ['certificate', 'configuration']);

    return (
        <Card>
            <Waiting for={resource} what="the certificates" />
            {resource.value && (
                <Table caption="Certificates" rows={resource.value.certificates}
                    id={c => `${c.listener} ${c.key} ${c.names?.join()} ${c.not_after}`}
                    empty="No listener has TLS, so there are no certificates." columns={[
                        { head: 'Names', cell: c => <Names of={c.names} />, sort: c => c.names?.[0] ?? '', names: true },
                        { head: 'Ends', cell: c => <><Badge tone={toneOf(c)}>{ago(c.not_after)}</Badge> <span class="why">{day(c.not_after)}</span></>, sort: c => c.not_after },
                        { head: 'Issuer', cell: c => c.issuer, sort: c => c.issuer },
                        { head: 'Key', cell: c => (c.key?.toUpperCase() ?? '–') + (c.stapled ? ', stapled' : '') },
                        { head: 'From', cell: c => (c.source === 'acme' ? 'ACME, renews by itself' : <span class="path">{c.file || c.source}</span>) },
                        { head: 'Listener', cell: c => c.listener ?? '–' },
                        { head: 'Trouble', cell: c => (c.error ? <span class="bad-text path">{c.error}</span> : 'none') },
                    ]} />
            )}
        </Card>
    );
}
