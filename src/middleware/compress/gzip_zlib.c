/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/gzip_zlib.c - gzip by zlib: the upper levels, and decoding. */
#include "base/check.h"
#include "middleware/compress/gzip.h"

#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, RAW = -WINDOW_BITS, GZIP = WINDOW_BITS + 16, MEMORY_LEVEL = 8 };

static enum err
err_of(int status)
{
    return status == Z_MEM_ERROR ? ERR_NO_MEMORY : ERR_MALFORMED;
}

static void
lend(z_stream *z, const struct slice *in, const struct coder_room *out)
{
    CHECK(in->n <= UINT32_MAX && out->room - out->n <= UINT32_MAX);
    z->next_in = (Bytef *) in->at;
    z->avail_in = (uInt) in->n;
    z->next_out = (Bytef *) out->at + out->n;
    z->avail_out = (uInt) (out->room - out->n);
}

static void
take_back(const z_stream *z, struct slice *in, struct coder_room *out)
{
    *in = slice_from(*in, in->n - z->avail_in);
    out->n = out->room - z->avail_out;
}

/* ------------------------------------------------------------------ encoder */

/* Header and trailer are ours, so that padding needs no second way. */
struct deflater {
    z_stream          z;
    bool              ready;
    struct coder_lead lead;
    uint32_t          crc, length;
    size_t            trailer; /* bytes of it that are out */
};

static void *
deflater_create(void)
{
    return calloc(1, sizeof(struct deflater));
}

static bool
deflater_start(void *state, const struct coder_setup *setup)
{
    struct deflater *d = state;

    gzip_head(&d->lead, setup->padding);
    d->crc = (uint32_t) crc32(0, NULL, 0);
    d->length = 0;
    d->trailer = 0;
    if (d->ready)
        return deflateReset(&d->z) == Z_OK &&
               deflateParams(&d->z, setup->level, Z_DEFAULT_STRATEGY) == Z_OK;
    d->ready = deflateInit2(&d->z, setup->level, Z_DEFLATED, RAW, MEMORY_LEVEL,
                            Z_DEFAULT_STRATEGY) == Z_OK;
    return d->ready;
}

/* Checksum and length of the plain form, little-endian. */
static enum err
put_trailer(struct deflater *d, struct coder_room *out)
{
    while (d->trailer < 8 && out->n < out->room) {
        uint32_t word = d->trailer < 4 ? d->crc : d->length;

        out->at[out->n++] = (char) (word >> 8 * (d->trailer++ % 4));
    }
    return d->trailer == 8 ? ERR_END : OK;
}

static enum err
deflater_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    static const int flush[] = {
        [CODER_GO_ON] = Z_NO_FLUSH, [CODER_FLUSH] = Z_SYNC_FLUSH, [CODER_FINISH] = Z_FINISH};
    struct deflater *d = state;
    struct slice before = *in;
    int status;

    if (!coder_lead_out(&d->lead, out) || out->n == out->room)
        return OK;
    if (d->trailer)
        return put_trailer(d, out);
    lend(&d->z, in, out);
    status = deflate(&d->z, flush[how]);
    take_back(&d->z, in, out);
    d->crc = (uint32_t) crc32(d->crc, (const Bytef *) before.at, (uInt) (before.n - in->n));
    d->length += (uint32_t) (before.n - in->n);
    if (status == Z_STREAM_END)
        return put_trailer(d, out);
    return status == Z_OK || status == Z_BUF_ERROR ? OK : err_of(status);
}

static void
deflater_destroy(void *state)
{
    struct deflater *d = state;

    if (d->ready)
        deflateEnd(&d->z);
    free(d);
}

const struct coder_ops gzip_zlib_encoder = {
    .create = deflater_create,
    .start = deflater_start,
    .step = deflater_step,
    .destroy = deflater_destroy,
};

/* ------------------------------------------------------------------ decoder */

/* A message may consist of several members, one after the other (RFC 1952 2.2). */
struct inflater {
    z_stream z;
    bool     ready;
    bool     between; /* at least one member is complete, the next one has not begun */
};

static void *
inflater_create(void)
{
    return calloc(1, sizeof(struct inflater));
}

static bool
inflater_start(void *state, const struct coder_setup *setup)
{
    struct inflater *i = state;

    (void) setup;
    i->between = false;
    if (i->ready)
        return inflateReset(&i->z) == Z_OK;
    i->ready = inflateInit2(&i->z, GZIP) == Z_OK;
    return i->ready;
}

static enum err
inflater_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    struct inflater *i = state;

    while (out->n < out->room) {
        size_t n = out->n;
        int status;

        if (i->between && in->n && inflateReset(&i->z) != Z_OK)
            return ERR_MALFORMED;
        if (in->n == 0 && i->between)
            return how == CODER_FINISH ? ERR_END : OK;
        i->between = false;
        lend(&i->z, in, out);
        status = inflate(&i->z, Z_NO_FLUSH);
        take_back(&i->z, in, out);
        if (status == Z_STREAM_END)
            i->between = true;
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return err_of(status);
        else if (in->n == 0 && out->n < out->room)
            return how == CODER_FINISH && out->n == n ? ERR_MALFORMED : OK;
    }
    return OK;
}

static void
inflater_destroy(void *state)
{
    struct inflater *i = state;

    if (i->ready)
        inflateEnd(&i->z);
    free(i);
}

const struct coder_ops gzip_zlib_decoder = {
    .create = inflater_create,
    .start = inflater_start,
    .step = inflater_step,
    .destroy = inflater_destroy,
};
