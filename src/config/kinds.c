/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/kinds.c - the kinds of single values that everybody needs.
 *
 * The table says what a text means, never its look: `no` may be a name, `1.10` a version.  Each
 * kind reads a scalar, says what it expected when that fails, and writes the JSON Schema of what it
 * reads.  In the schema every value may also be a reference to the environment or to a file.
 */
#include "config/bind.h"
#include "config/units.h"

#include "base/check.h"

/* For the end of a pattern in JSON. */
#define OR_REFERENCE "|\\\\$\\\\{(env|file):"

/* "expected a duration, found `10`" with a hint, or with the kind's syntax as one. */
static bool
expected(struct config_bind *b, const struct option *o, const struct config_node *node,
         const char *hint)
{
    if (!hint)
        hint = arena_printf(&b->loader->report->arena, "such as %s", o->kind->syntax).at;
    return option_error(b, node, hint, "expected %s, found %s",
                        message_with_article(b, o->kind->name), message_found(b, node));
}

static const char *
did_you_mean(struct config_bind *b, struct slice text, const char *prefix, const char *suffix)
{
    return arena_printf(&b->loader->report->arena, "did you mean `%s%.*s%s`?", prefix,
                        SLICE_ARG(slice_first(text, 64)), suffix)
        .at;
}

/* ------------------------------------------------------------------ bounds */

typedef void write_int_f(struct text *out, int64_t value);

static void
write_bytes(struct text *out, int64_t value)
{
    units_write_bytes(out, (uint64_t) value);
}

static void
write_duration(struct text *out, int64_t value)
{
    units_write_duration(out, (uint64_t) value);
}

static void
write_percent(struct text *out, int64_t value)
{
    units_write_percent(out, (uint64_t) value);
}

static bool
bounded(struct config_bind *b, const struct option *o, const struct config_node *node,
        int64_t value, write_int_f *write)
{
    char memory[64];
    struct text bounds;

    if ((o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max))
        return true;
    text_fixed(&bounds, memory, sizeof(memory));
    if (o->max == INT64_MAX) {
        text_literal(&bounds, "at least ");
        write(&bounds, o->min);
    } else if (o->min == INT64_MIN) {
        text_literal(&bounds, "at most ");
        write(&bounds, o->max);
    } else {
        text_literal(&bounds, "between ");
        write(&bounds, o->min);
        text_literal(&bounds, " and ");
        write(&bounds, o->max);
    }
    return option_error(b, node, NULL, "must be %.*s, found %s", SLICE_ARG(text_slice(&bounds)),
                        message_found(b, node));
}

/* ,"minimum":1,"maximum":10 */
static void
write_bounds(const struct option *o, struct text *out)
{
    if (o->min == 0 && o->max == 0)
        return;
    if (o->min != INT64_MIN) {
        text_literal(out, ",\"minimum\":");
        units_write_int(out, o->min);
    }
    if (o->max != INT64_MAX) {
        text_literal(out, ",\"maximum\":");
        units_write_int(out, o->max);
    }
}

/* ------------------------------------------------------------------ bool */

static bool
bool_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    static const struct slice words[] = {SLICE_INIT("true"), SLICE_INIT("false"),
                                         SLICE_INIT("yes"),  SLICE_INIT("no"),
                                         SLICE_INIT("on"),   SLICE_INIT("off")};

    if (!option_scalar(b, o, node))
        return false;
    for (size_t i = 0; i < countof(words); i++)
        if (slice_eq(words[i], node->text)) {
            *(bool *) out = i % 2 == 0;
            return true;
        }
    return option_error(
        b, node, config_suggest(&b->loader->report->arena, node->text, words, countof(words)),
        "expected true or false, found %s", message_found(b, node));
}

static void
bool_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":[\"boolean\",\"string\"],\"pattern\":"
                      "\"^(true|false|yes|no|on|off)$" OR_REFERENCE "\"}");
}

const struct option_kind option_bool = {
    .name = "boolean",
    .syntax = "`true`, `false`, `yes`, `no`, `on`, `off`",
    .size = sizeof(bool),
    .parse = bool_parse,
    .schema = bool_schema,
};

/* ------------------------------------------------------------------ int */

static bool
int_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    int64_t value;

    if (!option_scalar(b, o, node))
        return false;
    if (!units_read_int(node->text, &value))
        return expected(b, o, node, NULL);
    if (!bounded(b, o, node, value, units_write_int))
        return false;
    *(int64_t *) out = value;
    return true;
}

static void
int_schema(const struct option *o, struct text *out)
{
    text_literal(out,
                 "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]+$" OR_REFERENCE "\"");
    write_bounds(o, out);
    text_byte(out, '}');
}

const struct option_kind option_int = {
    .name = "integer",
    .syntax = "`42`",
    .size = sizeof(int64_t),
    .parse = int_parse,
    .schema = int_schema,
};

/* ------------------------------------------------------------------ bytes */

