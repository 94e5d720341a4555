/* SPDX-License-Identifier: Apache-2.0 */
/* edge/certificates.c - the certificates that listeners show, and where they come from. */
#include "edge/certificates.h"

#include "edge/tls_folder.h"
#include "edge/tls_options.h"
#include "tls/ocsp.h"

static struct slice
file_of(const struct tls_listener *l, const struct tls_identity *id)
{
    const struct tls_certificate *list = l->certificates.at;
    size_t fixed = SIZE_MAX;
    const char *path = l->watch ? tls_folder_file(l->watch, id, &fixed) : NULL;

    if (path)
        return slice_str(path);
    return fixed < l->certificates.n ? list[fixed].certificate : (struct slice){NULL, 0};
}

/* Of one of a server's stores: what it was configured with, and what is kept for it. */
static void
see_store(const struct listener_config *l, const struct tls_store *store, bool acme,
          void (*see)(void *arg, const struct edge_certificate *c), void *arg)
{
    const struct tls_identity *id;

    for (size_t i = 0; store && (id = tls_ocsp_identity(store, i)); i++) {
        struct edge_certificate c = {
            .listener = l,
            .identity = id,
            .acme = acme,
            .file = acme ? (struct slice){NULL, 0} : file_of(l->tls, id),
        };

        see(arg, &c);
    }
}

void
edge_certificates_each(const struct snapshot *s,
                       void (*see)(void *arg, const struct edge_certificate *c), void *arg)
{
    const struct listener_config *l = s->listeners.at;

    for (size_t i = 0; i < s->listeners.n; i++) {
        if (!l[i].tls || !l[i].tls->server)
            continue;
        see_store(&l[i], tls_ocsp_store(l[i].tls->server, 0), false, see, arg);
        see_store(&l[i], tls_ocsp_store(l[i].tls->server, 1), true, see, arg);
    }
}
