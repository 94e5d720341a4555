/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/compress.h - the parts of `compress`: its options, what an encoded response's
 * fields say, work in the background, dictionaries.
 */
#ifndef MIDDLEWARE_COMPRESS_COMPRESS_H
#define MIDDLEWARE_COMPRESS_COMPRESS_H

#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/compress/coding.h"

/* Media types that get shorter. */
#define COMPRESS_TYPES                                                                            \
    "[text/*, '*+json', '*+xml', application/json, application/javascript, " \
    "application/ecmascript, application/xml, application/wasm, application/x-ndjson, " \
    "application/manifest+json, application/vnd.ms-fontobject, font/ttf, font/otf, " \
    "font/collection, image/bmp, image/x-icon, image/vnd.microsoft.icon]"

enum compress_flush { FLUSH_STREAMS, FLUSH_ALWAYS };
enum compress_server { SERVER_ANY, SERVER_IDENTITY };

struct compress {
    struct option_list codings; /* of int, enum coding_id; the most wanted first */
    struct option_list types;   /* of struct slice */
    uint64_t           min_bytes;
    int64_t            levels[CODING_COUNT];
    int                flush;
    int                from_server;
    struct expr       *when; /* NULL: always */
    uint64_t           padding_bytes;
    int64_t            hot_hits; /* 0: never */
    uint64_t           hot_max_bytes;
    struct slice       dictionary; /* a pattern of paths, or "self"; absent: none */
    uint64_t           dictionary_max_bytes;
};

extern const struct option compress_options[];
/* The check of that object. */
bool compress_check(struct config_bind *b, void *object);

/* ------------------------------------------------------------------ fields */

/* The response's type is among them: a name, or with a star at its end or its start.  Parameters
 * and case do not count. */
bool compress_type_matches(const struct option_list *types, struct slice content_type);
/* Adds the name to Vary, unless it is there. */
bool compress_vary(struct exchange *x, struct slice name);
/* What changes about a response when its body is encoded, or decoded (coding absent): validators
 * get weak (RFC 9110 8.8.1), what was said of the bytes is dropped.  False: out of memory. */
bool compress_recoded(struct exchange *x, struct slice coding);
/* "x" to W/"x": the validators of two forms that mean the same.  False: out of memory. */
bool compress_weaken_etag(struct exchange *x);

/* ------------------------------------------------------------------ in the background */

/* Encodes what `v` keeps once more, as well as it gets; one at a time in each worker. */
void compress_again(struct variants *v, const struct coding *coding, uint64_t max_bytes);
enum { COMPRESS_BEST_EFFORT = 99 };

#endif