/* `10M` is a million for some and 1048576 for others. */
static const char *
bytes_hint(struct config_bind *b, struct slice s)
{
    size_t digits = 0;
    char letter;

    while (digits < s.n && (ascii_is_digit(s.at[digits]) || s.at[digits] == '.'))
        digits++;
    letter = digits + 1 == s.n ? (char) (s.at[digits] & ~0x20) : '\0';
    if (!digits || !letter || !strchr("KMGT", letter))
        return NULL;
    return arena_printf(&b->loader->report->arena,
                        "write `%.*s%ciB` (powers of 1024) or `%.*s%cB` (powers of 1000)",
                        (int) digits, s.at, letter, (int) digits, s.at,
                        letter == 'K' ? 'k' : letter)
        .at;
}

static bool
bytes_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    uint64_t value;

    if (!option_scalar(b, o, node))
        return false;
    if (!units_read_bytes(node->text, &value))
        return expected(b, o, node, bytes_hint(b, node->text));
    if (!bounded(b, o, node, (int64_t) value, write_bytes))
        return false;
    *(uint64_t *) out = value;
    return true;
}

static void
bytes_schema(const struct option *o, struct text *out)
{
    text_literal(out, "{\"type\":[\"integer\",\"string\"],\"pattern\":"
                      "\"^[0-9]+(\\\\.[0-9]{1,6})?([kKMGT]B|[KMGT]iB|B)?$" OR_REFERENCE "\"");
    if (o->min == 0 && o->max == 0)
        text_literal(out, ",\"minimum\":0");
    write_bounds(o, out);
    text_byte(out, '}');
}

const struct option_kind option_bytes = {
    .name = "size",
    .syntax = "`512`, `16KiB`, `64MiB`, `10GB`",
    .size = sizeof(uint64_t),
    .parse = bytes_parse,
    .schema = bytes_schema,
};

/* ------------------------------------------------------------------ duration */

static bool
duration_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
               void *out)
{
    uint64_t value;

    if (!option_scalar(b, o, node))
        return false;
    if (!units_read_duration(node->text, &value)) {
        bool bare = slice_to_u64(node->text, UINT64_MAX, &value);

        return expected(b, o, node, bare ? did_you_mean(b, node->text, "", "s") : NULL);
    }
    if (!bounded(b, o, node, (int64_t) value, write_duration))
        return false;
    *(uint64_t *) out = value;
    return true;
}

static void
duration_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":[\"integer\",\"string\"],\"minimum\":0,\"maximum\":0,\"pattern\":"
                      "\"^0$|^([0-9]+(\\\\.[0-9]{1,6})?(d|h|m|s|ms|us))+$" OR_REFERENCE "\"}");
}

const struct option_kind option_duration = {
    .name = "duration",
    .syntax = "`250ms`, `10s`, `1m30s`, `2h`, `7d`",
    .size = sizeof(uint64_t),
    .parse = duration_parse,
    .schema = duration_schema,
};

/* ------------------------------------------------------------------ rate */

static bool
rate_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    struct option_rate rate;

    if (!option_scalar(b, o, node))
        return false;
    if (!units_read_rate(node->text, &rate.count, &rate.per_us)) {
        bool bare = slice_to_u64(node->text, UINT64_MAX, &rate.count);

        return expected(b, o, node, bare ? did_you_mean(b, node->text, "", "/s") : NULL);
    }
    if (!bounded(b, o, node, (int64_t) rate.count, units_write_int))
        return false;
    *(struct option_rate *) out = rate;
    return true;
}

static void
rate_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\",\"pattern\":"
                      "\"^[0-9]+/([0-9.]+(d|h|m|s|ms|us)|d|h|m|s|ms|us)$" OR_REFERENCE "\"}");
}

const struct option_kind option_rate_kind = {
    .name = "rate",
    .syntax = "`100/s`, `10/m`, `5/h`, `30/10s`",
    .size = sizeof(struct option_rate),
    .parse = rate_parse,
    .schema = rate_schema,
};

/* ------------------------------------------------------------------ percent */

enum { HUNDRED_PERCENT = 1000000 };

static bool
percent_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
              void *out)
{
    struct option within = *o;
    uint64_t value;

    if (!option_scalar(b, o, node))
        return false;
    if (!units_read_percent(node->text, &value)) {
        bool bare = slice_to_u64(node->text, 100, &value);

        return expected(b, o, node, bare ? did_you_mean(b, node->text, "", "%") : NULL);
    }
    if (o->min == 0 && o->max == 0)
        within.max = HUNDRED_PERCENT;
    if (!bounded(b, &within, node, (int64_t) value, write_percent))
        return false;
    *(uint64_t *) out = value;
    return true;
}

static void
percent_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\",\"pattern\":\"^[0-9]+(\\\\.[0-9]{1,4})?%$" OR_REFERENCE
                      "\"}");
}

const struct option_kind option_percent = {
    .name = "percentage",
    .syntax = "`5%`, `0.1%`",
    .size = sizeof(uint64_t),
    .parse = percent_parse,
    .schema = percent_schema,
};

/* ------------------------------------------------------------------ string */

