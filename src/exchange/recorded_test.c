/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that were kept: which, without their secrets, and as exchanges again. */
#include "base/check.h"
#include "base/test.h"
#include "exchange/recorded.h"
#include "exchange/route.h"
#include "exchange/testing.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdio.h>

enum { HEADS_MAX = 2 * RECORDED_MAX };

static struct loop loop;
static struct slice heads[HEADS_MAX];
static size_t n_heads;
static struct arena arena;

static void
note(void *arg, struct slice head)
{
    (void) arg;
    CHECK(n_heads < HEADS_MAX);
    heads[n_heads++] = arena_copy(&arena, head);
}

static void
read_all(void *arg)
{
    (void) arg;
    n_heads = 0;
    recorded_each(note, NULL);
    workers_leave(&loop);
    loop_stop(&loop);
}

static void
begin(void)
{
    arena_init(&arena, NULL, 0, (size_t) 16 << 20);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    workers_join(&loop);
}

/* What is there is in `heads` then. */
static void
end(void)
{
    CHECK(fiber_start("reader", read_all, NULL) != NULL);
    loop_run(&loop);
    recorded_exit();
    loop_exit(&loop);
}

static void
record(const struct route *route, const char *url)
{
    struct exchange *x = testing_exchange(
        "GET", url, "Host", "example.com", "Authorization", "Bearer s3cret", "Cookie",
        "user=bob; theme=dark", "X-Api-Key", "s3cret", "Accept", "text/html", NULL);

    x->route = route;
    recorded_take(x);
    testing_exchange_free(x);
}

TEST(a_head_is_kept_without_its_secrets)
{
    static const struct route route;

    begin();
    record(&route, "http://example.com:8080/a?b=1&access_token=s3cret&c");
    end();
    EXPECT_EQ(n_heads, 1);
    EXPECT(slice_eq(heads[0], SLICE("GET\0http\0example.com:8080\0/a?b=1&access_token=***&c\0"
                                    "public\000192.0.2.1\0Host: example.com\0"
                                    "Authorization: ***\0Cookie: user=***; theme=***\0"
                                    "X-Api-Key: ***\0Accept: text/html\0")));
    arena_free(&arena);
}

TEST(fields_that_do_not_fit_are_left_out)
{
    static char large[RECORDED_BYTES_MAX];
    struct exchange *x;

    memset(large, 'x', sizeof(large) - 1);
    begin();
    x = testing_exchange("GET", "/", "Large", large, "Small", "1", NULL);
    recorded_take(x);
    testing_exchange_free(x);
    end();
    EXPECT_EQ(n_heads, 1);
    EXPECT(slice_search(heads[0], SLICE("Large")) == SLICE_NOT_FOUND);
    EXPECT(slice_search(heads[0], SLICE("Small: 1")) != SLICE_NOT_FOUND);
    arena_free(&arena);
}

TEST(rare_routes_and_paths_are_not_crowded_out)
{
    static const struct route hot = {.index = 0}, rare = {.index = 7};
    size_t rare_paths = 0;
    bool found = false;

    begin();
    record(&rare, "http://example.com/once");
    for (int i = 0; i < 20000; i++) {
        char url[64];

        snprintf(url, sizeof(url), "http://example.com/%d", i % 1000 ? 0 : i);
        record(&hot, url);
    }
    end();
    for (size_t i = 0; i < n_heads; i++) {
        found |= slice_search(heads[i], SLICE("/once")) != SLICE_NOT_FOUND;
        rare_paths += slice_search(heads[i], SLICE("/0\0")) == SLICE_NOT_FOUND;
    }
    EXPECT(n_heads <= RECORDED_MAX);
    EXPECT(found);
    EXPECT(rare_paths >= 15); /* of the 19 */
    arena_free(&arena);
}

TEST(a_head_becomes_an_exchange_again)
{
    struct imagined_exchange e;
    struct slice head = SLICE("POST\0https\0Example.com:8443\0/a/../b?x=1\0tls\0002001:db8::1\0"
                              "Host: Example.com:8443\0Accept: */*\0");

    EXPECT(recorded_imagine(head, NULL, NULL, &e));
    EXPECT_EQ(e.x.request.method, METHOD_POST);
    EXPECT(slice_eq(e.x.request.host, SLICE("example.com")));
    EXPECT_EQ(e.x.request.port, 8443);
    EXPECT(slice_eq(e.x.request.target.path, SLICE("/b")));
    EXPECT(slice_eq(e.x.request.target.query, SLICE("x=1")));
    EXPECT(slice_eq(e.x.client->listener, SLICE("tls")));
    EXPECT(slice_eq(e.x.client_ip, SLICE("2001:db8::1")));
    EXPECT(e.x.client->secure);
    EXPECT(slice_eq(fields_value(&e.x.request.fields, FIELD_ACCEPT), SLICE("*/*")));
    recorded_forget(&e);
}

TEST(nonsense_is_no_head)
{
    static const struct slice bad[] = {
        SLICE_INIT(""), SLICE_INIT("GET"), SLICE_INIT("GET\0http\0a\0/"),
        SLICE_INIT("G T\0http\0a\0/\0l\000192.0.2.1\0"),
        SLICE_INIT("GET\0http\0a b\0/\0l\000192.0.2.1\0"),
        SLICE_INIT("GET\0http\0a\0x y\0l\000192.0.2.1\0"),
        SLICE_INIT("GET\0http\0a\0/\0l\000192.0.2.1\0No field\0"),
    };

    for (size_t i = 0; i < countof(bad); i++) {
        struct imagined_exchange e;

        EXPECT(!recorded_imagine(bad[i], NULL, NULL, &e));
        recorded_forget(&e);
    }
}
