/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/variables.c - what the names in expressions stand for: one function and one line of the
 * table each.  docs/guide/expressions.md lists them too; a test compares the two.
 */
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "exchange/route.h"
#include "tls/tls.h"

static struct expr_value
string_value(struct slice s)
{
    return (struct expr_value){.type = EXPR_STRING, .string = s};
}

static struct expr_value
integer_value(uint64_t n)
{
    return (struct expr_value){.type = EXPR_INT, .integer = (int64_t) n};
}

/* Empty is as good as not there for what a request always has or never had. */
static struct expr_value
string_or_absent(struct slice s)
{
    return string_value(s.n ? s : (struct slice){NULL, 0});
}

/* ------------------------------------------------------------------ the client */

static struct expr_value
get_client_ip(struct exchange *x, struct slice arg)
{
    (void) arg;
    return (struct expr_value){.type = EXPR_IP, .ip = x->client_address, .string = x->client_ip};
}

static struct expr_value
get_client_port(struct exchange *x, struct slice arg)
{
    (void) arg;
    return integer_value(address_port(&x->client->peer));
}

static struct expr_value
get_listener(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(x->client->listener);
}

/* ------------------------------------------------------------------ the request */

static struct expr_value
get_method(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(x->request.method_token);
}

static struct expr_value
get_scheme(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(x->scheme);
}

static struct expr_value
get_host(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(x->request.host);
}

static struct expr_value
get_port(struct exchange *x, struct slice arg)
{
    (void) arg;
    if (x->request.port)
        return integer_value(x->request.port);
    return integer_value(slice_eq(x->scheme, SLICE("https")) ? 443 : 80);
}

static struct expr_value
get_path(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(x->request.target.path);
}

/* What will be sent on: the path as it came, or the rewritten one. */
static struct slice
forwarded_path(const struct exchange *x)
{
    return x->request.forward_path ? x->request.target.path : x->request.target.raw_path;
}

static struct expr_value
get_raw_path(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(forwarded_path(x));
}

static struct expr_value
get_query(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(x->request.target.query);
}

static struct expr_value
get_uri(struct exchange *x, struct slice arg)
{
    struct slice path = forwarded_path(x), query = x->request.target.query;

    (void) arg;
    if (!slice_is_present(query))
        return string_value(path);
    return string_value(arena_printf(&x->arena, "%.*s?%.*s", SLICE_ARG(path), SLICE_ARG(query)));
}

static struct expr_value
get_version(struct exchange *x, struct slice arg)
{
    (void) arg;
    switch (x->request.version) {
    case 10: return string_value(SLICE("1.0"));
    case 11: return string_value(SLICE("1.1"));
    case 20: return string_value(SLICE("2"));
    case 30: return string_value(SLICE("3"));
    default: return string_value((struct slice){NULL, 0});
    }
}

static struct expr_value
get_request_id(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(exchange_request_id(x));
}

static struct expr_value
get_trace_id(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(x->trace_id);
}

static struct expr_value
get_route(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_value(x->route ? x->route->name : (struct slice){NULL, 0});
}

static struct expr_value
field_value(const struct fields *fields, struct slice name)
{
    const struct field *f = fields_find(fields, name);

    return string_value(f ? f->value : (struct slice){NULL, 0});
}

static struct expr_value
get_header(struct exchange *x, struct slice name)
{
    return field_value(&x->request.fields, name);
}

static struct expr_value
get_query_parameter(struct exchange *x, struct slice name)
{
    struct slice query = x->request.target.query;

    return string_value(query.n ? query_value(query, name, &x->arena) : (struct slice){NULL, 0});
}

static struct expr_value
get_cookie(struct exchange *x, struct slice name)
{
    return string_value(fields_cookie(&x->request.fields, name));
}

/* ------------------------------------------------------------------ TLS */

/* Absent without TLS, and where there is none. */
#define TLS_STRING(name, field)                                                                   \
    static struct expr_value get_tls_##name(struct exchange *x, struct slice arg)                 \
    {                                                                                             \
        (void) arg;                                                                               \
        return string_or_absent(x->client->tls ? x->client->tls->field                            \
                                               : (struct slice){NULL, 0});                        \
    }

TLS_STRING(sni, sni)
TLS_STRING(version, version)
TLS_STRING(cipher, cipher)
TLS_STRING(alpn, alpn)
TLS_STRING(ja4, ja4)
TLS_STRING(client_subject, client_subject)
TLS_STRING(client_san, client_san)
TLS_STRING(client_fingerprint, client_fingerprint)

static struct expr_value
get_tls_resumed(struct exchange *x, struct slice arg)
{
    (void) arg;
    return (struct expr_value){.type = EXPR_BOOL,
                               .boolean = x->client->tls && x->client->tls->resumed};
}

static struct expr_value
get_tls_client_verified(struct exchange *x, struct slice arg)
{
    (void) arg;
    return (struct expr_value){.type = EXPR_BOOL,
                               .boolean = x->client->tls && x->client->tls->client_verified};
}

/* ------------------------------------------------------------------ the response */

static struct expr_value
get_status(struct exchange *x, struct slice arg)
{
    (void) arg;
    return integer_value(x->response.status);
}

/* No status of gRPC's is below 0. */
static struct expr_value
get_grpc_status(struct exchange *x, struct slice arg)
{
    (void) arg;
    return (struct expr_value){.type = EXPR_INT,
                               .integer = x->has_grpc_status ? (int64_t) x->grpc_status : -1};
}

static struct expr_value
get_response_header(struct exchange *x, struct slice name)
{
    if (!x->response.fields.n)
        return string_value((struct slice){NULL, 0});
    return field_value(&x->response.fields, name);
}

