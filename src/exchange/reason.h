/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/reason.h - why maitred answered by itself: stable codes.
 *
 * Each answer that did not come from a server carries one of these: in the access log (`reason`),
 * in the Proxy-Status field (RFC 9209) and on the error page.  The codes are an interface: they are
 * never renamed.
 */
#ifndef EXCHANGE_REASON_H
#define EXCHANGE_REASON_H

#include <stdbool.h>

/* Whose fault an answer of ours was. */
enum blame { BLAME_NOBODY, BLAME_CLIENT, BLAME_SERVER, BLAME_PROXY, BLAME_CONFIGURATION };

/* id, code, blame, RFC 9209 error type, sentence for people */
#define REASON_TABLE(X)                                                                            \
    X(REASON_NONE, "none", BLAME_NOBODY, "", "the server answered")                                \
    X(REASON_BAD_REQUEST, "bad_request", BLAME_CLIENT, "http_request_error",                       \
      "the request is malformed")                                                                  \
    X(REASON_HEAD_TOO_LARGE, "head_too_large", BLAME_CLIENT, "http_request_error",                 \
      "the request's fields are larger than the limit")                                            \
    X(REASON_TARGET_TOO_LONG, "target_too_long", BLAME_CLIENT, "http_request_error",               \
      "the request's target is longer than the limit")                                             \
    X(REASON_BODY_TOO_LARGE, "body_too_large", BLAME_CLIENT, "http_request_error",                 \
      "the request's body is larger than the limit")                                               \
    X(REASON_HEAD_TIMEOUT, "head_timeout", BLAME_CLIENT, "http_request_error",                     \
      "the request's head did not arrive in time")                                                 \
    X(REASON_BODY_TIMEOUT, "body_timeout", BLAME_CLIENT, "http_request_error",                     \
      "the request's body stopped arriving")                                                       \
    X(REASON_CLIENT_GONE, "client_gone", BLAME_CLIENT, "http_request_error",                       \
      "the client went away before the answer was complete")                                       \
    X(REASON_CLIENT_STALLED, "client_stalled", BLAME_CLIENT, "http_request_error",                 \
      "the client stopped reading the answer")                                                     \
    X(REASON_NO_ROUTE, "no_route", BLAME_CLIENT, "destination_not_found",                          \
      "no route matches the request")                                                              \
    X(REASON_NOT_ALLOWED, "not_allowed", BLAME_CLIENT, "http_request_denied",                      \
      "the client's address may not use this route")                                               \
    X(REASON_NOT_FOUND, "not_found", BLAME_CLIENT, "http_request_error",                           \
      "there is nothing of that name")                                                             \
    X(REASON_NOT_CACHED, "not_cached", BLAME_CLIENT, "http_request_denied",                        \
      "the client wants an answer from the cache only, and there is none")                         \
    X(REASON_PRECONDITION, "precondition_failed", BLAME_CLIENT, "http_request_error",              \
      "a condition of the request is not met")                                                     \
    X(REASON_RANGE, "range_not_satisfiable", BLAME_CLIENT, "http_request_error",                   \
      "the range that was asked for lies outside")                                                 \
    X(REASON_FILE_DENIED, "file_denied", BLAME_CONFIGURATION, "http_request_denied",               \
      "the proxy may not read the file")                                                           \
    X(REASON_FILE_FAILED, "file_failed", BLAME_PROXY, "proxy_internal_error",                      \
      "a file cannot be read")                                                                     \
    X(REASON_FILE_CHANGED, "file_changed", BLAME_PROXY, "proxy_internal_error",                    \
      "a file was changed while it was sent")                                                      \
    X(REASON_LOOP, "loop", BLAME_CONFIGURATION, "proxy_loop_detected",                             \
      "the request has been through this proxy already")                                           \
    X(REASON_RESPOND, "respond", BLAME_NOBODY, "", "the route answers by itself")                  \
    X(REASON_REDIRECT, "redirect", BLAME_NOBODY, "", "the route redirects")                        \
    X(REASON_UNSUPPORTED, "unsupported", BLAME_CLIENT, "http_request_error",                       \
      "the request asks for something that is not supported here")                                 \
    X(REASON_NO_SERVER, "no_server", BLAME_SERVER, "destination_unavailable",                      \
      "no server is available")                                                                    \
    X(REASON_QUEUE_FULL, "queue_full", BLAME_SERVER, "connection_limit_reached",                   \
      "too many requests wait for the servers already")                                            \
    X(REASON_QUEUE_TIMEOUT, "queue_timeout", BLAME_SERVER, "connection_limit_reached",             \
      "no server became free in time")                                                             \
    X(REASON_CIRCUIT_OPEN, "circuit_open", BLAME_SERVER, "destination_unavailable",                \
      "the group of servers failed too often and is left alone for a while")                       \
    X(REASON_SERVERS_BUSY, "servers_busy", BLAME_SERVER, "connection_limit_reached",               \
      "the group of servers is at its limit")                                                      \
    X(REASON_FAULT_INJECTED, "fault_injected", BLAME_CONFIGURATION, "http_request_denied",         \
      "a fault was injected, as the route says")                                                   \
    X(REASON_NAME_UNRESOLVED, "name_unresolved", BLAME_SERVER, "dns_error",                        \
      "the server's name does not resolve")                                                        \
    X(REASON_CONNECT_REFUSED, "connect_refused", BLAME_SERVER, "connection_refused",               \
      "the server refused the connection")                                                         \
    X(REASON_CONNECT_TIMEOUT, "connect_timeout", BLAME_SERVER, "connection_timeout",               \
      "the server did not accept the connection in time")                                          \
    X(REASON_CONNECT_FAILED, "connect_failed", BLAME_SERVER, "destination_ip_unroutable",          \
      "the server cannot be reached")                                                              \
    X(REASON_TLS_FAILED, "tls_failed", BLAME_SERVER, "tls_protocol_error",                         \
      "the TLS handshake with the server failed")                                                  \
    X(REASON_CERTIFICATE, "certificate", BLAME_SERVER, "tls_certificate_error",                    \
      "the server's certificate cannot be trusted")                                                \
    X(REASON_SERVER_RESET, "server_reset", BLAME_SERVER, "connection_terminated",                  \
      "the server closed the connection before it answered")                                       \
    X(REASON_RESPONSE_TIMEOUT, "response_timeout", BLAME_SERVER, "http_response_timeout",          \
      "the server did not answer in time")                                                         \
    X(REASON_RESPONSE_MALFORMED, "response_malformed", BLAME_SERVER, "http_protocol_error",        \
      "the server's answer is malformed")                                                          \
    X(REASON_RESPONSE_HEAD_TOO_LARGE, "response_head_too_large", BLAME_SERVER,                     \
      "http_response_header_section_size", "the server's fields are larger than the limit")        \
    X(REASON_RESPONSE_INCOMPLETE, "response_incomplete", BLAME_SERVER, "http_response_incomplete", \
      "the server's answer broke off")                                                             \
    X(REASON_PART_FAILED, "part_failed", BLAME_SERVER, "http_response_incomplete",                 \
      "a part that the answer is made of could not be had")                                        \
    X(REASON_ESI_MALFORMED, "esi_malformed", BLAME_SERVER, "http_protocol_error",                  \
      "the server's page has ESI that cannot be understood")                                       \
    X(REASON_COMPOSITION_LIMIT, "composition_limit", BLAME_SERVER, "http_response_incomplete",     \
      "the answer is made of more parts or bytes than the limit")                                  \
    X(REASON_OUT_OF_MEMORY, "out_of_memory", BLAME_PROXY, "proxy_internal_error", "out of memory") \
    X(REASON_OUT_OF_DESCRIPTORS, "out_of_descriptors", BLAME_PROXY, "proxy_internal_error",        \
      "out of file descriptors")                                                                   \
    X(REASON_OVERLOADED, "overloaded", BLAME_PROXY, "connection_limit_reached",                    \
      "the proxy is at its limit of connections")                                                  \
    X(REASON_TOTAL_TIMEOUT, "total_timeout", BLAME_PROXY, "connection_read_timeout",               \
      "the exchange took longer than its limit")                                                   \
    X(REASON_CANCELLED, "cancelled", BLAME_NOBODY, "",                                             \
      "somebody who operates the proxy has ended the exchange")                                    \
    X(REASON_MISCONFIGURED, "misconfigured", BLAME_CONFIGURATION, "proxy_configuration_error",     \
      "the configuration cannot answer this request")                                              \
    X(REASON_INTERNAL, "internal", BLAME_PROXY, "proxy_internal_error", "an internal error")

enum reason {
#define REASON_ENUM(id, code, blame, proxy_status, sentence) id,
    REASON_TABLE(REASON_ENUM)
#undef REASON_ENUM
    REASON_COUNT
};

const char *reason_code(enum reason r);
const char *reason_sentence(enum reason r);
/* RFC 9209 2.3 error type, empty when the answer is no error. */
const char *reason_proxy_status(enum reason r);
enum blame reason_blame(enum reason r);
/* "client", "server", "proxy", "configuration", "nobody". */
const char *blame_name(enum blame b);

#endif
