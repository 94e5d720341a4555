/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/sticky.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/testing.h"

enum { NOW = 1800000000, HOUR = 3600 };

static const struct sticky_config shared = {.cookie = SLICE_INIT("lb"),
                                            .secret = SLICE_INIT("0123456789abcdef")};
static const struct sticky_config aging = {.cookie = SLICE_INIT("lb"),
                                           .secret = SLICE_INIT("0123456789abcdef"),
                                           .max_age_us = HOUR * 1000000ull};
static const struct sticky_seen nothing;

static struct slice
app(void)
{
    return SLICE("app");
}

/* The "name=value" that a client gets; lives as long as x. */
static struct slice
given_by(const struct sticky_config *config, struct exchange *x, uint64_t id, uint64_t now_s)
{
    struct slice field, pair;

    testing_answer(x, 200, "text/plain", "");
    sticky_write(config, app(), &nothing, id, x, now_s);
    field = testing_field(x, "Set-Cookie");
    pair = slice_cut(&field, ';');
    return arena_copy(&x->arena, pair);
}

static bool
reads(const struct sticky_config *config, struct slice upstream, const char *cookie,
      uint64_t now_s, struct sticky_seen *seen)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", "Cookie", cookie, NULL);
    bool found = sticky_read(config, upstream, x, now_s, seen);

    testing_exchange_free(x);
    return found;
}

/* ------------------------------------------------------------------ ids */

TEST(an_id_is_the_same_wherever_the_secret_is)
{
    struct slice secret = SLICE("0123456789abcdef"), other = SLICE("0123456789abcdeX");
    uint64_t id = sticky_id(secret, SLICE("app"), SLICE("10.0.0.1:80"));

    EXPECT(id == 0x012F813DD7F6B83Du);
    EXPECT(id == sticky_id(secret, SLICE("app"), SLICE("10.0.0.1:80")));
    EXPECT(id != sticky_id(secret, SLICE("app"), SLICE("10.0.0.2:80")));
    EXPECT(id != sticky_id(secret, SLICE("ap"), SLICE("p10.0.0.1:80")));
    EXPECT(id != sticky_id(other, SLICE("app"), SLICE("10.0.0.1:80")));
}

TEST(without_a_secret_the_process_has_one)
{
    struct slice absent = {NULL, 0};
    uint64_t id = sticky_id(absent, SLICE("app"), SLICE("10.0.0.1:80"));

    EXPECT(id == sticky_id(absent, SLICE("app"), SLICE("10.0.0.1:80")));
    EXPECT(id != sticky_id(SLICE(""), SLICE("app"), SLICE("10.0.0.1:80")));
}

/* ------------------------------------------------------------------ there and back */

TEST(what_was_given_is_read_again)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);
    struct slice cookie = given_by(&shared, x, 0xFEDCBA9876543210u, NOW);
    struct sticky_seen seen;

    EXPECT(slice_starts(cookie, SLICE("lb=")));
    EXPECT(reads(&shared, app(), cookie.at, NOW + 1000 * HOUR, &seen));
    EXPECT(seen.id == 0xFEDCBA9876543210u);
    EXPECT_EQ(seen.issued_s, NOW);
    testing_exchange_free(x);
}

TEST(another_upstream_secret_or_name_reads_nothing)
{
    static const struct sticky_config other_secret = {.cookie = SLICE_INIT("lb"),
                                                      .secret = SLICE_INIT("fedcba9876543210")};
    static const struct sticky_config other_name = {.cookie = SLICE_INIT("LB"),
                                                    .secret = SLICE_INIT("0123456789abcdef")};
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);
    struct slice cookie = given_by(&shared, x, 7, NOW);
    struct sticky_seen seen;

    EXPECT(!reads(&shared, SLICE("ap"), cookie.at, NOW, &seen));
    EXPECT_EQ(seen.id, 0);
    EXPECT(!reads(&other_secret, app(), cookie.at, NOW, &seen));
    EXPECT(!reads(&other_name, app(), cookie.at, NOW, &seen));
    testing_exchange_free(x);
}

TEST(a_cookie_that_was_changed_anywhere_is_none)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);
    struct slice cookie = given_by(&shared, x, 7, NOW);
    struct sticky_seen seen;

    for (size_t i = 3; i < cookie.n; i++) {
        char *at = (char *) &cookie.at[i], was = *at;

        *at = was == 'A' ? 'B' : 'A';
        EXPECT(!reads(&shared, app(), cookie.at, NOW, &seen));
        *at = was;
    }
    EXPECT(reads(&shared, app(), cookie.at, NOW, &seen));
    EXPECT(!reads(&shared, app(), "lb=", NOW, &seen));
    EXPECT(!reads(&shared, app(), "lb=10.0.0.1", NOW, &seen));
    EXPECT(!reads(&shared, app(), arena_printf(&x->arena, "%sA", cookie.at).at, NOW, &seen));
    EXPECT(!reads(&shared, app(), "other=1", NOW, &seen));
    testing_exchange_free(x);
}

TEST(a_cookie_ends_with_its_age)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);
    struct slice cookie = given_by(&aging, x, 7, NOW);
    struct sticky_seen seen;

    EXPECT(reads(&aging, app(), cookie.at, NOW + HOUR, &seen));
    EXPECT(!reads(&aging, app(), cookie.at, NOW + HOUR + 1, &seen));
    EXPECT(reads(&aging, app(), cookie.at, NOW - 300, &seen));
    EXPECT(!reads(&aging, app(), cookie.at, NOW - 301, &seen));
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ giving */

