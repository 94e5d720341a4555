/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/grpc.h - what gRPC makes of HTTP (gRPC's PROTOCOL-HTTP2.md, PROTOCOL-WEB.md).
 *
 * A call is a POST that is answered 200 whatever happens; how it went stands in the trailers, as
 * grpc-status.  So what the proxy has to say itself it says there too: a page would tell a gRPC
 * client nothing.
 */
#ifndef EXCHANGE_GRPC_H
#define EXCHANGE_GRPC_H

#include "exchange/exchange.h"

/* Of gRPC's seventeen, those that we say or judge by; the numbers are the protocol's. */
enum grpc_status {
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

enum grpc_kind {
    GRPC_NONE,
    GRPC_PLAIN,    /* application/grpc */
    GRPC_WEB,      /* application/grpc-web: trailers are the body's last frame */
    GRPC_WEB_TEXT, /* application/grpc-web-text: the same in base64 */
};

/* What a Content-Type says.  *format: what follows the kind, such as "+proto"; may be NULL. */
enum grpc_kind grpc_kind(struct slice type, struct slice *format);
/* Of the request; its Content-Type is looked at. */
enum grpc_kind grpc_asked(const struct exchange *x);

/* Monotonic time until which the client waits for the answer (grpc-timeout); 0: it does not say, or
 * nothing that is understood. */
uint64_t grpc_deadline_us(const struct exchange *x);
/* The client's own deadline has passed, or the exchange's limit was reached. */
bool grpc_is_late(const struct exchange *x);

/* Replaces the response by one that is only a head, with grpc-status in it ("trailers-only"), made
 * of the HTTP status and x->fault.reason.  x->grpc_status is known then. */
void grpc_refuse(struct exchange *x, unsigned status);
/* A server has answered a gRPC call, and its status says that it has failed, as 5xx would: UNKNOWN
 * (an exception that nobody caught), INTERNAL, UNAVAILABLE, DATA_LOSS; DEADLINE_EXCEEDED, unless it
 * was the client's own.  Others are about the call.  fields: where grpc-status stands, the trailers
 * or a head that is all there is. */
bool grpc_server_failed(const struct exchange *x, const struct fields *fields);
/* An answer that breaks off between two messages ends with a status, as if the server had said it;
 * in the middle of one it stays broken.  At its end x->grpc_status is known.  For the response of a
 * server to a gRPC request; nothing for others. */
void grpc_finish(struct exchange *x);

#endif
