/* SPDX-License-Identifier: Apache-2.0 */
/* tls/ocsp_test.c - whom to ask, and whom to believe; responses are OpenSSL's. */
#include "tls/ocsp.h"

#include "base/clock.h"
#include "base/test.h"
#include "runtime/loop.h"
#include "tls/testing.h"

#include <openssl/ocsp.h>

/* An authority below a root, a certificate of its that names a responder, and another authority. */
static struct testing_cert root, ca, leaf, other;
static struct loop loop;

/* more: value of authorityInfoAccess; NULL: none. */
static struct testing_cert
issue(const char *more, bool must)
{
    struct testing_cert c = testing_issue(&ca, "leaf", "DNS:example.test", false, -1, 30);

    if (more)
        testing_extension(c.x, ca.x, NID_info_access, more);
    if (must)
        testing_extension(c.x, ca.x, NID_tlsfeature, "status_request");
    X509_sign(c.x, ca.key, EVP_sha256());
    return c;
}

/* issuer NULL: the chain lacks it. */
static struct tls_identity *
identity_of(const struct testing_cert *c, const struct testing_cert *issuer)
{
    struct tls_material m = {.certificate = {NULL, 0}};
    struct text pem, why, warning;
    struct tls_identity *id;

    text_init(&pem, 65536);
    text_init(&why, 1000);
    text_init(&warning, 1000);
    testing_pem(&pem, c, c);
    if (issuer)
        testing_pem(&pem, issuer, NULL);
    m.certificate = text_slice(&pem);
    id = tls_identity_new(&m, &why, &warning);
    text_free(&pem);
    text_free(&why);
    text_free(&warning);
    return id;
}

static struct tls_identity *
begin(void)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    root = testing_issue(NULL, "root", NULL, false, -1, 100);
    ca = testing_issue(&root, "ca", NULL, false, -1, 100);
    other = testing_issue(NULL, "other", NULL, false, -1, 100);
    leaf = issue("OCSP;URI:https://x.test/,OCSP;URI:http://ocsp.test/a", false);
    return identity_of(&leaf, &ca);
}

static void
end(struct tls_identity *id)
{
    tls_identity_release(id);
    loop_once(&loop, loop_now_us()); /* what was replaced is freed */
    loop_exit(&loop);
    testing_cert_free(&root);
    testing_cert_free(&ca);
    testing_cert_free(&leaf);
    testing_cert_free(&other);
}

/* What a response is made of; seconds from now. */
struct answer {
    const struct testing_cert *about, *issuer, *signer;
    const EVP_MD              *hash;
    int                        status;
    long                       from_s, until_s; /* until 0: it does not say */
};

static struct slice
answer_der(const struct answer *a, unsigned char **der)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(a->hash ? a->hash : EVP_sha1(), a->about->x, a->issuer->x);
    ASN1_TIME *from = X509_gmtime_adj(NULL, a->from_s), *revoked = X509_gmtime_adj(NULL, -10);
    ASN1_TIME *until = a->until_s ? X509_gmtime_adj(NULL, a->until_s) : NULL;
    OCSP_RESPONSE *response;
    int n;

    OCSP_basic_add1_status(basic, id, a->status, 0, revoked, from, until);
    OCSP_basic_sign(basic, a->signer->x, a->signer->key, EVP_sha256(), NULL, 0);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    *der = NULL;
    n = i2d_OCSP_RESPONSE(response, der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return slice_of((char *) *der, (size_t) n);
}

/* -1: a refusal without a sentence, or the other way round. */
static int
verify(const struct tls_identity *id, const struct answer *a, struct tls_ocsp_life *life)
{
    unsigned char *der;
    struct slice bytes = answer_der(a, &der);
    char room[300];
    struct text why;
    enum tls_ocsp result;

    text_fixed(&why, room, sizeof(room));
    result = tls_ocsp_verify(id, bytes, life, &why);
    OPENSSL_free(der);
    return (result == TLS_OCSP_GOOD) == (why.n == 0) ? (int) result : -1;
}

static int64_t
now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

TEST(a_certificate_says_whom_to_ask)
{
    struct tls_identity *id = begin();
    struct tls_ocsp_question q;
    const unsigned char *at;
    OCSP_REQUEST *request;
    struct arena arena;

    arena_init(&arena, NULL, 0, 65536);
    EXPECT(tls_ocsp_concerns(id));
    EXPECT(!tls_ocsp_must_staple(id));
    EXPECT(tls_ocsp_question(id, &arena, &q));
    EXPECT_STR(q.url, "http://ocsp.test/a");
    at = (const unsigned char *) q.request.at;
    request = d2i_OCSP_REQUEST(NULL, &at, (long) q.request.n);
    EXPECT(request && OCSP_request_onereq_count(request) == 1);
    OCSP_REQUEST_free(request);
    arena_free(&arena);
    end(id);
}