static struct expr_value
get_upstream(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(x->relay.upstream);
}

static struct expr_value
get_server(struct exchange *x, struct slice arg)
{
    (void) arg;
    return string_or_absent(x->relay.server);
}

static struct expr_value
get_bytes(struct exchange *x, struct slice arg)
{
    (void) arg;
    return integer_value(x->response_bytes);
}

/* ------------------------------------------------------------------ the world */

static struct expr_value
get_time(struct exchange *x, struct slice arg)
{
    (void) x;
    (void) arg;
    return integer_value(clock_wall_us() / 1000000);
}

/* ------------------------------------------------------------------ the table */

const struct expr_variable expr_variables[] = {
    {"client.ip", EXPR_IP, .get = get_client_ip,
     .doc = "Address of the client; behind trusted proxies, the one that they name."},
    {"client.port", EXPR_INT, .get = get_client_port, .doc = "Port of the client's connection."},
    {"method", EXPR_STRING, .get = get_method, .doc = "Method, such as `GET`."},
    {"scheme", EXPR_STRING, .get = get_scheme, .doc = "`http` or `https`, as the client sees it."},
    {"host", EXPR_STRING, .get = get_host, .doc = "Host name in lower case, without port."},
    {"port", EXPR_INT, .get = get_port,
     .doc = "Port that the client asked for; 80 or 443 when it named none."},
    {"path", EXPR_STRING, .get = get_path,
     .doc = "Path in normal form: decoded where that is safe, without `.`, `..` and `//`."},
    {"raw_path", EXPR_STRING, .get = get_raw_path,
     .doc = "Path as it came, or as it was rewritten."},
    {"query", EXPR_STRING, .get = get_query, .doc = "Whole query without `?`, as it came."},
    {"query", EXPR_STRING, true, .get = get_query_parameter,
     .doc = "Decoded value of a query parameter, the first of that name."},
    {"uri", EXPR_STRING, .get = get_uri,
     .doc = "`raw_path` with `?` and `query`, if there is one."},
    {"version", EXPR_STRING, .get = get_version, .doc = "HTTP version: `1.0`, `1.1`, `2`, `3`."},
    {"header", EXPR_STRING, true, .get = get_header, .fold_arg = true,
     .doc = "Value of a field of the request, the first of that name, in any case."},
    {"cookie", EXPR_STRING, true, .get = get_cookie, .doc = "Value of a cookie of the request."},
    {"tls.sni", EXPR_STRING, .get = get_tls_sni,
     .doc = "Name that the client asked for in its TLS handshake, in lower case."},
    {"tls.version", EXPR_STRING, .get = get_tls_version,
     .doc = "Version of TLS: `1.2` or `1.3`; absent without TLS."},
    {"tls.cipher", EXPR_STRING, .get = get_tls_cipher,
     .doc = "Cipher of the connection, such as `TLS_AES_128_GCM_SHA256`."},
    {"tls.alpn", EXPR_STRING, .get = get_tls_alpn,
     .doc = "Protocol agreed on in the handshake: `h2` or `http/1.1`; absent when none was."},
    {"tls.resumed", EXPR_BOOL, .get = get_tls_resumed,
     .doc = "The client came back with a session ticket."},
    {"tls.ja4", EXPR_STRING, .get = get_tls_ja4,
     .doc = "JA4 fingerprint of the client hello: the same for all copies of a client program."},
    {"tls.client.subject", EXPR_STRING, .get = get_tls_client_subject,
     .doc = "Subject of the client's certificate, such as `CN=alice,O=Example`."},
    {"tls.client.san", EXPR_STRING, .get = get_tls_client_san,
     .doc = "Alternative names of the client's certificate, separated by commas."},
    {"tls.client.fingerprint", EXPR_STRING, .get = get_tls_client_fingerprint,
     .doc = "SHA-256 of the client's certificate, in hexadecimal."},
    {"tls.client.verified", EXPR_BOOL, .get = get_tls_client_verified,
     .doc = "The client has shown a certificate of an authority that the listener trusts."},
    {"listener", EXPR_STRING, .get = get_listener,
     .doc = "Name of the listener that took the request."},
    {"route", EXPR_STRING, .get = get_route,
     .doc = "Name of the route; absent while routes are matched."},
    {"request_id", EXPR_STRING, .get = get_request_id,
     .doc = "Id of the request, made on first use."},
    {"trace_id", EXPR_STRING, .get = get_trace_id,
     .doc = "Id of the trace that the exchange is part of, 32 digits; absent without `tracing`, or "
            "when neither it nor the client's `traceparent` has made one."},
    {"time", EXPR_INT, .get = get_time, .doc = "Seconds since 1970-01-01 UTC."},
    {"status", EXPR_INT, .of_response = true, .get = get_status, .doc = "Status of the response."},
    {"grpc_status", EXPR_INT, .of_response = true, .get = get_grpc_status,
     .doc = "Status of a gRPC call, such as 14; -1 when there is none (yet: it comes last)."},
    {"response.header", EXPR_STRING, true, true, .get = get_response_header, .fold_arg = true,
     .doc = "Value of a field of the response, the first of that name, in any case."},
    {"upstream", EXPR_STRING, .of_response = true, .get = get_upstream,
     .doc = "Name of the upstream that answered; absent when we answered ourselves."},
    {"server", EXPR_STRING, .of_response = true, .get = get_server,
     .doc = "Address of the server that answered or was tried last."},
    {"bytes", EXPR_INT, .of_response = true, .get = get_bytes,
     .doc = "Bytes of the response's body sent so far."},
    {NULL},
};
