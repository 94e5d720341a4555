/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/health_options.c - what can be configured of a check. */
#include "exchange/expr.h"
#include "upstream/health.h"
#include "upstream/probe.h"

enum { STATUS_MIN = 200, STATUS_MAX = 599 };

/* ------------------------------------------------------------------ ranges of statuses */

bool
probe_status_range(struct slice text, struct status_range *range)
{
    size_t dash = slice_find(text, '-');
    struct slice first = slice_first(text, dash);
    struct slice last = dash == SLICE_NOT_FOUND ? text : slice_from(text, dash + 1);
    uint64_t low, high;

    if (!slice_to_u64(first, STATUS_MAX, &low) || !slice_to_u64(last, STATUS_MAX, &high) ||
        low < STATUS_MIN || high < low)
        return false;
    *range = (struct status_range){(unsigned) low, (unsigned) high};
    return true;
}

static bool
parse_status(struct config_bind *b, const struct option *o, const struct config_node *node,
             void *out)
{
    if (!option_scalar(b, o, node))
        return false;
    return probe_status_range(node->text, out) ||
           option_error(b, node, "write it as 200 or 200-299, from 200 to 599",
                        "`%.*s` is no status", SLICE_ARG(node->text));
}

static void
status_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":200,\"maximum\":599},"
                      "{\"type\":\"string\",\"pattern\":\"^[2-5][0-9]{2}(-[2-5][0-9]{2})?$\"}]}");
}

static const struct option_kind option_status = {
    .name = "status",
    .syntax = "a status or a range of them: `200`, `200-299`",
    .size = sizeof(struct status_range),
    .parse = parse_status,
    .schema = status_schema,
};

/* ------------------------------------------------------------------ the table */

static const char *const tls[] = {
    [PROBE_TLS_AUTO] = "auto",
    [PROBE_TLS_ON] = "on",
    [PROBE_TLS_OFF] = "off",
    NULL,
};

static const struct option health_options[] = {
    {"probe", &option_choice, offsetof(struct health_config, kind), .preset = "http",
     .choices = probe_names,
     .doc =
         "How the server is asked: by an HTTP request, gRPC's health service (over HTTP/2), a TCP "
         "connection, the greeting of an FTP server, a command that is run here, or an agent "
         "that runs beside the server and answers as HAProxy's agent-check (`up`, `down`, "
         "`75%`, `drain`, `maint`, `ready`)."},
    {"every", &option_duration, offsetof(struct health_config, every_us), .preset = "5s",
     .min = 10000, .max = 86400000000,
     .doc = "How often.  The checks of all servers are spread over the interval."},
    {"jitter", &option_percent, offsetof(struct health_config, jitter), .preset = "10%",
     .max = 1000000, .doc = "Each probe comes up to this share of the interval later, at random."},
    {"timeout", &option_duration, offsetof(struct health_config, timeout_us), .preset = "2s",
     .min = 1000, .max = 3600000000, .doc = "How long a whole probe may take."},
    {"rise", &option_int, offsetof(struct health_config, rise), .min = 1, .max = 1000,
     .doc = "After how many passes in a row a server that is down comes back: 2, with an agent 1.  "
            "A server whose state keeps changing needs more, up to eight times as many.  The very "
            "first answer decides alone."},
    {"fall", &option_int, offsetof(struct health_config, fall), .min = 1, .max = 1000,
     .doc = "After how many failures in a row a server is down: 3, with an agent 1."},
    {"port", &option_int, offsetof(struct health_config, port), .min = 1, .max = 65535,
     .doc = "Ask another port than the server's; an agent always has one of its own."},
    {"tls", &option_choice, offsetof(struct health_config, tls), .preset = "auto", .choices = tls,
     .doc =
         "http, grpc: whether the check is made over TLS, with the upstream's `tls`: `auto` as "
         "requests are, unless it asks another `port`."},
    {"path", &option_string, offsetof(struct health_config, path),
     .doc = "http: what is asked for, with the query if any: `/`."},
    {"host", &option_string, offsetof(struct health_config, host),
     .doc = "http, grpc: the Host field; without it the address that is asked."},
    {"service", &option_string, offsetof(struct health_config, service),
     .doc = "grpc: the service whose health is asked for, such as `shop.Cart`; without it that of "
            "the server as a whole."},
    {"method", &option_string, offsetof(struct health_config, method),
     .doc = "http: the method: `GET`."},
    {"status", &option_status, offsetof(struct health_config, status), .flags = OPTION_LIST,
     .doc = "http: which statuses pass: `200-399`."},
    {"body", &option_regex, offsetof(struct health_config, body),
     .doc = "http: what the first 64 KiB of the body must match."},
    {"send", &option_string, offsetof(struct health_config, send),
     .doc = "tcp, agent: what is sent first, such as `\"PING\\r\\n\"`."},
    {"expect", &option_regex, offsetof(struct health_config, expect),
     .doc = "tcp: what the first 64 KiB that the server sends must match.  ftp: the same for its "
            "greeting, which otherwise must begin with 220."},
    {"command", &option_string, offsetof(struct health_config, command), .flags = OPTION_LIST,
     .doc = "command: the program, by its whole path, and its arguments.  It finds "
            "`MAITRED_SERVER` (the address) and `MAITRED_UPSTREAM` in its environment; exit "
            "status 0 passes, and the first line that it writes says why not.  At the time-out it "
            "is killed with all that it has started."},
    {NULL},
};

/* ------------------------------------------------------------------ what fits what */

/* Those that were set, and which kinds understand them. */
static const void *
set_but_not_taken(const struct health_config *h, unsigned takes, const char **name)
{
    const struct {
        const char  *name;
        const void  *field;
        bool         is_set;
        enum probe_option option;
    } all[] = {
        {"port", &h->port, h->port != 0, PROBE_PORT},
        {"tls", &h->tls, h->tls != PROBE_TLS_AUTO, PROBE_TLS},
        {"path", &h->path, slice_is_present(h->path), PROBE_HTTP},
        {"host", &h->host, slice_is_present(h->host), PROBE_HOST},
        {"service", &h->service, slice_is_present(h->service), PROBE_SERVICE},
        {"method", &h->method, slice_is_present(h->method), PROBE_HTTP},
        {"status", &h->status, h->status.n != 0, PROBE_HTTP},
        {"body", &h->body, h->body != NULL, PROBE_HTTP},
        {"send", &h->send, slice_is_present(h->send), PROBE_SEND},
        {"expect", &h->expect, h->expect != NULL, PROBE_EXPECT},
        {"command", &h->command, h->command.n != 0, PROBE_COMMAND},
    };

    for (size_t i = 0; i < countof(all); i++)
        if (all[i].is_set && !(takes & all[i].option)) {
            *name = all[i].name;
            return all[i].field;
        }
    return NULL;
}

static bool
check_health(struct config_bind *b, void *object)
{
    struct health_config *h = object;
    const struct probe_kind *kind = probe_kinds[h->kind];
    const char *name;
    const void *field = set_but_not_taken(h, kind->takes, &name);

    if (field)
        return config_bind_error(b, field, "remove it, or choose another `probe`",
                                 "a check by `%s` has no `%s`", kind->name, name);
    if (!h->rise)
        h->rise = kind->rise;
    if (!h->fall)
        h->fall = kind->fall;
    return !kind->check || kind->check(b, h);
}

const struct option_object health_object = {
    .name = "health",
    .doc = "A check that is made of each server again and again; just its path may stand for it.  "
           "A server is used while all of its checks pass.",
    .size = sizeof(struct health_config),
    .options = health_options,
    .shorthand = "path",
    .check = check_health,
};
