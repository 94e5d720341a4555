/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/challenge_dns.c - proofs in the DNS (RFC 8555 8.4): a TXT record that a name server is told
 * to have (RFC 2136), or that a program of the operator's makes.
 *
 * Several may be under way for one name (example.com and *.example.com): each adds and removes its
 * own record only.
 */
#include "acme/challenge.h"

#include "acme/command.h"
#include "acme/dns_send.h"
#include "acme/dns_update.h"
#include "acme/jose.h"
#include "base/clock.h"
#include "observe/log.h"
#include "runtime/loop.h"

#include <stdio.h>

enum { FIRST_LOOK_US = 100000, LOOK_MAX_US = 2000000, HURRY_US = 2000000, NAME_ROOM = 300 };

static const char prefix[] = "_acme-challenge.";

/* A record in the making. */
struct making {
    struct acme_proof     *proof;
    const struct acme_dns *dns;
    struct slice           name, value;
    uint64_t               deadline_us;
    union address          server;
    char                   name_room[NAME_ROOM], value_room[ACME_SHA256_LETTERS];
};

static bool
make(struct making *m, struct acme_proof *p)
{
    int n = snprintf(m->name_room, sizeof(m->name_room), "%s%.*s", prefix, SLICE_ARG(p->name));

    m->proof = p;
    m->dns = p->config->dns;
    m->deadline_us = loop_now_us() + (p->hurry && m->dns->timeout_us > HURRY_US
                                          ? HURRY_US
                                          : m->dns->timeout_us);
    if (n < 0 || (size_t) n >= sizeof(m->name_room) ||
        !acme_sha256_letters(p->authorization, m->value_room))
        return acme_proof_fail(p, "the record's name is too long");
    m->name = slice_of(m->name_room, (size_t) n);
    m->value = slice_of(m->value_room, sizeof(m->value_room));
    return true;
}

/* ------------------------------------------------------------------ by a name server */

static bool
fail(struct making *m, const char *doing, enum err e)
{
    return acme_proof_fail(m->proof, "%s name server %.*s: %s", doing,
                           SLICE_ARG(slice_first(m->dns->server, 80)), err_sentence(e));
}

static bool
find_server(struct making *m)
{
    enum err e = acme_dns_find(m->dns->server, &m->server);

    return e == OK || fail(m, "looking for", e);
}

static bool
judge(struct making *m, enum err e, const struct acme_dns_answer *a)
{
    if (a->tsig_error)
        return acme_proof_fail(m->proof, "name server %.*s does not take our signature: %s",
                               SLICE_ARG(slice_first(m->dns->server, 80)),
                               acme_dns_rcode_name(a->tsig_error));
    if (a->rcode)
        return acme_proof_fail(m->proof, "name server %.*s answers %s to the update of %.*s",
                               SLICE_ARG(slice_first(m->dns->server, 80)),
                               acme_dns_rcode_name(a->rcode),
                               SLICE_ARG(slice_first(m->dns->zone, 80)));
    if (e == ERR_DENIED)
        return acme_proof_fail(m->proof, "the answer of name server %.*s is not signed as it should"
                                         " be", SLICE_ARG(slice_first(m->dns->server, 80)));
    return e == OK || fail(m, "answer of", e);
}

static bool
send_update(struct making *m, bool add, struct text *message, struct text *answer)
{
    const struct acme_dns_key key = {m->dns->key_name, m->dns->secret};
    const struct acme_dns_change change = {
        .zone = m->dns->zone,
        .name = m->name,
        .value = m->value,
        .ttl_s = (uint32_t) (m->dns->ttl_us / 1000000),
        .add = add,
    };
    uint64_t now_s = clock_wall_us() / 1000000;
    uint16_t id = (uint16_t) random_u64();
    struct acme_dns_answer a = {0};
    uint8_t mac[MAC_BYTES];
    enum err e;

    if (!acme_dns_write_update(message, id, &change) || !acme_dns_sign(message, &key, now_s, mac))
        return acme_proof_fail(m->proof, "`%.*s` is no name for a record", SLICE_ARG(m->name));
    e = acme_dns_ask(&m->server, text_slice(message), m->deadline_us, answer);
    if (e != OK)
        return fail(m, "updating", e);
    e = acme_dns_read(text_slice(answer), id, &key, mac, clock_wall_us() / 1000000,
                      (struct slice){NULL, 0}, &a);
    return judge(m, e, &a);
}

