/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discover_name.c - servers by name: each of its addresses (A, AAAA, /etc/hosts) is one.
 *
 * The answer holds for its TTL, or for `resolve`.  A name that has no answer, be it that it is gone
 * or that no name server speaks, keeps the addresses that it had: servers mostly outlive a mistake
 * in a zone.
 */
#include "observe/log.h"
#include "runtime/dns.h"
#include "upstream/findings.h"

#include <stdlib.h>

enum { HTTP_PORT = 80, HTTPS_PORT = 443 };

static bool
takes_name(const struct server_config *entry)
{
    union address address;
    struct slice host;
    uint16_t port;

    return entry->address.n && !address_parse(entry->address, &address) &&
           address_split(entry->address, HTTP_PORT, &host, &port);
}

static void
take_answer(struct discovery_round *r, const struct server_config *entry, struct findings *f,
            struct slice host, const struct dns_answer *answer)
{
    if (f->missing)
        log_info("name of a server resolves again: upstream=%.*s name=%.*s",
                 SLICE_ARG(r->upstream->name), SLICE_ARG(entry->address));
    f->missing = false;
    findings_clear(f);
    for (size_t i = 0; i < answer->n; i++) {
        struct discovered d = discovered_of(entry, &answer->addresses[i]);

        d.name = host;
        findings_add(f, &d);
    }
    f->due_us = loop_now_us() + findings_ttl_us(r->config, answer->ttl_s, true);
}

static void
take_failure(struct discovery_round *r, const struct server_config *entry, struct findings *f,
             enum err e)
{
    if (!f->missing)
        log_warning("name of a server does not resolve, addresses it had stay in use: %s "
                    "upstream=%.*s name=%.*s",
                    err_sentence(e), SLICE_ARG(r->upstream->name), SLICE_ARG(entry->address));
    f->missing = true;
    findings_clear(f);
    f->due_us = loop_now_us() + FINDINGS_RETRY_US;
}

static enum err
look_up(struct discovery_round *r, const struct server_config *entry, struct findings *f)
{
    struct dns_answer *answer = malloc(sizeof(*answer));
    uint16_t usual = r->config->tls ? HTTPS_PORT : HTTP_PORT;
    enum err e = ERR_NO_MEMORY;
    struct slice host;
    uint16_t port;

    if (answer && address_split(entry->address, usual, &host, &port))
        e = dns_resolve(host, port, answer);
    if (e == OK)
        take_answer(r, entry, f, host, answer);
    else if (e != ERR_CANCELLED)
        take_failure(r, entry, f, e);
    free(answer);
    return e;
}

static enum err
ask_name(struct discovery_round *r, const struct server_config *entry)
{
    void **memory = discovery_memory(r, entry);
    struct findings *f = *memory ? *memory : (*memory = calloc(1, sizeof(*f)));

    if (!f)
        return ERR_NO_MEMORY;
    if (!findings_hold(f) && look_up(r, entry, f) == ERR_CANCELLED)
        return ERR_CANCELLED;
    findings_give(f, r, entry);
    return OK;
}

static void
forget_name(void *memory)
{
    findings_free(memory);
    free(memory);
}

const struct discovery_source discover_name = {
    .name = "name",
    .takes = takes_name,
    .ask = ask_name,
    .forget = forget_name,
    .waits = true,
};
