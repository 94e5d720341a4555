/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_options.h - what can be configured of TLS on a listener.  Private to the room.
 */
#ifndef EDGE_TLS_OPTIONS_H
#define EDGE_TLS_OPTIONS_H

#include "acme/acme.h"
#include "config/option.h"
#include "tls/tls.h"

/* One entry of `certificates:`. */
struct tls_certificate {
    struct slice certificate, key, ocsp; /* paths; key and ocsp may be absent */
};

struct tls_client_certificates {
    struct slice ca; /* path */
    int          mode; /* enum tls_client_mode */
};

struct tls_listener {
    struct option_list         certificates; /* of struct tls_certificate */
    struct slice               folder;       /* may be absent */
    struct slice               preset;       /* name of the default certificate; may be absent */
    int                        unknown_names;
    int                        profile; /* enum tls_profile */
    struct tls_client_certificates *client;  /* NULL: no certificates are asked for */
    bool                       tickets;
    int                        stapling; /* enum tls_stapling */
    struct slice               state;  /* folder, of fetched responses */
    struct slice               keylog; /* path; absent: none */
    uint64_t                   handshake_timeout_us;
    uint64_t                   hsts_us; /* 0: none */
    struct acme_config        *acme;    /* NULL: no certificate comes by itself */
    struct tls_store          *fixed;   /* what it begins with: from the list and the folder */
    struct tls_folder         *watch;   /* of the folder; NULL: none */
    struct tls_server         *server;  /* made of all this; lives as long as the configuration */
};

enum tls_unknown_names { TLS_UNKNOWN_DEFAULT, TLS_UNKNOWN_REFUSE };

/* OCSP responses: fetched where no file has one, from files only, not at all. */
enum tls_stapling { TLS_STAPLING_AUTO, TLS_STAPLING_FILE, TLS_STAPLING_OFF };

extern const struct option_object tls_listener_object;

#endif
