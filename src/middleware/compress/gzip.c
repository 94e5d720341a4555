/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/gzip.c - gzip: who makes it at which level.
 *
 * Each level is made by whoever needs the least CPU for its ratio: ISA-L below, our own in the
 * middle, zlib above.  Figures: docs/guide/compression.md.
 */
#include "middleware/compress/gzip.h"

enum { LEVEL_ISAL_MAX = 2, LEVEL_LAZY_MAX = 4, LEVEL_BEST = 9, LEVEL_HEAVY = 8 };

static const struct coder_ops *
encoder(int level)
{
    if (level <= LEVEL_ISAL_MAX)
        return &gzip_isal_encoder;
    return level <= LEVEL_LAZY_MAX ? &gzip_lazy_encoder : &gzip_zlib_encoder;
}

const struct coding coding_gzip = {
    .name = SLICE_INIT("gzip"),
    .fastest = 1,
    .best = LEVEL_BEST,
    .heavy = LEVEL_HEAVY,
    .encoder = encoder,
    .decoder = &gzip_zlib_decoder,
};

void
gzip_head(struct coder_lead *lead, size_t padding)
{
    enum { HAS_NAME = 8, OS_UNKNOWN = 255 };
    char *at = lead->bytes;

    memcpy(at, "\x1f\x8b\x08\0\0\0\0\0\0", GZIP_HEAD_BYTES - 1);
    at[3] = padding ? HAS_NAME : 0;
    at[9] = (char) OS_UNKNOWN;
    lead->n = GZIP_HEAD_BYTES;
    lead->sent = 0;
    if (padding == 0)
        return;
    memset(at + lead->n, 'x', padding);
    lead->n += padding;
    at[lead->n++] = '\0';
}
