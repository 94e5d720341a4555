/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/ocsp.c - is an OCSP response (RFC 6960) worth stapling?
 *
 * Clients check its signature; we check what an operator gets wrong: the wrong file, or an old one.
 */
#include "tls/ocsp.h"

#include "base/clock.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <time.h>

/* The answer about that certificate; NULL: there is none. */
static OCSP_SINGLERESP *
find(OCSP_BASICRESP *basic, X509 *certificate)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;

        if (OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                              (OCSP_CERTID *) OCSP_SINGLERESP_get0_id(single)) &&
            ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0)
            return single;
    }
    return NULL;
}

static enum tls_ocsp
judge(OCSP_BASICRESP *basic, X509 *certificate, int64_t *until_s, struct text *why)
{
    OCSP_SINGLERESP *single = find(basic, certificate);
    ASN1_GENERALIZEDTIME *next = NULL;
    struct tm tm;
    int status, reason;

    if (!single) {
        text_literal(why, "the OCSP response is for another certificate");
        return TLS_OCSP_BROKEN;
    }
    status = OCSP_single_get0_status(single, &reason, NULL, NULL, &next);
    if (status != V_OCSP_CERTSTATUS_GOOD) {
        text_printf(why, "the OCSP response says `%s`; it is not stapled",
                    OCSP_cert_status_str(status));
        return TLS_OCSP_USELESS;
    }
    *until_s = next && ASN1_TIME_to_tm(next, &tm) ? (int64_t) timegm(&tm) : INT64_MAX;
    if (*until_s > (int64_t) (clock_wall_us() / 1000000))
        return TLS_OCSP_GOOD;
    text_literal(why, "the OCSP response has expired; it is not stapled");
    return TLS_OCSP_USELESS;
}

enum tls_ocsp
tls_ocsp_check(struct slice der, X509 *certificate, int64_t *until_s, struct text *why)
{
    const unsigned char *at = (const unsigned char *) der.at;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long) der.n);
    OCSP_BASICRESP *basic =
        response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
            ? OCSP_response_get1_basic(response)
            : NULL;
    enum tls_ocsp result = TLS_OCSP_BROKEN;

    if (basic)
        result = judge(basic, certificate, until_s, why);
    else
        text_printf(why, response ? "the OCSP response only says `%s`"
                                  : "the OCSP response cannot be read%s",
                    response ? OCSP_response_status_str(OCSP_response_status(response)) : "");
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return result;
}
