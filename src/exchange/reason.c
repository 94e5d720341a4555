/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/reason.c - REASON_TABLE, turned into what can be asked. */
#include "exchange/reason.h"

#include "base/check.h"

struct reason_row {
    const char *code, *proxy_status, *sentence;
    enum blame  blame;
};

static const struct reason_row rows[REASON_COUNT] = {
#define REASON_ROW(id, code, blame, proxy_status, sentence)                                        \
    [id] = {code, proxy_status, sentence, blame},
    REASON_TABLE(REASON_ROW)
#undef REASON_ROW
};

static const struct reason_row *
row_of(enum reason r)
{
    CHECK((unsigned) r < REASON_COUNT);
    return &rows[r];
}

const char *
reason_code(enum reason r)
{
    return row_of(r)->code;
}

const char *
reason_sentence(enum reason r)
{
    return row_of(r)->sentence;
}

const char *
reason_proxy_status(enum reason r)
{
    return row_of(r)->proxy_status;
}

enum blame
reason_blame(enum reason r)
{
    return row_of(r)->blame;
}

const char *
blame_name(enum blame b)
{
    switch (b) {
    case BLAME_NOBODY: return "nobody";
    case BLAME_CLIENT: return "client";
    case BLAME_SERVER: return "server";
    case BLAME_PROXY: return "proxy";
    case BLAME_CONFIGURATION: return "configuration";
    }
    UNREACHABLE();
}
