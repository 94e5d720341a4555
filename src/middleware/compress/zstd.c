/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/zstd.c - zstd (RFC 8878), with a dictionary too (RFC 9842).
 *
 * Windows: who decodes for the web refuses more than 8 MiB (RFC 9659).  Here they are smaller where
 * nobody said how long the message is, because a window is what a stream costs for as long as it
 * lives.
 */
#include "middleware/compress/coding.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    LEVEL_BEST = 19,
    LEVEL_HEAVY = 10,
    WINDOW_LOG_STREAM = 18,
    WINDOW_LOG_KNOWN = 20,
    WINDOW_LOG_MAX = 23,
};

static enum err
err_of(size_t status)
{
    return ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation ? ERR_NO_MEMORY
                                                                     : ERR_MALFORMED;
}

/* ------------------------------------------------------------------ encoder */

struct encoder {
    ZSTD_CCtx        *z;
    struct coder_lead lead;
};

static void
encoder_destroy(void *state)
{
    struct encoder *e = state;

    ZSTD_freeCCtx(e->z);
    free(e);
}

static void *
encoder_create(void)
{
    struct encoder *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->z = ZSTD_createCCtx();
    if (!e->z) {
        encoder_destroy(e);
        return NULL;
    }
    return e;
}

/* A frame that decoders skip (RFC 8878 3.1.2). */
static void
put_padding(struct coder_lead *lead, size_t padding)
{
    enum { HEAD = 8 };

    lead->n = lead->sent = 0;
    if (padding == 0)
        return;
    memcpy(lead->bytes, "\x50\x2a\x4d\x18", 4);
    for (size_t i = 0; i < 4; i++)
        lead->bytes[4 + i] = (char) (padding >> 8 * i);
    memset(lead->bytes + HEAD, 'x', padding);
    lead->n = HEAD + padding;
}

/* `dcz` (RFC 9842 5): a frame that decoders of zstd skip too, with the dictionary's hash. */
static void
put_dictionary_id(struct coder_lead *lead, const uint8_t *id)
{
    enum { HEAD = 8, ID_BYTES = 32 };

    memcpy(lead->bytes, "\x5e\x2a\x4d\x18\x20\0\0\0", HEAD);
    memcpy(lead->bytes + HEAD, id, ID_BYTES);
    lead->n = HEAD + ID_BYTES;
}

/* Dictionary and message have to lie in it together. */
static int
window_log_around(const struct coder_setup *setup)
{
    uint64_t bytes = setup->dictionary.n + (setup->length > 0 ? (uint64_t) setup->length : 1 << 20);
    int log = WINDOW_LOG_STREAM;

    while (log < WINDOW_LOG_MAX && (uint64_t) 1 << log < bytes)
        log++;
    return log;
}

static int
window_log(const struct coder_setup *setup)
{
    if (setup->dictionary.n)
        return window_log_around(setup);
    if (setup->level >= LEVEL_HEAVY)
        return 0; /* what the level says; the length bounds it */
    return setup->length < 0 ? WINDOW_LOG_STREAM : WINDOW_LOG_KNOWN;
}

static bool
encoder_start(void *state, const struct coder_setup *setup)
{
    struct encoder *e = state;

    if (setup->dictionary.n)
        put_dictionary_id(&e->lead, setup->dictionary_id);
    else
        put_padding(&e->lead, setup->padding);
    if (ZSTD_isError(ZSTD_CCtx_reset(e->z, ZSTD_reset_session_and_parameters)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(e->z, ZSTD_c_compressionLevel, setup->level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(e->z, ZSTD_c_windowLog, window_log(setup))))
        return false;
    if (setup->length >= 0 &&
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(e->z, (unsigned long long) setup->length)))
        return false;
    return setup->dictionary.n == 0 ||
           !ZSTD_isError(ZSTD_CCtx_refPrefix(e->z, setup->dictionary.at, setup->dictionary.n));
}

static enum err
encoder_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    static const ZSTD_EndDirective directive[] = {
        [CODER_GO_ON] = ZSTD_e_continue, [CODER_FLUSH] = ZSTD_e_flush, [CODER_FINISH] = ZSTD_e_end};
    struct encoder *e = state;
    ZSTD_inBuffer from = {in->at, in->n, 0};
    ZSTD_outBuffer to = {out->at, out->room, out->n};
    size_t left;

    if (!coder_lead_out(&e->lead, out) || out->n == out->room)
        return OK;
    to.pos = out->n;
    do
        left = ZSTD_compressStream2(e->z, &to, &from, directive[how]);
    while (!ZSTD_isError(left) && to.pos < to.size &&
           (from.pos < from.size || (how != CODER_GO_ON && left > 0)));
    *in = slice_from(*in, from.pos);
    out->n = to.pos;
    if (ZSTD_isError(left))
        return err_of(left);
    return how == CODER_FINISH && left == 0 ? ERR_END : OK;
}

static const struct coder_ops encoder_ops = {
    .create = encoder_create,
    .start = encoder_start,
    .step = encoder_step,
    .destroy = encoder_destroy,
};

/* ------------------------------------------------------------------ decoder */

struct decoder {
    ZSTD_DCtx *z;
    bool       between; /* at least one frame is complete, the next one has not begun */
};

static void
decoder_destroy(void *state)
{
    struct decoder *d = state;

    ZSTD_freeDCtx(d->z);
    free(d);
}

static void *
decoder_create(void)
{
    struct decoder *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->z = ZSTD_createDCtx();
    if (!d->z || ZSTD_isError(ZSTD_DCtx_setParameter(d->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        decoder_destroy(d);
        return NULL;
    }
    return d;
}

static bool
decoder_start(void *state, const struct coder_setup *setup)
{
    struct decoder *d = state;

    (void) setup;
    d->between = false;
    return !ZSTD_isError(ZSTD_DCtx_reset(d->z, ZSTD_reset_session_only));
}

static enum err
decoder_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    struct decoder *d = state;
    ZSTD_inBuffer from = {in->at, in->n, 0};
    ZSTD_outBuffer to = {out->at, out->room, out->n};
    enum err e = OK;

    while (e == OK && to.pos < to.size) {
        size_t before = from.pos + to.pos;
        size_t left;

        if (from.pos == from.size && d->between) {
            e = how == CODER_FINISH ? ERR_END : OK;
            break;
        }
        left = ZSTD_decompressStream(d->z, &to, &from);
        if (ZSTD_isError(left)) {
            e = err_of(left);
            break;
        }
        d->between = left == 0;
        if (from.pos + to.pos == before && !d->between) {
            /* It wants more than there is. */
            e = how == CODER_FINISH ? ERR_MALFORMED : OK;
            break;
        }
    }
    *in = slice_from(*in, from.pos);
    out->n = to.pos;
    return e;
}

static const struct coder_ops decoder_ops = {
    .create = decoder_create,
    .start = decoder_start,
    .step = decoder_step,
    .destroy = decoder_destroy,
};

static const struct coder_ops *
encoder(int level)
{
    (void) level;
    return &encoder_ops;
}

const struct coding coding_zstd = {
    .name = SLICE_INIT("zstd"),
    .fastest = 1,
    .best = LEVEL_BEST,
    .heavy = LEVEL_HEAVY,
    .encoder = encoder,
    .decoder = &decoder_ops,
};
