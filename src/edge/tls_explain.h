/* SPDX-License-Identifier: Apache-2.0 */
/* edge/tls_explain.h - what a listener's TLS would do, in words. */
#ifndef EDGE_TLS_EXPLAIN_H
#define EDGE_TLS_EXPLAIN_H

#include "edge/edge.h"

/* ": TLS 1.2 and 1.3, ..."; sni: the name that the client asks for, lower case; may be empty. */
void tls_explain(const struct tls_listener *l, bool http2, struct slice sni, struct text *out);

#endif
