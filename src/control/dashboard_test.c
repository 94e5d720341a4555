/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "control/dashboard.h"
#include "exchange/testing.h"

static struct exchange *x;

/* name, value: a field of the request. */
static bool
ask(const char *method, const char *path, const char *name, const char *value)
{
    testing_exchange_free(x);
    x = testing_exchange(method, path, name, value, NULL);
    return dashboard_answer(&(struct api_call){.x = x});
}

static bool
says(const char *name, const char *part)
{
    return slice_search(testing_field(x, name), slice_str(part)) != SLICE_NOT_FOUND;
}

TEST(the_page_is_plain_for_who_takes_nothing_else)
{
    EXPECT(ask("GET", "/", "Accept", "*/*"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "");
    EXPECT(says("Content-Type", "text/html"));
    EXPECT(says("Content-Security-Policy", "default-src 'none'"));
    EXPECT(says("Cache-Control", "no-cache"));
    EXPECT(slice_starts(testing_pull(x, x->response.body), SLICE("<!doctype html>")));
}

TEST(the_page_is_compressed_for_who_takes_that)
{
    struct slice bytes;

    EXPECT(ask("GET", "/", "Accept-Encoding", "br, gzip"));
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    EXPECT(says("Vary", "Accept-Encoding"));
    bytes = testing_pull(x, x->response.body);
    EXPECT(slice_starts(bytes, SLICE("\x1f\x8b")));
    EXPECT(bytes.n < dashboard_files[0].plain.n);
    EXPECT(ask("GET", "/", "Accept-Encoding", "gzip;q=0"));
    EXPECT_STR(testing_field(x, "Content-Encoding"), "");
}

TEST(who_has_it_gets_it_not_again)
{
    EXPECT(ask("GET", "/", "If-None-Match", dashboard_files[0].etag));
    EXPECT_EQ(x->response.status, 304);
    EXPECT(ask("GET", "/", "If-None-Match", dashboard_files[0].gzip_etag));
    EXPECT_EQ(x->response.status, 200);
}

TEST(assets_are_kept_for_ever)
{
    for (const struct dashboard_file *f = dashboard_files; f->path; f++) {
        EXPECT(ask("GET", f->path, "Accept", "*/*"));
        EXPECT_EQ(f->lasting, says("Cache-Control", "immutable"));
        EXPECT_EQ(f->lasting, strncmp(f->path, "/assets/", 8) == 0);
        EXPECT_EQ(testing_pull(x, x->response.body).n, f->plain.n);
    }
}

TEST(the_rest_is_somebody_elses)
{
    EXPECT(!ask("GET", "/assets/", "Accept", "*/*"));
    EXPECT(!ask("GET", "/assets/../v1", "Accept", "*/*"));
    EXPECT(!ask("POST", "/", "Accept", "*/*"));
    EXPECT_EQ(x->response.status, 0);
    testing_exchange_free(x);
    x = NULL;
}
