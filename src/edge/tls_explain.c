/* SPDX-License-Identifier: Apache-2.0 */
/* edge/tls_explain.c - which certificate a client would be shown, and on what terms. */
#include "edge/tls_explain.h"

#include <time.h>

static void
put_certificate(const struct tls_listener *l, struct slice sni, struct text *out)
{
    bool for_name;
    const struct tls_identity *id = tls_server_shows(l->server, sni, &for_name);
    char date[32] = "";
    time_t expires;
    struct tm tm;

    if (!id) {
        text_printf(out, "; no certificate is for `%.*s`: its handshake is refused",
                    SLICE_ARG(sni));
        return;
    }
    expires = (time_t) tls_identity_expires_s(id);
    if (gmtime_r(&expires, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d", &tm);
    text_printf(out, "; %s `%.*s`, valid until %s",
                for_name ? "the certificate is that of" : "no certificate is for this name: the "
                                                          "default, that of",
                SLICE_ARG(tls_identity_name(id, 0)), date);
}

void
tls_explain(const struct tls_listener *l, bool http2, struct slice sni, struct text *out)
{
    text_printf(out, ": TLS %s, %s", l->profile == TLS_MODERN ? "1.3" : "1.2 and 1.3",
                http2 ? "HTTP/2 and HTTP/1.1" : "HTTP/1.1");
    put_certificate(l, sni, out);
    if (l->client && l->client->mode != TLS_CLIENT_OFF)
        text_printf(out, "; a client certificate is %s",
                    l->client->mode == TLS_CLIENT_REQUIRED ? "required" : "asked for");
}
