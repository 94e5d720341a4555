/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/middleware.h - what a middleware is, and how one plugs in.
 *
 * A middleware is one function, handle(self, exchange).  It calls exchange_next(x) to run what lies
 * behind it and returns: what it does before the call concerns the request, what it does after it
 * the response.  One that does not call exchange_next() must answer: exchange_refuse(),
 * exchange_respond().
 *
 * To add one: a file in middleware/ with a `const struct middleware_ops`, and a line in
 * main/builtin.c.  See middleware/skeleton.c.
 *
 * Lifetime  its options live in the snapshot; compile what is costly (regular expressions,
 *           templates) when they are parsed, with option_regex, option_template,
 *            option_expr (exchange/expr.h).
 * Threads   handle() runs on every worker at once: self is never written.
 */
#ifndef EXCHANGE_MIDDLEWARE_H
#define EXCHANGE_MIDDLEWARE_H

#include "config/option.h"

struct exchange;
struct middleware;
struct middleware_linker;

struct middleware_ops {
    struct option_object options; /* its name is the name in `use:` */
    void (*handle)(const struct middleware *self, struct exchange *x);
    /* Optional: what it would do to this request, one line, for `maitred explain`; must not
     * wait. */
    void (*explain)(const struct middleware *self, struct exchange *x, struct text *out);
    /* Optional, called once for each of its configs when a snapshot is built: finds what its
     * options name.  False after reporting an error. */
    bool (*link)(void *config, const struct middleware_linker *l);
    /* Part of every chain that does not name it itself, right before the terminal, with default
     * options. */
    bool by_default;
    /* It answers what passes by itself (respond, redirect): a route that uses it needs no `to`. */
    bool answers;
};

struct middleware {
    const struct middleware_ops *ops;
    const void                  *config; /* bound options; NULL for an object without any */
};

/* Keeps everything that was linked, for work that goes on when its exchange is over.  Any
 * thread. */
struct middleware_keeper {
    void (*hold)(void *snapshot);
    void (*release)(void *snapshot); /* nothing of the snapshot may be touched afterwards */
    void  *snapshot;
};

/* What a snapshot that is being built offers to its members.  main/app.c makes it. */
struct middleware_linker {
    const struct config     *config; /* config_where(l->config, &options->to) */
    struct config_report    *report;
    const struct option_list *stores; /* what `stores:` says, of struct
                                       * cache_store; NULL in tests */
    struct middleware_keeper keeper;
    void                    *arg;
    /* Who answers for `to`, the name of an upstream or the URL of a server: a terminal, whose
     * handle() may be called in place of exchange_next(), with the exchange at any point of its
     * chain.  NULL after reporting an error at that place. */
    const struct middleware *(*terminal)(const struct middleware_linker *l, struct slice to,
                                         struct config_mark where);
};

#endif
