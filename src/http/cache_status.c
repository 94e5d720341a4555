/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_status.c - writes a member of Cache-Status (RFC 9211 2, RFC 8941 4.1). */
#include "http/cache_status.h"

#include "http/chars.h"

struct slice
cache_forward_name(enum cache_forward f)
{
    static const struct slice names[] = {
#define FORWARD_ROW(id, name) [id] = SLICE_INIT(name),
        CACHE_FORWARD_TABLE(FORWARD_ROW)
#undef FORWARD_ROW
    };

    return names[f];
}

static bool
is_sf_token(struct slice s)
{
    if (s.n == 0 || !(ascii_is_alpha(s.at[0]) || s.at[0] == '*'))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!char_is(s.at[i], CHAR_TOKEN) && s.at[i] != ':' && s.at[i] != '/')
            return false;
    return true;
}

static void
put_string(struct text *out, struct slice s)
{
    text_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];

        if (c == '"' || c == '\\')
            text_byte(out, '\\');
        text_byte(out, c < 0x20 || c > 0x7E ? '?' : c);
    }
    text_byte(out, '"');
}

static void
put_token_or_string(struct text *out, struct slice s)
{
    if (is_sf_token(s))
        text_put(out, s);
    else
        put_string(out, s);
}

static void
put_forward(const struct cache_status *s, struct text *out)
{
    if (s->hit)
        text_literal(out, "; hit");
    if (s->forward == CACHE_FORWARD_NONE)
        return;
    text_literal(out, "; fwd=");
    text_put(out, cache_forward_name(s->forward));
    if (s->forward_status) {
        text_literal(out, "; fwd-status=");
        text_u64(out, s->forward_status);
    }
}

static void
put_ttl(int64_t ttl_s, struct text *out)
{
    text_literal(out, "; ttl=");
    if (ttl_s < 0)
        text_byte(out, '-');
    text_u64(out, (uint64_t) (ttl_s < 0 ? -ttl_s : ttl_s));
}

void
cache_status_write(const struct cache_status *s, struct text *out)
{
    put_token_or_string(out, s->name);
    put_forward(s, out);
    if (s->has_ttl)
        put_ttl(s->ttl_s, out);
    if (s->stored)
        text_literal(out, "; stored");
    if (s->collapsed)
        text_literal(out, "; collapsed");
    if (s->key.n) {
        text_literal(out, "; key=");
        put_string(out, s->key);
    }
    if (s->detail.n) {
        text_literal(out, "; detail=");
        put_token_or_string(out, s->detail);
    }
}
