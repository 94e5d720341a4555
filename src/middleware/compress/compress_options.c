/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/compress_options.c - what can be configured of `compress`. */
#include "middleware/compress/compress.h"

#define AT(field) offsetof(struct compress, field)

static const char *const names[] = {
    [CODING_ZSTD] = "zstd", [CODING_BR] = "br", [CODING_GZIP] = "gzip", [CODING_COUNT] = NULL};
static const char *const flushes[] = {
    [FLUSH_STREAMS] = "streams", [FLUSH_ALWAYS] = "always", NULL};
static const char *const servers[] = {
    [SERVER_ANY] = "any", [SERVER_IDENTITY] = "identity", NULL};

const struct option compress_options[] = {
    {"codings", &option_choice, AT(codings), .preset = "[zstd, br, gzip]", .choices = names,
     .flags = OPTION_LIST,
     .doc = "Codings that are offered. The client's weights decide, and among equals the order "
            "here."},
    {"types", &option_string, AT(types), .flags = OPTION_LIST,
     .preset = COMPRESS_TYPES,
     .doc = "Types of responses that are compressed. A star at the end or the start of a name "
            "stands for anything. gRPC never is."},
    {"min_length", &option_bytes, AT(min_bytes), .preset = "512", .max = INT64_MAX,
     .doc = "Responses that are known to be shorter stay as they are."},
    {"gzip_level", &option_int, AT(levels[CODING_GZIP]), .preset = "4", .min = 1, .max = 9,
     .doc = "How hard gzip tries. 1 and 2 are ISA-L's, 3 and 4 (the same) our own, which reach the "
            "ratio of zlib's 4 with about half of its CPU; above them zlib goes on."},
    {"br_level", &option_int, AT(levels[CODING_BR]), .preset = "4", .min = 2,
     .max = 11,
     .doc = "How hard brotli tries."},
    {"zstd_level", &option_int, AT(levels[CODING_ZSTD]), .preset = "3", .min = 1, .max = 19,
     .doc = "How hard zstd tries."},
    {"flush", &option_choice, AT(flush), .preset = "streams", .choices = flushes,
     .doc = "Which responses are never held back to be compressed better: `streams` are those of "
            "unknown length, such as server-sent events; `always` is all."},
    {"from_server", &option_choice, AT(from_server), .preset = "any", .choices = servers,
     .doc = "What servers may answer with: `any` passes the client's Accept-Encoding on, and what "
            "a server has compressed stays as it is; `identity` removes it, so that all "
            "compression is done here."},
    {"when", &option_expr, AT(when),
     .doc = "Compress only what meets this condition. Pages that repeat what a request says beside "
            "a secret should not be compressed for other sites (BREACH): see the guide."},
    {"padding", &option_bytes, AT(padding_bytes), .preset = "0", .max = CODER_PADDING_MAX,
     .doc = "Up to so many bytes without meaning, a random number of them, hide how long a "
            "compressed response is (against BREACH). Nothing is kept in a cache then."},
    {"recompress_after", &option_int, AT(hot_hits), .preset = "16", .max = 1000000000,
     .doc = "A response that a cache has served so often is compressed once more in the background "
            "at the best level, for those to come; 0 never."},
    {"recompress_max", &option_bytes, AT(hot_max_bytes), .preset = "1MiB", .max = 64 << 20,
     .doc = "Longest response that is compressed in the background."},
    {"dictionary", &option_string, AT(dictionary),
     .doc = "Responses whose path matches, such as `/app/*.js`, are offered to clients as "
            "dictionaries for those that follow (RFC 9842, `dcz`): the next version costs only "
            "what is new. `self`: each resource for itself. Needs `zstd`."},
    {"dictionary_max", &option_bytes, AT(dictionary_max_bytes), .preset = "1MiB", .min = 1,
     .max = 8 << 20, .doc = "Longest response that becomes a dictionary; 64 MiB are kept in all."},
    {NULL},
};

static bool
offers(const struct compress *c, int id)
{
    const int *offered = c->codings.at;

    for (size_t i = 0; i < c->codings.n; i++)
        if (offered[i] == id)
            return true;
    return false;
}

/* As it stands in a field, between quotes, and in a URL pattern without its special signs. */
static bool
is_pattern(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.at[i]) && !ascii_is_digit(s.at[i]) && !strchr("/-._~%*", s.at[i]))
            return false;
    return s.n > 0 && s.at[0] == '/';
}

bool
compress_check(struct config_bind *b, void *object)
{
    const struct compress *c = object;
    const struct slice *types = c->types.at;

    if (c->codings.n == 0)
        return config_bind_error(b, &c->codings, "name one of zstd, br, gzip",
                                 "nothing is left to compress with");
    for (size_t i = 0; i < c->types.n; i++)
        if (slice_find(types[i], '/') == SLICE_NOT_FOUND && slice_find(types[i], '*') != 0)
            return config_bind_error(b, &c->types, "such as text/html, text/* or *+json",
                                     "`%.*s` is not a media type", SLICE_ARG(types[i]));
    if (!slice_is_present(c->dictionary))
        return true;
    if (!offers(c, CODING_ZSTD))
        return config_bind_error(b, &c->dictionary, "add zstd to codings",
                                 "dictionaries are for zstd, which is not offered");
    return slice_eq(c->dictionary, SLICE("self")) || is_pattern(c->dictionary) ||
           config_bind_error(b, &c->dictionary, "such as /app/*.js, or `self`",
                             "`%.*s` is not a pattern of paths", SLICE_ARG(c->dictionary));
}