static bool
is_given(const struct sticky_config *config, const char *url, struct sticky_seen seen, uint64_t id,
         const char *end)
{
    struct exchange *x = testing_exchange("GET", url, NULL);
    struct slice field;
    bool right;

    testing_answer(x, 200, "text/plain", "");
    sticky_write(config, app(), &seen, id, x, NOW);
    field = testing_field(x, "Set-Cookie");
    right = end ? slice_ends(field, slice_str(end)) : !slice_is_present(field);
    testing_exchange_free(x);
    return right;
}

TEST(its_attributes)
{
    static const char http[] = "http://a.example/", https[] = "https://a.example/";
    struct sticky_config c = shared;

    EXPECT(is_given(&c, http, nothing, 7, "; Path=/; HttpOnly; SameSite=Lax"));
    EXPECT(is_given(&c, https, nothing, 7, "; Path=/; HttpOnly; SameSite=Lax; Secure"));
    c.secure = 1;
    EXPECT(is_given(&c, http, nothing, 7, "; SameSite=Lax; Secure"));
    c.secure = 2;
    EXPECT(is_given(&c, https, nothing, 7, "; SameSite=Lax"));
    c.same_site = 1;
    EXPECT(is_given(&c, https, nothing, 7, "; SameSite=Strict"));
    c.secure = 0;
    c.same_site = 2;
    EXPECT(is_given(&c, http, nothing, 7, "; SameSite=None; Secure"));
    EXPECT(is_given(&aging, http, nothing, 7, "; SameSite=Lax; Max-Age=3600"));
}

TEST(who_has_it_is_not_told_again)
{
    static const char url[] = "http://a.example/", lax[] = "Lax", age[] = "Max-Age=3600";

    EXPECT(is_given(&shared, url, (struct sticky_seen){7, 1}, 7, NULL));
    EXPECT(is_given(&shared, url, (struct sticky_seen){8, NOW}, 7, lax));
    EXPECT(is_given(&aging, url, (struct sticky_seen){7, NOW - HOUR / 2 + 1}, 7, NULL));
    EXPECT(is_given(&aging, url, (struct sticky_seen){7, NOW - HOUR / 2}, 7, age));
    EXPECT(is_given(&shared, url, nothing, 0, NULL));
}

TEST(each_upstream_has_a_name_of_its_own)
{
    static const struct sticky_config unnamed;
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);

    testing_answer(x, 200, "text/plain", "");
    sticky_write(&unnamed, SLICE("app"), &nothing, 7, x, NOW);
    EXPECT(slice_starts(testing_field(x, "Set-Cookie"), SLICE("sticky_1a0fc720=")));
    testing_answer(x, 200, "text/plain", "");
    sticky_write(&unnamed, SLICE("api"), &nothing, 7, x, NOW);
    EXPECT(!slice_starts(testing_field(x, "Set-Cookie"), SLICE("sticky_1a0fc720=")));
    testing_exchange_free(x);
}

TEST(the_application_s_own_cookies_stay)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", NULL);
    size_t n = 0;

    testing_answer(x, 200, "text/plain", "");
    fields_add(&x->response.fields, FIELD_SET_COOKIE, SLICE("session=1"));
    sticky_write(&shared, app(), &nothing, 7, x, NOW);
    for (size_t i = 0; i < x->response.fields.n; i++)
        n += x->response.fields.at[i].id == FIELD_SET_COOKIE;
    EXPECT_EQ(n, 2);
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ taking it out */

TEST(servers_do_not_see_it)
{
    static const struct {
        const char *sent, *left; /* NULL: no field is left */
    } cases[] = {
        {"lb=x", NULL},
        {"lb=x; a=1", "a=1"},
        {"a=1; lb=x", "a=1"},
        {"a=1; lb=x; b=2", "a=1; b=2"},
        {"a=1;lb=x;b=2;c=3;d=4", "a=1;b=2;c=3;d=4"},
        {"lb=x; lb=y", NULL},
        {"lb = x; a=1", "a=1"},
        {"xlb=1; lbx=2; LB=3; lb", "xlb=1; lbx=2; LB=3; lb"},
        {"", ""},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct exchange *x = testing_exchange("GET", "http://a.example/", "Cookie", cases[i].sent,
                                              "Accept", "*/*", NULL);
        struct slice left;

        sticky_strip(&shared, app(), x);
        left = fields_value(&x->request.fields, FIELD_COOKIE);
        if (cases[i].left)
            EXPECT_STR(left, cases[i].left);
        else
            EXPECT(!slice_is_present(left));
        EXPECT_STR(fields_value(&x->request.fields, FIELD_ACCEPT), "*/*");
        testing_exchange_free(x);
    }
}

TEST(it_is_found_and_taken_out_in_any_field)
{
    struct exchange *given = testing_exchange("GET", "http://a.example/", NULL);
    struct slice cookie = given_by(&shared, given, 7, NOW);
    struct exchange *x = testing_exchange("GET", "http://a.example/", "Cookie", "a=1", "Cookie",
                                          cookie.at, "Cookie", "b=2", NULL);
    struct sticky_seen seen;

    EXPECT(sticky_read(&shared, app(), x, NOW, &seen));
    sticky_strip(&shared, app(), x);
    EXPECT(!sticky_read(&shared, app(), x, NOW, &seen));
    EXPECT_EQ(x->request.fields.n, 2);
    EXPECT_STR(x->request.fields.at[1].value, "b=2");
    testing_exchange_free(x);
    testing_exchange_free(given);
}
