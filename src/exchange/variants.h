/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/variants.h - encoded forms of a response, kept beside it.
 *
 * Who serves a response from a store (`cache`) offers this with it; who encodes responses
 * (`compress`) asks for the form that it is about to make, and leaves there what it has made.  So
 * each form is made once, whichever of the two stands outside in the chain.
 */
#ifndef EXCHANGE_VARIANTS_H
#define EXCHANGE_VARIANTS_H

#include "base/slice.h"
#include "exchange/body.h"

struct exchange;
struct variants;

struct variants_ops {
    /* The form that was kept under that name ("gzip", "br", "zstd"), as a body of known length, and
     * how hard whoever made it has tried (0..99, its own scale); NULL: none. */
    struct body *(*find)(struct variants *v, struct exchange *x, struct slice coding,
                         unsigned *effort);
    /* Wraps a body: what passes is kept under that name when its end is reached, in place of an
     * earlier form.  The body itself when it cannot. */
    struct body *(*keep)(struct variants *v, struct exchange *x, struct slice coding,
                         unsigned effort, struct body *encoded);
    /* For work in the background, which outlives the exchange: a handle of its own that holds the
     * whole and can be asked from any fiber of this worker; NULL: out of memory, or somebody works
     * on it already. */
    struct variants *(*hold)(struct variants *v);
    void (*release)(struct variants *held);
    /* The bytes of the whole in its plain form, from a held handle; waits. As body_ops.next. */
    struct body *(*plain)(struct variants *held);
    /* Leaves a complete form there; copies it. */
    void (*put)(struct variants *held, struct slice coding, unsigned effort, struct slice bytes);
};

struct variants {
    const struct variants_ops *ops;
    uint32_t hits; /* how often the response was served from the store so far */
};

#endif
