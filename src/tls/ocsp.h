/* SPDX-License-Identifier: Apache-2.0 */
/* tls/ocsp.h - private: responses that say that a certificate is not revoked. */
#ifndef TLS_OCSP_H
#define TLS_OCSP_H

#include "tls/tls.h"

#include <openssl/x509.h>

enum tls_ocsp { TLS_OCSP_GOOD, TLS_OCSP_USELESS, TLS_OCSP_BROKEN };

/* Is the response (DER) one for the certificate?  GOOD: to be stapled until *until_s (wall clock).
 * USELESS: it has expired or does not say `good`; BROKEN: it is not for this certificate, or is no
 * response.  Both with a sentence. */
enum tls_ocsp tls_ocsp_check(struct slice der, X509 *certificate, int64_t *until_s,
                             struct text *why);

#endif
