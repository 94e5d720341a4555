// SPDX-License-Identifier: Apache-2.0
/*
 * types.ts - what the admin API answers, as far as the pages look at it (docs/guide/api.md).
 * Times: seconds since 1970; durations, `_us`: microseconds.
 */

export interface About {
    version: string;
    pid: number;
    started: number;
    uptime_s: number;
    workers: number;
    config: { path?: string; revision?: number; hash?: string; loaded_at?: number };
    faults?: string[];
}

export interface Server {
    address: string;
    state: string;
    usable: boolean;
    stale?: boolean;
    weight: number;
    tier: number;
    share: number;
    inflight: number;
    waiting: number;
    connections: number;
    idle: number;
    exchanges: number;
    failures: number;
    latency_us: number;
    max_connections: number;
    why: string;
}

export interface Upstream {
    name: string;
    exchanges: number;
    clients: number;
    connections_made: number;
    reused: number;
    retries: number;
    hedges: number;
    waited: number;
    requests_per_connection: number;
    guard: { breaker: string; inflight: number; pending: number; refused: number; limit: number };
    unresolved: boolean;
    servers: Server[];
}

export interface Route {
    name: string;
    host: string[];
    path: string[];
    to: string[];
    use: string[];
    where: string;
    requests: number;
    errors: number;
    p50_us: number;
    p99_us: number;
    bytes_in: number;
    bytes_out: number;
}

export interface StoreStatus {
    name: string;
    objects: number;
    memory_bytes: number;
    memory_max: number;
    disk_objects: number;
    disk_bytes: number;
    disk_max: number;
    hits: number;
    misses: number;
    evicted: number;
    purged: number;
}

export interface CacheStatus {
    name: string; /* of its route */
    store: string;
    hits: number;
    stale: number;
    shared: number;
    misses: number;
    passed: number;
    confirmed: number;
    stored: number;
    hit_bytes: number;
    saved_seconds: number;
}

export interface Certificate {
    names: string[];
    issuer: string;
    key: string;
    not_before: number;
    not_after: number;
    source: string;
    file?: string;
    listener?: string;
    stapled?: boolean;
    error?: string;
}

export interface Plan {
    changes: { kind: string; what: string; name: string; about?: string | null; path?: string; before?: unknown; after?: unknown; where?: string }[];
    counts?: Record<string, number>; /* of all changes; a bounded number is listed */
    replayed: number;
    differing?: number;
    different: { method: string; url: string; count: number; before: unknown; after: unknown }[];
    warnings: unknown[];
}

/** The running or the last one. */
export interface Trial {
    state: 'running' | 'kept' | 'reverted' | 'failed';
    until: number;
    guard: string;
    verdict: 'too_early' | 'holds' | 'broken';
    why: string;
}

export interface Written {
    revision: number | null; /* null: on trial, not kept yet */
    hash: string;
    warnings: unknown[];
    trial: Trial | null;
}

export interface Revision {
    number: number;
    at: number;
    cause: string;
    who: string;
    comment: string;
    hash: string;
    current: boolean;
    text?: string;
    patch?: PatchStep[];
}

export interface PatchStep {
    op: string;
    path: string;
    from?: string;
    value?: unknown;
}

export interface AuditEntry {
    number: number;
    at: number;
    who: string;
    from: string;
    action: string;
    target: string;
    outcome: string;
}

export interface Exchange {
    id: number | string;
    request_id: string;
    method: string;
    host: string;
    target: string;
    client: string;
    route: string;
    server: string;
    state: string;
    status: number;
    version: number;
    age_us: number;
    request_bytes: number;
    response_bytes: number;
}

export interface Trace {
    trace_id: string;
    request_id: string;
    method: string;
    host: string;
    target: string;
    route: string;
    server: string;
    status: number;
    reason: string;
    began: number;
    took_us: number;
    lost?: number; /* decisions that did not fit */
    events?: { at_us: number; took_us: number; what: string; detail: string; where?: string }[];
}

export interface Listener {
    name: string;
    address: string;
    tls: boolean;
    open: number;
    connections: number;
    requests: number;
}

export interface Connection {
    id: number | string;
    client: string;
    listener: string;
    protocol: string;
    state: string;
    tls: boolean;
    requests: number;
}
