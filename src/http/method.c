/* SPDX-License-Identifier: Apache-2.0 */
/* http/method.c - methods by name and what may be assumed of them (RFC 9110 9). */
#include "http/message.h"

#include "base/check.h"

struct known_method {
    struct slice name;
    bool         safe, idempotent;
};

static const struct known_method methods[] = {
    [METHOD_OTHER] = {SLICE_INIT(""), false, false},
#define METHOD_ROW(id, name, safe, idempotent) [id] = {SLICE_INIT(name), safe, idempotent},
    METHOD_TABLE(METHOD_ROW)
#undef METHOD_ROW
};

/* Methods are case-sensitive (RFC 9110 9.1). */
static enum method
if_named(struct slice token, enum method m)
{
    return memcmp(token.at, methods[m].name.at, methods[m].name.n) == 0 ? m : METHOD_OTHER;
}

enum method
method_from(struct slice token)
{
    switch (token.n) {
    case 3: return if_named(token, token.at[0] == 'G' ? METHOD_GET : METHOD_PUT);
    case 4: return if_named(token, token.at[0] == 'P' ? METHOD_POST : METHOD_HEAD);
    case 5:
        switch (token.at[0]) {
        case 'P': return if_named(token, METHOD_PATCH);
        case 'Q': return if_named(token, METHOD_QUERY);
        default: return if_named(token, METHOD_TRACE);
        }
    case 6: return if_named(token, METHOD_DELETE);
    case 7: return if_named(token, token.at[0] == 'O' ? METHOD_OPTIONS : METHOD_CONNECT);
    default: return METHOD_OTHER;
    }
}

struct slice
method_name(enum method m)
{
    CHECK((size_t) m < countof(methods));
    return methods[m].name;
}

bool
method_is_safe(enum method m)
{
    CHECK((size_t) m < countof(methods));
    return methods[m].safe;
}

bool
method_is_idempotent(enum method m)
{
    CHECK((size_t) m < countof(methods));
    return methods[m].idempotent;
}