TEST(without_a_responder_or_an_issuer_nobody_is_asked)
{
    struct tls_identity *id = begin(), *alone = identity_of(&leaf, NULL), *mute, *must;
    struct testing_cert plain = issue(NULL, false), stapled = issue(NULL, true);
    struct tls_ocsp_question q;
    struct arena arena;

    arena_init(&arena, NULL, 0, 65536);
    mute = identity_of(&plain, &ca);
    must = identity_of(&stapled, &ca);
    EXPECT(!tls_ocsp_concerns(mute) && !tls_ocsp_must_staple(mute));
    EXPECT(tls_ocsp_concerns(must) && tls_ocsp_must_staple(must));
    EXPECT(tls_ocsp_question(must, &arena, &q) && q.url.n == 0);
    EXPECT(tls_ocsp_concerns(alone));
    EXPECT(tls_ocsp_question(alone, &arena, &q) && q.url.n == 0);
    arena_free(&arena);
    tls_identity_release(alone);
    tls_identity_release(mute);
    tls_identity_release(must);
    testing_cert_free(&plain);
    testing_cert_free(&stapled);
    end(id);
}

TEST(a_response_is_believed_for_its_signature)
{
    struct tls_identity *id = begin();
    struct answer a = {&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600};
    struct testing_cert helper = testing_issue(&ca, "helper", "", false, -1, 10);
    struct testing_cert plain = testing_issue(&ca, "plain", "", false, -1, 10);
    struct tls_ocsp_life life;

    testing_extension(helper.x, ca.x, NID_ext_key_usage, "OCSPSigning");
    X509_sign(helper.x, ca.key, EVP_sha256());
    EXPECT_EQ(verify(id, &a, &life), TLS_OCSP_GOOD);
    EXPECT(life.until_s - life.from_s == 3660 && life.from_s <= now_s() - 60);
    a.hash = EVP_sha256();
    EXPECT_EQ(verify(id, &a, &life), TLS_OCSP_GOOD);
    a.signer = &helper;
    EXPECT_EQ(verify(id, &a, &life), TLS_OCSP_GOOD);
    a.signer = &plain;
    EXPECT_EQ(verify(id, &a, &life), TLS_OCSP_BROKEN);
    a.signer = &other;
    EXPECT_EQ(verify(id, &a, &life), TLS_OCSP_BROKEN);
    testing_cert_free(&helper);
    testing_cert_free(&plain);
    end(id);
}

TEST(what_it_says_and_when)
{
    struct tls_identity *id = begin();
    struct testing_cert neighbour = issue(NULL, false);
    const struct {
        struct answer answer;
        enum tls_ocsp result;
    } cases[] = {
        {{&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_REVOKED, -60, 3600}, TLS_OCSP_DENIED},
        {{&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600}, TLS_OCSP_DENIED},
        {{&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, -1}, TLS_OCSP_USELESS},
        {{&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, 1000, 3600}, TLS_OCSP_USELESS},
        {{&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, 100, 3600}, TLS_OCSP_GOOD}, /* clocks */
        {{&neighbour, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600}, TLS_OCSP_BROKEN},
        {{&leaf, &other, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600}, TLS_OCSP_BROKEN},
    };
    struct answer endless = {&leaf, &ca, &ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 0};
    struct tls_ocsp_life life;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        EXPECT_EQ(verify(id, &cases[i].answer, &life), cases[i].result);
    EXPECT_EQ(verify(id, &endless, &life), TLS_OCSP_GOOD);
    EXPECT(life.until_s > now_s() && life.until_s <= now_s() + 3600);
    testing_cert_free(&neighbour);
    end(id);
}

TEST(what_is_shown_ends_with_its_time)
{
    struct tls_identity *id = begin();
    char name[100];

    EXPECT(tls_ocsp_file_name(id, name, sizeof(name)));
    EXPECT_STR(slice_str(name), "example.test-ecdsa");
    EXPECT(!tls_ocsp_file_name(id, name, 10));
    EXPECT(!tls_ocsp_is_given(id) && tls_ocsp_current(id).n == 0);
    EXPECT(tls_ocsp_staple(id, SLICE("one"), now_s() + 60));
    EXPECT_STR(tls_ocsp_current(id), "one");
    EXPECT(tls_ocsp_staple(id, SLICE("two"), now_s() + 60));
    EXPECT_STR(tls_ocsp_current(id), "two");
    EXPECT(tls_ocsp_staple(id, SLICE("three"), now_s()));
    EXPECT(tls_ocsp_current(id).n == 0);
    EXPECT(tls_ocsp_staple(id, (struct slice){NULL, 0}, 0));
    EXPECT(tls_ocsp_current(id).n == 0);
    end(id);
}