static bool
update(struct making *m, bool add)
{
    struct text message, answer;
    bool good;

    text_init(&message, ACME_DNS_MESSAGE_MAX);
    text_init(&answer, ACME_DNS_MESSAGE_MAX);
    good = find_server(m) && send_update(m, add, &message, &answer);
    text_free(&message);
    text_free(&answer);
    return good;
}

enum sight { SEEN, NOT_YET, BLIND };

/* Does the server show the record?  One that answers updates only cannot tell. */
static enum sight
look(struct making *m)
{
    uint16_t id = (uint16_t) random_u64();
    struct text message, answer;
    struct acme_dns_answer a = {0};
    enum sight sight = NOT_YET;

    text_init(&message, ACME_DNS_MESSAGE_MAX);
    text_init(&answer, ACME_DNS_MESSAGE_MAX);
    if (acme_dns_write_question(&message, id, m->name) &&
        acme_dns_ask(&m->server, text_slice(&message), m->deadline_us, &answer) == OK &&
        acme_dns_read(text_slice(&answer), id, NULL, NULL, 0, m->value, &a) == OK)
        sight = a.has_value ? SEEN : acme_dns_is_refusal(a.rcode) ? BLIND : NOT_YET;
    text_free(&message);
    text_free(&answer);
    return sight;
}

static bool
wait_until_seen(struct making *m)
{
    uint64_t pause_us = FIRST_LOOK_US;
    enum sight sight;

    while ((sight = look(m)) == NOT_YET) {
        uint64_t now_us = loop_now_us();

        if (now_us + pause_us >= m->deadline_us)
            return acme_proof_fail(m->proof, "name server %.*s does not show the record that it has"
                                             " taken", SLICE_ARG(slice_first(m->dns->server, 80)));
        if (fiber_sleep_until(now_us + pause_us) != OK)
            return fail(m, "waiting for", ERR_CANCELLED);
        if (pause_us < LOOK_MAX_US)
            pause_us *= 2;
    }
    return true;
}

/* ------------------------------------------------------------------ by a command */

static bool
command(struct making *m, bool add)
{
    const struct slice more[3] = {add ? SLICE("add") : SLICE("remove"), m->name, m->value};

    return acme_command_run(&m->dns->command, more, m->deadline_us, m->proof->why,
                            sizeof(m->proof->why));
}

/* ------------------------------------------------------------------ either */

static bool
show_record(struct acme_proof *p)
{
    struct making m;
    bool good = make(&m, p) && (m.dns->command.n ? command(&m, true)
                                                : update(&m, true) && wait_until_seen(&m));

    if (good && m.dns->delay_us && fiber_sleep_until(loop_now_us() + m.dns->delay_us) != OK)
        good = acme_proof_fail(p, "%s", err_sentence(ERR_CANCELLED));
    return good;
}

/* A record that stays behind does no harm, but should be known of. */
static void
hide_record(struct acme_proof *p)
{
    struct making m;
    bool good = make(&m, p) && (m.dns->command.n ? command(&m, false) : update(&m, false));

    if (!good)
        log_warning("certificates: the record %.*s stays behind: %s", SLICE_ARG(m.name), p->why);
}

const struct acme_challenge_kind acme_dns_01 = {
    .type = "dns-01",
    .proves_wildcards = true,
    .show = show_record,
    .hide = hide_record,
};
