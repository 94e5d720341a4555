/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_head.c - from the field list of an HTTP/2 request to a request, strictly. */
#include "http/h2_head.h"

#include "base/check.h"
#include "http/uri.h"

enum { FIRST_ROOM = 24, ENTRY_BYTES = 32 };

unsigned
h2_fault_status(enum h2_fault f)
{
    static const uint16_t statuses[] = {
#define STATUS(id, status, words) [id] = status,
        H2_FAULT_TABLE(STATUS)
#undef STATUS
    };

    return statuses[f];
}

const char *
h2_fault_words(enum h2_fault f)
{
    static const char *const all[] = {
#define WORDS(id, status, words) [id] = words,
        H2_FAULT_TABLE(WORDS)
#undef WORDS
    };

    return all[f];
}

void
h2_head_init(struct h2_head *h, const struct h2_limits *limits, struct arena *arena)
{
    *h = (struct h2_head){.limits = *limits};
    fields_init(&h->fields, arena, FIRST_ROOM, limits->fields);
}

/* ------------------------------------------------------------------ one field */

/* Known names are tokens; of the others every byte is looked at (RFC 9113 8.2.1). */
static bool
is_lower_token(struct slice name, enum field_id id)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.at[i] >= 'A' && name.at[i] <= 'Z')
            return false;
    return id != FIELD_OTHER || is_token(name);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9113 8.2.1. */
static bool
is_value(struct slice value)
{
    if (value.n == 0)
        return true;
    if (is_blank(value.at[0]) || is_blank(value.at[value.n - 1]))
        return false;
    return is_field_value(value);
}

static enum h2_fault
add_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
    static const struct {
        struct slice name;
        size_t       offset;
    } known[] = {
        {{":method", 7}, offsetof(struct h2_head, method_token)},
        {{":scheme", 7}, offsetof(struct h2_head, scheme)},
        {{":authority", 10}, offsetof(struct h2_head, authority)},
        {{":path", 5}, offsetof(struct h2_head, path)},
        {{":protocol", 9}, offsetof(struct h2_head, protocol)},
    };

    if (h->fields.n)
        return H2_BAD_PSEUDO_FIELD;
    if (slice_eq(name, SLICE(":path")) && value.n > h->limits.target_bytes)
        return H2_TARGET_TOO_LONG;
    for (size_t i = 0; i < countof(known); i++) {
        struct slice *place = (struct slice *) (void *) ((char *) h + known[i].offset);

        if (!slice_eq(name, known[i].name))
            continue;
        if (slice_is_present(*place))
            return H2_BAD_PSEUDO_FIELD;
        *place = arena_copy(h->fields.arena, value);
        return slice_is_present(*place) ? H2_OK : H2_NO_MEMORY;
    }
    return H2_BAD_PSEUDO_FIELD;
}

/* What may stand only once, or not at all (RFC 9113 8.2.2). */
static enum h2_fault
judge_field(struct h2_head *h, enum field_id id, struct slice value)
{
    switch ((unsigned) id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE: return H2_CONNECTION_FIELD;
    case FIELD_TE: return slice_eq_nocase(value, SLICE("trailers")) ? H2_OK : H2_BAD_TE;
    case FIELD_HOST: return fields_has(&h->fields, FIELD_HOST) ? H2_BAD_HOST : H2_OK;
    case FIELD_CONTENT_LENGTH:
        if (h->has_length || !slice_to_u64(value, INT64_MAX, &h->length))
            return H2_BAD_CONTENT_LENGTH;
        h->has_length = true;
        return H2_OK;
    default: return H2_OK;
    }
}

/* Known names get their canonical spelling, which servers of HTTP/1 have seen before. */
static enum h2_fault
append(struct fields *f, enum field_id id, struct slice name, struct slice value)
{
    struct slice kept;

    if (f->n == f->max)
        return H2_TOO_MANY_FIELDS;
    kept = arena_copy(f->arena, value);
    name = id == FIELD_OTHER ? arena_copy(f->arena, name) : field_name(id);
    if (!slice_is_present(kept) || !slice_is_present(name) || !fields_append(f, name, kept, id))
        return H2_NO_MEMORY;
    return H2_OK;
}

static enum h2_fault
add_field(struct h2_head *h, struct slice name, struct slice value)
{
    enum field_id id = field_id_from(name);
    enum h2_fault fault;

    if (!is_lower_token(name, id))
        return H2_BAD_FIELD_NAME;
    fault = judge_field(h, id, value);
    if (fault == H2_OK)
        fault = append(&h->fields, id, name, value);
    if (fault == H2_OK && id == FIELD_OTHER && slice_eq(name, SLICE("priority")))
        h->priority = h->fields.at[h->fields.n - 1].value;
    return fault;
}

void
h2_head_add(struct h2_head *h, struct slice name, struct slice value)
{
    h->list_bytes += name.n + value.n + ENTRY_BYTES;
    if (h->fault != H2_OK)
        return;
    if (h->list_bytes > h->limits.list_bytes)
        h->fault = H2_HEAD_TOO_LARGE;
    else if (!is_value(value))
        h->fault = H2_BAD_FIELD_VALUE;
    else
        h->fault = name.n && name.at[0] == ':' ? add_pseudo(h, name, value)
                                               : add_field(h, name, value);
}

