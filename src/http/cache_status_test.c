/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_status.h"

#include "base/test.h"

static struct slice
written(const struct cache_status *s)
{
    static char memory[512];
    struct text t;

    text_fixed(&t, memory, sizeof(memory));
    cache_status_write(s, &t);
    return text_slice(&t);
}

TEST(a_hit)
{
    struct cache_status s = {.name = SLICE("maitred"), .hit = true, .has_ttl = true, .ttl_s = 30};

    EXPECT_STR(written(&s), "maitred; hit; ttl=30");
    s.ttl_s = -412;
    EXPECT_STR(written(&s), "maitred; hit; ttl=-412");
}

TEST(a_fetch)
{
    struct cache_status s = {.name = SLICE("edge 1"),
                             .forward = CACHE_FORWARD_STALE,
                             .forward_status = 304,
                             .stored = true,
                             .collapsed = true,
                             .key = SLICE("/a\"\\\xC3"),
                             .detail = SLICE("no-store")};

    EXPECT_STR(written(&s), "\"edge 1\"; fwd=stale; fwd-status=304; stored; collapsed; "
                            "key=\"/a\\\"\\\\?\"; detail=no-store");
    s = (struct cache_status){
        .name = SLICE("a"), .forward = CACHE_FORWARD_URI_MISS, .detail = SLICE("3x not")};
    EXPECT_STR(written(&s), "a; fwd=uri-miss; detail=\"3x not\"");
}
