/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/compress_again.c - a kept response that stays hot is encoded once more, as
 * well as it gets, on a thread of its own.
 *
 * What it costs is bounded: one at a time in each worker, and only up to a length.
 */
#include "base/check.h"
#include "base/text.h"
#include "exchange/variants.h"
#include "middleware/compress/compress.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

struct job {
    struct variants     *held;
    const struct coding *coding;
    struct text          plain;
    struct slice         encoded; /* absent: no better than it was */
};

static __thread bool busy;

static void
encode(void *arg)
{
    struct job *j = arg;

    j->encoded = coder_encode_whole(j->coding, j->coding->best, text_slice(&j->plain), j->plain.n);
}

static bool
read_plain(struct job *j)
{
    struct body *b = j->held->ops->plain(j->held);
    struct slice chunk;
    enum err e = ERR_NO_MEMORY;

    if (!b)
        return false;
    while ((e = body_next(b, &chunk)) == OK && !j->plain.full)
        text_put(&j->plain, chunk);
    body_close(b);
    return e == ERR_END && !j->plain.full && j->plain.n > 0;
}

static void
run(void *arg)
{
    struct job *j = arg;

    if (read_plain(j)) {
        offload(encode, j);
        if (slice_is_present(j->encoded))
            j->held->ops->put(j->held, j->coding->name, COMPRESS_BEST_EFFORT, j->encoded);
        free((char *) j->encoded.at);
    }
    text_free(&j->plain);
    j->held->ops->release(take(&j->held));
    free(j);
    busy = false;
}

void
compress_again(struct variants *v, const struct coding *coding, uint64_t max_bytes)
{
    struct job *j;

    if (busy || !(j = calloc(1, sizeof(*j))))
        return;
    j->coding = coding;
    j->held = v->ops->hold(v);
    text_init(&j->plain, max_bytes);
    busy = j->held != NULL;
    if (busy && fiber_start("compress again", run, j))
        return;
    if (j->held)
        j->held->ops->release(take(&j->held));
    busy = false;
    free(j);
}
