/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/testing.h - exchanges for unit tests, without a connection or a loop.
 *
 *     struct exchange *x = testing_exchange("GET", "https://example.com/a?b=1", "Accept",
 * "text/html", NULL);
 *
 *     testing_run(x, chain, countof(chain));
 *     EXPECT_EQ(x->response.status, 200);
 *     testing_exchange_free(x);
 *
 * Nobody but tests refers to it, so that the linker leaves it out of the program.  What is wrong
 * with the arguments is a mistake in the test and ends it (CHECK).
 */
#ifndef EXCHANGE_TESTING_H
#define EXCHANGE_TESTING_H

#include "exchange/exchange.h"

/*
 * An exchange whose request has arrived and nothing else has happened.  url:
 * "https://host:port/path?query", or "/path" for a request without a host.  Then pairs of field
 * name and value, and a NULL; all are copied.  The client is 192.0.2.1:40000 on listener "public",
 * not trusted; HTTP/1.1; no body, no route.
 */
struct exchange *testing_exchange(const char *method, const char *url, ...)
    __attribute__((sentinel));
/* Closes both bodies as well.  x may be NULL. */
void testing_exchange_free(struct exchange *x);

/* The client's address, as the connection and the log have it. */
void testing_set_client(struct exchange *x, const char *ip);
/* Gives the request a body of this text; it must outlive the exchange. */
void testing_set_body(struct exchange *x, const char *text);
/* Starts an answer with this status (dropping one that is there): what a terminal does. */
void testing_answer(struct exchange *x, unsigned status, const char *type, const char *text);

/* Runs the chain from its start, with fresh slots.  Its last member must answer: testing_terminal
 * does. */
void testing_run(struct exchange *x, const struct middleware *chain, size_t n);
/* Answers 200, text/plain.  config: NULL, or a zero-terminated text that is the body. */
extern const struct middleware_ops testing_terminal;

/* Value of a field of the response, absent when there is none. */
struct slice testing_field(const struct exchange *x, const char *name);
/* Pulls all of a body into the exchange's arena; absent when it breaks off.  NULL is empty. */
struct slice testing_pull(struct exchange *x, struct body *b);
/* The last 1xx status that was sent with x->ops->inform, 0 when none was. */
unsigned testing_informed(const struct exchange *x);

#endif
