/* SPDX-License-Identifier: Apache-2.0 */
/* tls/pem_test.c - files as people have them, and the sentences they get when one is wrong. */
#include "base/test.h"
#include "tls/identity.h"
#include "tls/testing.h"

static struct testing_cert root, middle, leaf, other;

static void
make_all(void)
{
    if (root.x)
        return;
    root = testing_issue(NULL, "Root", NULL, false, -10, 1000);
    middle = testing_issue(&root, "Middle", NULL, false, -10, 1000);
    leaf = testing_issue(&middle, "leaf", "DNS:Example.test,DNS:*.example.test", false, -1, 90);
    other = testing_issue(&middle, "other", "DNS:other.test", true, -1, 90);
}

static struct text why, warning;

static struct tls_identity *
load(const struct text *a, const struct text *b)
{
    struct tls_material m = {text_slice(a), b ? text_slice(b) : (struct slice){NULL, 0}, {NULL, 0}};

    text_free(&why);
    text_free(&warning);
    text_init(&why, 1000);
    text_init(&warning, 1000);
    return tls_identity_new(&m, &why, &warning);
}

TEST(any_order_in_one_file)
{
    const struct testing_cert *all[4];
    struct text pem;

    make_all();
    all[0] = &leaf, all[1] = &middle, all[2] = &root, all[3] = NULL;
    for (int order = 0; order < 24; order++) {
        int left[4] = {0, 1, 2, 3}, rest = order;
        struct tls_identity *id;

        text_init(&pem, 65536);
        for (int n = 4; n > 0; n--) {
            int at = rest % n;

            testing_pem(&pem, all[left[at]], all[left[at]] ? NULL : &leaf);
            rest /= n;
            left[at] = left[n - 1];
        }
        id = load(&pem, NULL);
        EXPECT(id != NULL);
        EXPECT_EQ(id->n_certificates, 2); /* without the root */
        EXPECT_STR(tls_identity_name(id, 0), "example.test");
        EXPECT_STR(tls_identity_name(id, 1), "*.example.test");
        EXPECT(!slice_is_present(tls_identity_name(id, 2)));
        tls_identity_release(id);
        text_free(&pem);
    }
}

static void
expect_refused(const struct testing_cert *certificate, const struct testing_cert *second,
               const struct testing_cert *key, const char *said, int line)
{
    struct text pem;
    struct tls_identity *id;

    text_init(&pem, 65536);
    testing_pem(&pem, certificate, key);
    if (second)
        testing_pem(&pem, second, NULL);
    id = load(&pem, NULL);
    if (id || !slice_starts(text_slice(&why), slice_str(said)))
        test_failed(__FILE__, line, "said \"%.*s\", not \"%s\"", (int) why.n, why.at, said);
    if (id)
        tls_identity_release(id);
    text_free(&pem);
}

TEST(what_is_wrong_is_named)
{
    struct testing_cert late, early, stranger;

    make_all();
    late = testing_issue(&middle, "late", "DNS:late.test", false, -10, -1);
    early = testing_issue(&middle, "early", "DNS:early.test", false, 1, 10);
    stranger = testing_issue(NULL, "Stranger", NULL, false, -10, 1000);
    expect_refused(&leaf, NULL, NULL, "there is no private key", __LINE__);
    expect_refused(NULL, NULL, &leaf, "there is no certificate", __LINE__);
    expect_refused(&leaf, NULL, &other,
                   "the private key does not belong to the certificate `CN=leaf`", __LINE__);
    expect_refused(&leaf, &other, &middle, "the private key belongs to none of the 2 certificates",
                   __LINE__);
    expect_refused(&leaf, &stranger, &leaf,
                   "the chain is broken: `CN=Stranger` did not issue `CN=leaf`", __LINE__);
    expect_refused(&late, NULL, &late, "the certificate `CN=late` expired on 20", __LINE__);
    expect_refused(&early, NULL, &early, "the certificate `CN=early` is not valid before 20",
                   __LINE__);
    testing_cert_free(&late);
    testing_cert_free(&early);
    testing_cert_free(&stranger);
}

TEST(a_passphrase_is_named)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct text pem;
    char *at;
    long n;

    make_all();
    text_init(&pem, 65536);
    testing_pem(&pem, &leaf, NULL);
    PEM_write_bio_PrivateKey(bio, leaf.key, EVP_aes_256_cbc(), NULL, 0, NULL, (void *) "secret");
    n = BIO_get_mem_data(bio, &at);
    text_put(&pem, slice_of(at, (size_t) n));
    EXPECT(load(&pem, NULL) == NULL);
    EXPECT(slice_starts(text_slice(&why), SLICE("the private key is protected by a passphrase")));
    BIO_free(bio);
    text_free(&pem);
}

TEST(broken_and_empty_files)
{
    struct text pem;

    make_all();
    text_init(&pem, 65536);
    EXPECT(load(&pem, NULL) == NULL);
    EXPECT_STR(text_slice(&why), "there is no certificate");
    testing_pem(&pem, &leaf, &leaf);
    pem.n -= 30; /* the last block has no end */
    EXPECT(load(&pem, NULL) == NULL);
    EXPECT(slice_starts(text_slice(&why), SLICE("a PEM block is broken")));
    text_free(&pem);
}

TEST(soon_expired_is_a_warning)
{
    struct testing_cert c;
    struct text pem;
    struct tls_identity *id;

    make_all();
    c = testing_issue(&middle, "soon", "DNS:soon.test", false, -1, 5);
    text_init(&pem, 65536);
    testing_pem(&pem, &c, &c);
    id = load(&pem, NULL);
    EXPECT(id != NULL);
    EXPECT(slice_starts(text_slice(&warning), SLICE("the certificate `CN=soon` expires on 20")));
    tls_identity_release(id);
    text_free(&pem);
    testing_cert_free(&c);
}
