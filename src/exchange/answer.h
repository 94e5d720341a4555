/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/answer.h - a whole representation is at hand: what the request's conditions and ranges
 * make of it.
 *
 *     struct representation r = {.length = n, .ops = &file_ops, .validators = {...}};
 *     x->response.status = 200; ... its fields ...
 *     exchange_answer(x, &r);
 *
 * Those who keep representations use it: `files`, `cache`.  The response is 200, 206 (one range, or
 * multipart/byteranges), 304, 412 or 416 afterwards (RFC 9110 13 and 14).
 */
#ifndef EXCHANGE_ANSWER_H
#define EXCHANGE_ANSWER_H

#include "exchange/exchange.h"
#include "http/condition.h"

struct representation;

struct representation_ops {
    /* A source of `length` bytes from `offset`, which closes by itself what it opened; NULL: out of
     * memory, or the bytes are gone.  May be called several times, for several ranges, each after
     * the one before was closed. */
    struct body *(*open)(struct representation *r, struct exchange *x, uint64_t offset,
                         uint64_t length);
    /* The exchange needs it no more; called once, also when open() never was. */
    void (*release)(struct representation *r);
};

/* Lies in the exchange's arena. */
struct representation {
    const struct representation_ops *ops;
    uint64_t          length;     /* of the whole */
    struct validators validators; /* as the response's fields say them; not looked at unless
                                   * exchange_answer_compares() */
};

/*
 * x->response has the status and the fields of the whole (without Content-Length, Content-Range and
 * Accept-Ranges, which are set here) and no body.  Only a status of 200 answers conditions and
 * ranges; others are sent whole.  HEAD gets the fields of what GET would.  More ranges than a
 * careful server answers (RFC 9110 14.2: many, overlapping, out of order) get the whole.
 */
void exchange_answer(struct exchange *x, struct representation *r);
/* The request has conditions or ranges.  To whom validators cost something may ask before. */
bool exchange_answer_compares(const struct exchange *x);

#endif
