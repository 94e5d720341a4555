/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/variables.h - what the request says, put into a document.  Private to esi.
 *
 *     $(HTTP_HOST)  $(HTTP_COOKIE{name})  $(QUERY_STRING{page|1})  $(HTTP_ACCEPT_LANGUAGE{de})
 *
 * All of that is written by clients.  So what becomes text is escaped as HTML, and what becomes
 * part of a URL is percent-encoded: neither a tag nor another parameter can be smuggled in.
 */
#ifndef MIDDLEWARE_ESI_VARIABLES_H
#define MIDDLEWARE_ESI_VARIABLES_H

#include "base/text.h"
#include "exchange/exchange.h"

struct esi_value {
    struct slice text; /* absent: there is no such thing in the request */
    bool         is_uri; /* a host, a whole query: fit for a URL as it is */
};

enum esi_escape { ESI_PLAIN, ESI_HTML, ESI_URL };

/* `$(` up to `)`, as the lexer gives it.  False: not of that form, so it is text.  What has to be
 * decoded is in the arena. */
bool esi_variable(struct slice whole, const struct exchange *x, struct arena *arena,
                  struct esi_value *value);
void esi_variable_write(struct esi_value value, enum esi_escape escape, struct text *out);
/* The length of the variable at the start of s, 0 when there is none. */
size_t esi_variable_length(struct slice s);
/* A text with all variables in it replaced. */
void esi_expand(struct slice text, enum esi_escape escape, const struct exchange *x,
                struct arena *arena, struct text *out);

#endif
