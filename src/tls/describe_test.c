/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "tls/testing.h"

#include <time.h>

enum { DAY_S = 86400 };

static bool
is_about(int64_t at_s, int64_t days)
{
    int64_t off_s = at_s - (int64_t) time(NULL) - days * DAY_S;

    return off_s > -60 && off_s < 60;
}

TEST(a_certificate_says_who_issued_it_and_until_when)
{
    struct testing_cert ca = testing_issue(NULL, "Root, of \"Tests\"", NULL, false, -10, 1000);
    struct tls_identity *id = testing_identity(&ca, "DNS:example.test", false, 30);
    struct tls_identity_facts facts;

    EXPECT(id && tls_identity_describe(id, &facts));
    EXPECT_STR(slice_str(facts.issuer), "CN=Root\\, of \\\"Tests\\\"");
    EXPECT(is_about(facts.not_before_s, -1));
    EXPECT(is_about(facts.not_after_s, 30));
    EXPECT_EQ(facts.not_after_s, tls_identity_expires_s(id));
    EXPECT(!facts.rsa && !facts.stapled);
    tls_identity_release(id);
    testing_cert_free(&ca);
}

TEST(keys_of_both_kinds)
{
    struct testing_cert ca = testing_issue(NULL, "Root", NULL, false, -10, 1000);
    struct tls_identity *id = testing_identity(&ca, "DNS:example.test", true, 30);
    struct tls_identity_facts facts;

    EXPECT(id && tls_identity_describe(id, &facts));
    EXPECT(facts.rsa);
    tls_identity_release(id);
    testing_cert_free(&ca);
}

/* Escaped, it is twice as long. */
TEST(a_long_name_is_told_whole)
{
    char name[64];
    struct testing_cert ca;
    struct tls_identity *id;
    struct tls_identity_facts facts;

    memset(name, ',', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    ca = testing_issue(NULL, name, NULL, false, -10, 1000);
    id = testing_identity(&ca, "DNS:example.test", false, 30);
    EXPECT(id && tls_identity_describe(id, &facts));
    EXPECT(strlen(facts.issuer) == 3 + 2 * (sizeof(name) - 1));
    tls_identity_release(id);
    testing_cert_free(&ca);
}
