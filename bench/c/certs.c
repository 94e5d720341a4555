/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/c/certs.c - makes the certificates that the benchmarks of TLS use.
 *
 *   certs FOLDER ecdsa|rsa COUNT
 *
 * Writes FOLDER/hN.bench.test.pem for each N below COUNT: a certificate for that name, and its key.
 * All are issued by one authority that is forgotten at the end, and share one key (P-256 or RSA of
 * 2048 bits): 10,000 keys would take minutes, and no proxy looks whether they differ.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALID_S = 30 * 24 * 3600, BACK_S = 3600, COUNT_MAX = 1000000 };

static void
fail(const char *what)
{
    fprintf(stderr, "certs: %s\n", what);
    exit(1);
}

/* A certificate for the subject, with all but extensions and signature. */
static X509 *
certificate_new(const char *subject, const char *issuer, long serial, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new(), *by = X509_NAME_new();
    if (!cert || !name || !by || !X509_set_version(cert, X509_VERSION_3) ||
        !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) subject, -1,
                                    -1, 0) ||
        !X509_NAME_add_entry_by_txt(by, "CN", MBSTRING_ASC, (const unsigned char *) issuer, -1, -1,
                                    0) ||
        !X509_set_subject_name(cert, name) || !X509_set_issuer_name(cert, by) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), -BACK_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) || !X509_set_pubkey(cert, key))
        fail("cannot make a certificate");
    X509_NAME_free(name);
    X509_NAME_free(by);
    return cert;
}

static void
add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    if (!extension || !X509_add_ext(cert, extension, -1))
        fail(value);
    X509_EXTENSION_free(extension);
}

static void
write_host(const char *folder, long n, EVP_PKEY *key, EVP_PKEY *authority)
{
    char host[64], value[80], path[512];
    snprintf(host, sizeof host, "h%ld.bench.test", n);
    snprintf(value, sizeof value, "DNS:%s", host);
    if ((size_t) snprintf(path, sizeof path, "%s/%s.pem", folder, host) >= sizeof path)
        fail("the path of the folder is too long");

    X509 *cert = certificate_new(host, "bench authority", n + 1, key);
    add_extension(cert, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment");
    add_extension(cert, NID_ext_key_usage, "serverAuth");
    add_extension(cert, NID_subject_alt_name, value);
    FILE *out = fopen(path, "w");
    if (!out || !X509_sign(cert, authority, EVP_sha256()) || !PEM_write_X509(out, cert) ||
        !PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) || fclose(out))
        fail(path);
    X509_free(cert);
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: certs FOLDER ecdsa|rsa COUNT\n");
        return 2;
    }
    long count = strtol(argv[3], NULL, 10);
    bool rsa = strcmp(argv[2], "rsa") == 0;
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    EVP_PKEY *authority = EVP_EC_gen("P-256");
    if (!key || !authority || count < 1 || count > COUNT_MAX)
        fail("no key, or a strange count");
    for (long n = 0; n < count; n++)
        write_host(argv[1], n, key, authority);
    EVP_PKEY_free(key);
    EVP_PKEY_free(authority);
    return 0;
}