/* ------------------------------------------------------------------ all of them */

/* RFC 9113 8.3.1: the same as an HTTP/1 request, where only Host is forwarded. */
static enum h2_fault
judge_authority(struct h2_head *h)
{
    struct slice host = fields_value(&h->fields, FIELD_HOST);

    if (slice_is_present(h->authority) && !authority_is_valid(h->authority))
        return H2_BAD_AUTHORITY;
    if (slice_is_present(host)) {
        if (!authority_is_valid(host) ||
            (slice_is_present(h->authority) && !slice_eq_nocase(host, h->authority)))
            return H2_BAD_HOST;
        h->authority = host;
        return H2_OK;
    }
    if (!slice_is_present(h->authority))
        return H2_MISSING_PSEUDO_FIELD;
    if (h->fields.n == h->fields.max)
        return H2_TOO_MANY_FIELDS;
    return fields_add(&h->fields, FIELD_HOST, h->authority) ? H2_OK : H2_NO_MEMORY;
}

/* RFC 9113 8.5, RFC 8441 4: plain CONNECT has no scheme and no path, an extended one has both. */
static enum h2_fault
judge_connect(const struct h2_head *h)
{
    bool extended = slice_is_present(h->protocol);

    if (extended != slice_is_present(h->scheme) || extended != slice_is_present(h->path))
        return H2_BAD_CONNECT;
    if (h->has_length)
        return H2_BAD_CONTENT_LENGTH; /* what follows is no content (RFC 9110 9.3.6) */
    if (!slice_is_present(h->authority))
        return H2_MISSING_PSEUDO_FIELD;
    if (!extended)
        return authority_has_port(h->authority) ? H2_OK : H2_BAD_AUTHORITY;
    return slice_eq_nocase(h->protocol, SLICE("websocket")) ? H2_OK : H2_UNKNOWN_PROTOCOL;
}

static enum h2_fault
judge_target(const struct h2_head *h)
{
    if (!slice_is_present(h->scheme) || !slice_is_present(h->path))
        return H2_MISSING_PSEUDO_FIELD;
    if (!slice_eq_nocase(h->scheme, SLICE("http")) && !slice_eq_nocase(h->scheme, SLICE("https")))
        return H2_BAD_SCHEME;
    if (h->path.n && h->path.at[0] == '/')
        return H2_OK;
    return slice_eq(h->path, SLICE("*")) && h->method == METHOD_OPTIONS ? H2_OK : H2_BAD_TARGET;
}

static enum h2_fault
judge(struct h2_head *h)
{
    enum h2_fault fault = H2_OK;

    if (!slice_is_present(h->method_token))
        return H2_MISSING_PSEUDO_FIELD;
    if (!is_token(h->method_token))
        return H2_BAD_METHOD;
    h->method = method_from(h->method_token);
    if (h->method == METHOD_CONNECT)
        fault = judge_connect(h);
    else if (slice_is_present(h->protocol))
        return H2_BAD_CONNECT;
    if (fault == H2_OK && (h->method != METHOD_CONNECT || slice_is_present(h->protocol)))
        fault = judge_target(h);
    return fault == H2_OK ? judge_authority(h) : fault;
}

/* RFC 9113 8.2.3: a Cookie in crumbs is one field for everybody else. */
static enum h2_fault
join_cookies(struct fields *f)
{
    struct field *first = fields_get(f, FIELD_COOKIE);
    size_t n = 0, kept;
    char *all, *at;

    if (!first || !fields_next(f, first, first->name))
        return H2_OK;
    for (size_t i = 0; i < f->n; i++)
        n += f->at[i].id == FIELD_COOKIE ? f->at[i].value.n + 2 : 0;
    all = at = arena_alloc(f->arena, n);
    if (!all)
        return H2_NO_MEMORY;
    kept = (size_t) (first - f->at) + 1;
    for (size_t i = kept - 1; i < f->n; i++) {
        if (f->at[i].id != FIELD_COOKIE) {
            f->at[kept++] = f->at[i];
            continue;
        }
        memcpy(at, f->at[i].value.at, f->at[i].value.n);
        at += f->at[i].value.n;
        memcpy(at, "; ", 2);
        at += 2;
    }
    f->n = (uint32_t) kept;
    first->value = slice_of(all, n - 2);
    return H2_OK;
}

enum h2_fault
h2_head_end(struct h2_head *h, bool bodiless)
{
    if (h->fault == H2_OK)
        h->fault = judge(h);
    if (h->fault == H2_OK && bodiless && h->has_length && h->length)
        h->fault = H2_BAD_CONTENT_LENGTH;
    if (h->fault == H2_OK)
        h->fault = join_cookies(&h->fields);
    return h->fault;
}

/* ------------------------------------------------------------------ trailers */

enum h2_fault
h2_trailer_add(struct fields *trailers, struct slice name, struct slice value)
{
    enum field_id id = field_id_from(name);

    if (!is_lower_token(name, id))
        return H2_BAD_FIELD_NAME;
    if (!is_value(value))
        return H2_BAD_FIELD_VALUE;
    if (!field_may_trail(id))
        return H2_BAD_TRAILER;
    return append(trailers, id, name, value);
}
