/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/files/files.h"

static struct option_pair own[] = {
    {SLICE_INIT("gpx"), SLICE_INIT("application/gpx+xml")},
    {SLICE_INIT("html"), SLICE_INIT("text/html; charset=latin1")},
};
static struct files options = {.types = {own, countof(own)}};

#define TYPE_OF(name) files_type_of(&options, SLICE(name))

TEST(the_extension_decides)
{
    EXPECT_STR(TYPE_OF("a.css").type, "text/css");
    EXPECT_STR(TYPE_OF("A.PNG").type, "image/png");
    EXPECT_STR(TYPE_OF("a.b/c.tar.gz").type, "application/gzip");
    EXPECT_STR(TYPE_OF("app.webmanifest").type, "application/manifest+json");
    EXPECT(TYPE_OF("a.txt").text && TYPE_OF("a.txt").compresses);
    EXPECT(!TYPE_OF("a.json").text && TYPE_OF("a.json").compresses);
    EXPECT(!TYPE_OF("a.jpg").compresses);
}

TEST(each_row_can_be_found)
{
    EXPECT_STR(TYPE_OF("first.3gp").type, "video/3gpp");
    EXPECT_STR(TYPE_OF("woff.woff").type, "font/woff");
    EXPECT_STR(TYPE_OF("woff.woff2").type, "font/woff2");
    EXPECT_STR(TYPE_OF("x.js").type, "text/javascript");
    EXPECT_STR(TYPE_OF("x.jsonld").type, "application/ld+json");
    EXPECT_STR(TYPE_OF("last.zst").type, "application/zstd");
}

TEST(what_is_not_known_is_bytes)
{
    EXPECT_STR(TYPE_OF("a").type, "application/octet-stream");
    EXPECT_STR(TYPE_OF("a.txt/b").type, "application/octet-stream");
    EXPECT_STR(TYPE_OF("a.").type, "application/octet-stream");
    EXPECT_STR(TYPE_OF("a.webmanifestwebmanifest").type, "application/octet-stream");
    EXPECT_STR(TYPE_OF("").type, "application/octet-stream");
}

TEST(options_come_first)
{
    EXPECT_STR(TYPE_OF("a.GPX").type, "application/gpx+xml");
    EXPECT(TYPE_OF("a.gpx").compresses);
    EXPECT_STR(TYPE_OF("a.html").type, "text/html; charset=latin1");
    EXPECT(!TYPE_OF("a.html").text);
}
