/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/error_page.h - what a client gets to see when maitred itself has to answer.
 *
 * The route's own page when it has one for the status; else a built-in one: HTML for a browser,
 * problem+json (RFC 9457) for a program that asks for JSON, plain text for the rest.  No page ever
 * tells an address, a server's name or the fault's detail.  gRPC has statuses of its own in place
 * of pages (grpc.h).
 */
#ifndef EXCHANGE_ERROR_PAGE_H
#define EXCHANGE_ERROR_PAGE_H

#include "exchange/exchange.h"

/* Replaces the response by the page for x->fault.reason. */
void error_page_answer(struct exchange *x, unsigned status);

enum page_format { PAGE_TEXT, PAGE_HTML, PAGE_JSON };

/* What Accept asks for: the better liked of HTML and JSON, text when it names neither. */
enum page_format error_page_format(const struct fields *request);

#endif
