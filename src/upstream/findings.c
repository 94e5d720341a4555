/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/findings.c - what sources of servers remember. */
#include "upstream/findings.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>

enum {
    FOUND_MAX = 16384,
    TTL_MIN_S = 1,   /* a TTL of 0 must not become a flood of questions */
    TTL_MAX_S = 300, /* nor a wrong one a name that never changes */
    HOSTS_FILE_S = 5,
};

bool
findings_hold(const struct findings *f)
{
    return f->due_us > clock_monotonic_us();
}

void
findings_clear(struct findings *f)
{
    f->n = 0;
}

bool
findings_add(struct findings *f, const struct discovered *d)
{
    if (f->n == f->room) {
        size_t room = f->room ? f->room * 2 : 4;
        struct discovered *grown;

        if (f->n == FOUND_MAX)
            return false;
        grown = realloc(f->at, room * sizeof(*grown));
        if (!grown)
            return false;
        f->at = grown;
        f->room = room;
    }
    f->at[f->n++] = *d;
    return true;
}

void
findings_give(const struct findings *f, struct discovery_round *r,
              const struct server_config *entry)
{
    uint64_t now_us = clock_monotonic_us();

    for (size_t i = 0; i < f->n && discovery_add(r, &f->at[i]); i++)
        continue;
    if (f->missing)
        discovery_keep(r, entry);
    discovery_again(r, f->due_us > now_us ? f->due_us - now_us : 0);
}

void
findings_free(struct findings *f)
{
    free(take(&f->at));
    f->n = f->room = 0;
}

uint64_t
findings_ttl_us(const struct upstream_config *config, uint32_t ttl_s, bool addresses)
{
    if (config->resolve_us)
        return config->resolve_us;
    if (ttl_s < TTL_MIN_S)
        ttl_s = addresses ? HOSTS_FILE_S : TTL_MIN_S;
    return (ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s) * 1000000ull;
}
