/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "tls/store.h"
#include "tls/testing.h"

static struct testing_cert ca;

static struct tls_store *
make_store(void)
{
    static const struct {
        const char *names;
        bool        rsa;
        int         days;
    } wanted[] = {
        {"DNS:example.test,DNS:*.example.test", false, 30},
        {"DNS:example.test", true, 30},
        {"DNS:other.test,DNS:*.sub.example.test", false, 30},
        {"DNS:other.test", false, 60},
        {"DNS:other.test", false, 20},
    };
    struct tls_store *s = tls_store_new();

    if (!ca.x)
        ca = testing_issue(NULL, "Root", NULL, false, -10, 1000);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct tls_identity *id =
            testing_identity(&ca, wanted[i].names, wanted[i].rsa, wanted[i].days);

        if (!tls_store_add(s, id))
            return NULL;
        tls_identity_release(id);
    }
    return s;
}

TEST(names_and_wildcards)
{
    struct tls_store *s = make_store();
    const struct tls_choice *c;

    c = tls_store_find(s, SLICE("example.test"));
    EXPECT(c && c->of[TLS_KEY_ECDSA] == tls_store_at(s, 0) &&
           c->of[TLS_KEY_RSA] == tls_store_at(s, 1));
    c = tls_store_find(s, SLICE("a.example.test"));
    EXPECT(c && c->of[TLS_KEY_ECDSA] == tls_store_at(s, 0) && !c->of[TLS_KEY_RSA]);
    c = tls_store_find(s, SLICE("a.sub.example.test"));
    EXPECT(c && c->of[TLS_KEY_ECDSA] == tls_store_at(s, 2));
    EXPECT(tls_store_find(s, SLICE("a.b.example.test")) == NULL);
    EXPECT(tls_store_find(s, SLICE(".example.test")) == NULL);
    EXPECT(tls_store_find(s, SLICE("*.example.test")) != NULL); /* a label like any other */
    EXPECT(tls_store_find(s, SLICE("test")) == NULL);
    EXPECT(tls_store_find(s, SLICE("")) == NULL);
    tls_store_release(s);
}

TEST(the_one_that_expires_last_is_used)
{
    struct tls_store *s = make_store();
    const struct tls_choice *c = tls_store_find(s, SLICE("other.test"));

    EXPECT(c && c->of[TLS_KEY_ECDSA] == tls_store_at(s, 3));
    tls_store_release(s);
}

TEST(the_first_is_the_default_with_its_other_key)
{
    struct tls_store *empty = tls_store_new(), *s = make_store();
    const struct tls_choice *c = tls_store_default(s);

    EXPECT(c && c->of[TLS_KEY_ECDSA] == tls_store_at(s, 0) &&
           c->of[TLS_KEY_RSA] == tls_store_at(s, 1));
    EXPECT(tls_store_default(empty) == NULL);
    EXPECT_EQ(tls_store_count(s), 5);
    tls_store_release(empty);
    tls_store_release(s);
}

TEST(it_knows_whether_it_has_a_name)
{
    struct tls_store *s = make_store();

    EXPECT(tls_store_has(s, SLICE("example.test")) && tls_store_has(s, SLICE("OTHER.test")));
    EXPECT(tls_store_has(s, SLICE("*.example.test")));
    EXPECT(!tls_store_has(s, SLICE("a.example.test"))); /* it is only covered */
    EXPECT(!tls_store_has(s, SLICE("stranger.test")) && !tls_store_has(s, SLICE("")));
    tls_store_release(s);
}
