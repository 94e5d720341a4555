/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/brotli.c - brotli (RFC 7932).
 *
 * The library has no way to begin a new message with the memory of the last one.  So it gets an
 * allocator that keeps the blocks: from the second message on, the same sizes come back to the same
 * blocks.
 */
#include "base/check.h"
#include "middleware/compress/coding.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <stdlib.h>

enum { LEVEL_BEST = 11, LEVEL_HEAVY = 7, WINDOW_LOG = 18, WINDOW_LOG_BEST = 22 };

/* ------------------------------------------------------------------ memory */

enum { BLOCKS_MAX = 24, KEPT_BYTES_MAX = 4 << 20 };

struct block {
    char  *at;
    size_t n;
    bool   lent;
};

/* Of one coder; what does not fit in here comes from malloc and goes back there. */
struct blocks {
    struct block at[BLOCKS_MAX];
    size_t       bytes;
};

static void *
block_alloc(void *opaque, size_t n)
{
    struct blocks *blocks = opaque;
    struct block *unused = NULL, *best = NULL;
    char *at;

    for (struct block *b = blocks->at; b < blocks->at + BLOCKS_MAX; b++) {
        if (!b->at)
            unused = b;
        else if (!b->lent && b->n >= n && b->n / 2 <= n && (!best || b->n < best->n))
            best = b;
    }
    if (best) {
        best->lent = true;
        return best->at;
    }
    at = malloc(n);
    if (at && unused && blocks->bytes + n <= KEPT_BYTES_MAX) {
        *unused = (struct block){at, n, true};
        blocks->bytes += n;
    }
    return at;
}

static void
block_free(void *opaque, void *at)
{
    struct blocks *blocks = opaque;

    if (!at)
        return;
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        if (blocks->at[i].at == at) {
            blocks->at[i].lent = false;
            return;
        }
    }
    free(at);
}

static void
blocks_free(struct blocks *blocks)
{
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        free(take(&blocks->at[i].at));
}

/* ------------------------------------------------------------------ encoder */

struct encoder {
    struct blocks       blocks;
    BrotliEncoderState *z;
    struct slice        padding; /* metadata to emit first */
    bool                padded;  /* it is out, or there is none */
    uint8_t             filler[CODER_PADDING_MAX];
};

static void *
encoder_create(void)
{
    return calloc(1, sizeof(struct encoder));
}

static void
encoder_end(struct encoder *e)
{
    BrotliEncoderDestroyInstance(e->z);
    e->z = NULL;
}

static bool
encoder_start(void *state, const struct coder_setup *setup)
{
    struct encoder *e = state;
    uint32_t window = setup->level < LEVEL_BEST ? WINDOW_LOG : WINDOW_LOG_BEST;

    encoder_end(e);
    e->z = BrotliEncoderCreateInstance(block_alloc, block_free, &e->blocks);
    /* A block of one byte is written wrong by 1.0.9: nobody could read it. */
    e->padding = slice_of((const char *) e->filler, setup->padding == 1 ? 2 : setup->padding);
    e->padded = setup->padding == 0;
    return e->z && BrotliEncoderSetParameter(e->z, BROTLI_PARAM_QUALITY, (uint32_t) setup->level) &&
           BrotliEncoderSetParameter(e->z, BROTLI_PARAM_LGWIN, window) &&
           (setup->length <= 0 || setup->length > UINT32_MAX ||
            BrotliEncoderSetParameter(e->z, BROTLI_PARAM_SIZE_HINT, (uint32_t) setup->length));
}

static bool
encode(struct encoder *e, BrotliEncoderOperation op, struct slice *in, struct coder_room *out)
{
    const uint8_t *from = (const uint8_t *) in->at;
    uint8_t *to = (uint8_t *) out->at + out->n;
    size_t from_n = in->n, to_n = out->room - out->n;
    bool good = BrotliEncoderCompressStream(e->z, op, &from_n, &from, &to_n, &to, NULL);

    *in = slice_from(*in, in->n - from_n);
    out->n = out->room - to_n;
    return good;
}

/* A block of metadata, which decoders skip (RFC 7932 9.2).  Nothing else may be asked for before it
 * is out. */
static bool
put_padding(struct encoder *e, struct coder_room *out)
{
    while (out->n < out->room && !e->padded) {
        if (!encode(e, BROTLI_OPERATION_EMIT_METADATA, &e->padding, out))
            return false;
        e->padded = e->padding.n == 0 && !BrotliEncoderHasMoreOutput(e->z);
    }
    return true;
}

static enum err
encoder_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    static const BrotliEncoderOperation operation[] = {[CODER_GO_ON] = BROTLI_OPERATION_PROCESS,
                                                       [CODER_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                       [CODER_FINISH] = BROTLI_OPERATION_FINISH};
    struct encoder *e = state;

    if (!put_padding(e, out))
        return ERR_NO_MEMORY;
    if (!e->padded || out->n == out->room)
        return OK;
    /* A call does one thing at a time: it may stop with all room left. */
    do
        if (!encode(e, operation[how], in, out))
            return ERR_NO_MEMORY;
    while (out->n < out->room && (in->n || BrotliEncoderHasMoreOutput(e->z)));
    return BrotliEncoderIsFinished(e->z) ? ERR_END : OK;
}

static void
encoder_destroy(void *state)
{
    struct encoder *e = state;

    encoder_end(e);
    blocks_free(&e->blocks);
    free(e);
}

static const struct coder_ops encoder_ops = {
    .create = encoder_create,
    .start = encoder_start,
    .step = encoder_step,
    .destroy = encoder_destroy,
};

/* ------------------------------------------------------------------ decoder */

struct decoder {
    struct blocks       blocks;
    BrotliDecoderState *z;
};

static void *
decoder_create(void)
{
    return calloc(1, sizeof(struct decoder));
}

static bool
decoder_start(void *state, const struct coder_setup *setup)
{
    struct decoder *d = state;

    (void) setup;
    BrotliDecoderDestroyInstance(d->z);
    d->z = BrotliDecoderCreateInstance(block_alloc, block_free, &d->blocks);
    return d->z != NULL;
}

static enum err
failure(const struct decoder *d)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(d->z);

    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? ERR_NO_MEMORY
               : ERR_MALFORMED;
}

static enum err
decoder_step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    struct decoder *d = state;
    const uint8_t *from = (const uint8_t *) in->at;
    uint8_t *to = (uint8_t *) out->at + out->n;
    size_t from_n = in->n, to_n = out->room - out->n;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(d->z, &from_n, &from, &to_n, &to, NULL);

    *in = slice_from(*in, in->n - from_n);
    out->n = out->room - to_n;
    switch (result) {
    case BROTLI_DECODER_RESULT_ERROR: return failure(d);
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: return OK;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return how == CODER_FINISH ? ERR_MALFORMED : OK;
    case BROTLI_DECODER_RESULT_SUCCESS:
        if (in->n)
            return ERR_MALFORMED; /* something follows the end */
        return how == CODER_FINISH ? ERR_END : OK;
    }
    UNREACHABLE();
}

static void
decoder_destroy(void *state)
{
    struct decoder *d = state;

    BrotliDecoderDestroyInstance(d->z);
    blocks_free(&d->blocks);
    free(d);
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

const struct coding coding_br = {
    .name = SLICE_INIT("br"),
    .fastest = 2, /* those below make a block of each piece, however small */
    .best = LEVEL_BEST,
    .heavy = LEVEL_HEAVY,
    .encoder = encoder,
    .decoder = &decoder_ops,
};