static bool
string_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
             void *out)
{
    if (!option_scalar(b, o, node))
        return false;
    *(struct slice *) out = node->text;
    return true;
}

static void
string_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":[\"string\",\"number\",\"boolean\"]}");
}

const struct option_kind option_string = {
    .name = "string",
    .syntax = "`text`",
    .size = sizeof(struct slice),
    .parse = string_parse,
    .schema = string_schema,
};

/* ------------------------------------------------------------------ choice */

static bool
choice_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
             void *out)
{
    struct slice names[OPTIONS_MAX];
    const char *hint;
    size_t n = 0;

    if (!option_scalar(b, o, node))
        return false;
    for (; o->choices[n] && n < countof(names); n++) {
        names[n] = slice_str(o->choices[n]);
        if (slice_eq(names[n], node->text)) {
            *(int *) out = (int) n;
            return true;
        }
    }
    hint = config_suggest(&b->loader->report->arena, node->text, names, n);
    if (!hint)
        hint = message_names(b, "one of", names, n);
    return option_error(b, node, hint, "unknown %s for `%s`", message_found(b, node), o->name);
}

/* What YAML reads as a boolean or a number is offered as such, too. */
static void
choice_schema(const struct option *o, struct text *out)
{
    text_literal(out, "{\"anyOf\":[{\"enum\":[");
    for (size_t i = 0; o->choices[i]; i++) {
        struct slice name = slice_str(o->choices[i]);
        int64_t ignored;

        text_printf(out, "%s\"", i ? "," : "");
        text_json(out, name);
        text_byte(out, '"');
        if (units_read_int(name, &ignored) || slice_eq(name, SLICE("true")) ||
            slice_eq(name, SLICE("false")))
            text_printf(out, ",%s", o->choices[i]);
    }
    text_literal(out, "]},{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{(env|file):\"}]}");
}

const struct option_kind option_choice = {
    .name = "choice",
    .syntax = "one of the names",
    .size = sizeof(int),
    .parse = choice_parse,
    .schema = choice_schema,
};

/* ------------------------------------------------------------------ network, address */

/* The network that has this address, when only bits behind the prefix are wrong. */
static const char *
network_hint(struct config_bind *b, struct slice s)
{
    size_t slash = slice_find(s, '/');
    char text[ADDRESS_TEXT_MAX];
    struct slice ip = slice_first(s, slash);
    union address a;
    struct network n;
    uint64_t bits;
    uint8_t *bytes;
    size_t n_bytes;

    if (slash == SLICE_NOT_FOUND || !address_parse_ip(ip, 0, &a))
        return NULL;
    n_bytes = a.any.sa_family == AF_INET ? 4 : 16;
    bytes = n_bytes == 4 ? (uint8_t *) &a.v4.sin_addr : a.v6.sin6_addr.s6_addr;
    if (!slice_to_u64(slice_from(s, slash + 1), n_bytes * 8, &bits))
        return NULL;
    for (size_t i = 0; i < n_bytes * 8; i++)
        if (i >= bits)
            bytes[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    ip = arena_printf(&b->loader->report->arena, "%.*s/%u", (int) address_write_ip(&a, text), text,
                      (unsigned) bits);
    return network_parse(ip, &n) ? did_you_mean(b, ip, "", "") : NULL;
}

static bool
network_parse_kind(struct config_bind *b, const struct option *o, const struct config_node *node,
                   void *out)
{
    struct network n;

    if (!option_scalar(b, o, node))
        return false;
    if (!network_parse(node->text, &n))
        return expected(b, o, node, network_hint(b, node->text));
    *(struct network *) out = n;
    return true;
}

const struct option_kind option_network = {
    .name = "network",
    .syntax = "`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`, `unix`",
    .size = sizeof(struct network),
    .parse = network_parse_kind,
    .schema = string_schema,
};

static const char *
address_hint(struct config_bind *b, struct slice s)
{
    union address ignored;
    uint64_t port;

    if (slice_to_u64(s, UINT16_MAX, &port) && port)
        return did_you_mean(b, s, ":", "");
    if (address_parse_ip(s, 0, &ignored))
        return slice_find(s, ':') != SLICE_NOT_FOUND && s.at[0] != '['
                   ? did_you_mean(b, s, "[", "]:80")
                   : did_you_mean(b, s, "", ":80");
    if (s.n && s.at[0] == '/')
        return did_you_mean(b, s, "unix:", "");
    return NULL;
}

static bool
address_parse_kind(struct config_bind *b, const struct option *o, const struct config_node *node,
                   void *out)
{
    union address a;

    if (!option_scalar(b, o, node))
        return false;
    if (!address_parse(node->text, &a))
        return expected(b, o, node, address_hint(b, node->text));
    *(union address *) out = a;
    return true;
}

const struct option_kind option_address = {
    .name = "address",
    .syntax = "`:80`, `127.0.0.1:80`, `[::1]:80`, `unix:/path`",
    .size = sizeof(union address),
    .parse = address_parse_kind,
    .schema = string_schema,
};
