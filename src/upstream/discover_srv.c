/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discover_srv.c - servers by SRV records (RFC 2782): names with port, priority, weight.
 *
 * Priorities become tiers without gaps (10, 20, 50 are three tiers, from the entry's on), because a
 * tier is an index and a priority is not.  RFC 2782 gives a weight of 0 "a very small chance": it
 * counts as 1.  Weights are the entry's times the record's.
 *
 * While a target's name has no answer, all that the entry gave before stays in use, what is new is
 * added.  A target of "." is an answer: the service has no servers, and so the entry has none.
 */
#include "base/check.h"
#include "observe/log.h"
#include "runtime/dns.h"
#include "upstream/findings.h"

#include <stdlib.h>

struct srv_memory {
    struct findings findings;
    bool            none; /* the service is said not to be available */
};

/* One look-up; what it fills is too large for a fiber's stack. */
struct srv_question {
    struct discovery_round     *round;
    const struct server_config *entry;
    struct findings            *findings;
    struct dns_srv_answer       services;
    struct dns_answer           addresses;
    uint64_t                    holds_us; /* the shortest of all answers */
    struct slice                failed;   /* a name without an answer */
    enum err                    err;      /* why */
};

static bool
takes_srv(const struct server_config *entry)
{
    return entry->srv.n > 0;
}

static uint32_t
weight_of(const struct server_config *entry, const struct dns_srv_target *target)
{
    uint64_t weight = (uint64_t) entry->weight * (target->weight ? target->weight : 1);

    return weight > LB_WEIGHT_MAX ? LB_WEIGHT_MAX : (uint32_t) weight;
}

/* Certificates are for the service's own domain: who names the targets is only DNS (RFC 6125
 * 6.2.1).  "_http._tcp.app.internal" -> "app.internal" */
static struct slice
domain_of(struct slice srv)
{
    while (srv.n && srv.at[0] == '_')
        (void) slice_cut(&srv, '.');
    return srv;
}

static void
add_target(struct srv_question *q, const struct dns_srv_target *target, uint16_t rank)
{
    for (size_t i = 0; i < q->addresses.n; i++) {
        struct discovered d = discovered_of(q->entry, &q->addresses.addresses[i]);

        d.name = domain_of(q->entry->srv);
        d.weight = weight_of(q->entry, target);
        d.tier = (uint16_t) (d.tier + rank > UINT16_MAX ? UINT16_MAX : d.tier + rank);
        findings_add(q->findings, &d);
    }
}

static void
note_hold(struct srv_question *q, uint64_t holds_us)
{
    if (holds_us < q->holds_us)
        q->holds_us = holds_us;
}

/* The addresses of each target; they come sorted by priority. */
static enum err
look_up_targets(struct srv_question *q)
{
    uint16_t rank = 0;

    for (size_t i = 0; i < q->services.n; i++) {
        const struct dns_srv_target *target = &q->services.targets[i];
        enum err e = dns_resolve(slice_str(target->name), target->port, &q->addresses);

        if (e == ERR_CANCELLED)
            return e;
        if (i > 0 && target->priority != target[-1].priority)
            rank++;
        if (e == OK) {
            add_target(q, target, rank);
            note_hold(q, findings_ttl_us(q->round->config, q->addresses.ttl_s, true));
        } else {
            q->failed = slice_str(target->name);
            q->err = e;
        }
    }
    return OK;
}

static enum err
look_up(struct srv_question *q)
{
    enum err e = dns_srv(q->entry->srv, &q->services);

    findings_clear(q->findings);
    if (e == OK) {
        note_hold(q, findings_ttl_us(q->round->config, q->services.ttl_s, false));
        return look_up_targets(q);
    }
    q->failed = q->entry->srv;
    q->err = e;
    return e == ERR_CANCELLED ? e : OK;
}

/* Says what is new about it, once. */
static void
take_result(struct srv_question *q, struct srv_memory *m)
{
    struct slice upstream = q->round->upstream->name;
    bool none = q->err == OK && q->services.n == 0;

    if (q->err != OK && !m->findings.missing)
        log_warning("service does not resolve, servers it had stay in use: %s upstream=%.*s "
                    "srv=%.*s name=%.*s",
                    err_sentence(q->err), SLICE_ARG(upstream), SLICE_ARG(q->entry->srv),
                    SLICE_ARG(q->failed));
    if (none && !m->none)
        log_warning("service is said not to be available: upstream=%.*s srv=%.*s",
                    SLICE_ARG(upstream), SLICE_ARG(q->entry->srv));
    if (q->err == OK && !none && (m->findings.missing || m->none))
        log_info("service resolves again: upstream=%.*s srv=%.*s", SLICE_ARG(upstream),
                 SLICE_ARG(q->entry->srv));
    m->none = none || (m->none && q->err != OK);
    m->findings.missing = q->err != OK;
    if (q->err != OK)
        note_hold(q, FINDINGS_RETRY_US);
    m->findings.due_us = loop_now_us() + q->holds_us;
}

static enum err
refresh(struct discovery_round *r, const struct server_config *entry, struct srv_memory *m)
{
    struct srv_question *q = calloc(1, sizeof(*q));
    enum err e;

    if (!q)
        return ERR_NO_MEMORY;
    q->round = r;
    q->entry = entry;
    q->findings = &m->findings;
    q->holds_us = UINT64_MAX;
    e = look_up(q);
    if (e == OK)
        take_result(q, m);
    free(q);
    return e;
}

static enum err
ask_srv(struct discovery_round *r, const struct server_config *entry)
{
    void **memory = discovery_memory(r, entry);
    struct srv_memory *m = *memory ? *memory : (*memory = calloc(1, sizeof(*m)));

    if (!m)
        return ERR_NO_MEMORY;
    if (!findings_hold(&m->findings) && refresh(r, entry, m) == ERR_CANCELLED)
        return ERR_CANCELLED;
    findings_give(&m->findings, r, entry);
    return OK;
}

static void
forget_srv(void *memory)
{
    findings_free(&((struct srv_memory *) memory)->findings);
    free(memory);
}

const struct discovery_source discover_srv = {
    .name = "srv",
    .takes = takes_srv,
    .ask = ask_srv,
    .forget = forget_srv,
    .waits = true,
};
