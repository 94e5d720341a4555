/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/expression.h - the conditions of `when`.  Private to esi.
 *
 *     $(HTTP_COOKIE{group})=='Advanced' & !($(QUERY_STRING{page}) > 10)
 *
 * Grammar (ESI Language Specification 1.0, 4; lowest binding first):
 *     or       = and *("|" and)            also written "||"
 *     and      = not *("&" not)            also written "&&"
 *     not      = "!" not / relation
 *     relation = operand [("==" / "!=" / "<" / "<=" / ">" / ">=" / "has" / "has_i") operand]
 *     operand  = "(" or ")" / variable / "'" text "'" / number / "true" / "false"
 * Two numbers are compared as such, everything else byte by byte; `has` looks for a part, `has_i`
 * in any case.  A comparison with something that is not there is false, whichever it is.
 */
#ifndef MIDDLEWARE_ESI_EXPRESSION_H
#define MIDDLEWARE_ESI_EXPRESSION_H

#include "exchange/exchange.h"

enum { ESI_EXPRESSION_DEPTH_MAX = 32 };

/* False: not an expression.  Never waits; what is decoded is in the arena. */
bool esi_expression_test(struct slice source, const struct exchange *x, struct arena *arena,
                         bool *result);

#endif
