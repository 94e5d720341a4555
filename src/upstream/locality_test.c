/* SPDX-License-Identifier: Apache-2.0 */
/* Regions as they are configured, clients' regions, and what is near what. */
#include "upstream/locality.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/testing.h"
#include "upstream/geo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* build({"2000::/4": place(53.3, -6.3), "3000::/4": place(-33.9, 151.2),
 *        "4000::/4": {"country": "IE"}}) of tests/support/mmdb.py */
static const char database[] =
    "\x00\x00\x01\x00\x00\x06\x00\x00\x02\x00\x00\x04\x00\x00\x06\x00\x00\x03\x00\x00\x16\x00"
    "\x00" "F\x00\x00\x05\x00\x00\x06\x00\x00v\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\xe1Hlocation\xe2Hlatitudeh@J\xa6" "fffffIlongitudeh\xc0\x19"
    "333333\xe1Hlocation\xe2Hlatitudeh\xc0@\xf3" "33333Ilongitudeh@b\xe6" "fffff\xe1GcountryBIE"
    "\xab\xcd\xefMaxMind.com\xe9[binary_format_major_version\xa1\x02[binary_format_minor_version"
    "\xa0Kbuild_epoch\x04\x02" "eS\xf1\x00Mdatabase_typeITest-CityKdescription\xe1" "BenIfor tes"
    "tsJip_version\xa1\x06Ilanguages\x01\x04" "BenJnode_count\xc1\x06Krecord_size\xa1\x18";

struct site {
    struct locality_config *locality;
};

static const struct option site_options[] = {
    {"locality", &option_objects, offsetof(struct site, locality), .object = &locality_object,
     .flags = OPTION_POINTER},
    {NULL},
};
static const struct option_object site_object = {
    .name = "site",
    .size = sizeof(struct site),
    .options = site_options,
};

/* A configuration under test: loaded, or what was wrong with it. */
struct trial {
    struct config          *config;
    struct locality_config *locality;
    struct config_report    report;
    struct text             messages;
};

static void
load(struct trial *t, const char *name, const char *yaml)
{
    *t = (struct trial){0};
    text_init(&t->messages, 64 * 1024);
    config_report_init(&t->report);
    t->config = config_load_text(name, slice_str(yaml), &site_object, NULL, &t->report);
    config_report_print(&t->report, &t->messages);
    if (t->config)
        t->locality = ((struct site *) t->config->root)->locality;
}

static void
unload(struct trial *t)
{
    config_free(t->config);
    config_report_free(&t->report);
    text_free(&t->messages);
}

static bool
is_refused(const char *yaml, const char *complaint)
{
    struct trial t;
    bool refused;

    load(&t, "site.yaml", yaml);
    refused = !t.config &&
              slice_search(text_slice(&t.messages), slice_str(complaint)) != SLICE_NOT_FOUND;
    if (!refused)
        printf("# %.*s\n", SLICE_ARG(text_slice(&t.messages)));
    unload(&t);
    return refused;
}

/* ------------------------------------------------------------------ mistakes */

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused("locality: {regions: {eu: {}}}", "must tell where clients are"));
    EXPECT(is_refused("locality: {from: host, regions: {}}", "1 to 64 regions"));
    EXPECT(is_refused("locality: {from: hots, regions: {eu: {}}}", "did you mean"));
    EXPECT(is_refused("locality: {from: host, regions: {west: {near: [eats]}, east: {}}}",
                      "did you mean `east`"));
    EXPECT(is_refused("locality: {database: /none.mmdb, regions: {eu: {at: \"1,1\"}}}",
                      "cannot open `/none.mmdb`: No such file"));
    EXPECT(is_refused("locality: {database: /etc/passwd, regions: {eu: {at: \"1,1\"}}}",
                      "cannot open `/etc/passwd`: The MaxMind DB file"));
    EXPECT(is_refused("locality: {database: /none.mmdb, regions: {eu: {}}}",
                      "region `eu` needs a place"));
}

TEST(places_are_on_earth)
{
    static const char *const wrong[] = {"",       "53.3",     "91,0",      "0,181",  "0,-180.1",
                                        "a,b",    "1,2,3",    "+1,2",      "1e1,2",  "--1,2",
                                        "1.,2",   ".5,2",     "1.2345678,2"};
    char yaml[128];

    for (size_t i = 0; i < countof(wrong); i++) {
        snprintf(yaml, sizeof(yaml), "locality: {from: host, regions: {eu: {at: \"%s\"}}}",
                 wrong[i]);
        EXPECT(is_refused(yaml, "is no place on Earth"));
    }
}

TEST(places_are_read_exactly)
{
    struct trial t;
    const struct region_config *r;

    load(&t, "site.yaml",
         "locality: {from: host, regions: {a: {at: \"-53.25, 180\"}, b: {at: \"0.000001,-6.5\"}}}");
    EXPECT(t.locality);
    r = t.locality->regions.at;
    EXPECT(r[0].latitude == -53.25 && r[0].longitude == 180);
    EXPECT(r[1].latitude == 0.000001 && r[1].longitude == -6.5);
    EXPECT_EQ(t.locality->spill, 700000);
    unload(&t);
}

/* ------------------------------------------------------------------ who is near */

/* The names of all regions as seen from each, "a: b c; b: ...". */
static bool
are_near(const char *regions, const char *expected)
{
    char yaml[512], memory[256];
    uint16_t near[16];
    struct text out;
    struct trial t;
    bool right;

    snprintf(yaml, sizeof(yaml), "locality: {from: host, regions: {%s}}", regions);
    load(&t, "site.yaml", yaml);
    CHECK(t.locality && t.locality->regions.n <= 4);
    locality_near(t.locality, near);
    text_fixed(&out, memory, sizeof(memory));
    for (size_t i = 0; i < t.locality->regions.n * t.locality->regions.n; i++) {
        const struct region_config *r = t.locality->regions.at;

        if (i && i % t.locality->regions.n == 0)
            text_literal(&out, "; ");
        text_put(&out, r[near[i]].name);
    }
    right = slice_eq(text_slice(&out), slice_str(expected));
    if (!right)
        printf("# %.*s\n", SLICE_ARG(text_slice(&out)));
    unload(&t);
    return right;
}

#define DUBLIN "d: {at: \"53.3,-6.3\"}"
#define FRANKFURT "f: {at: \"50.1,8.7\"}"
#define NEW_YORK "n: {at: \"40.7,-74.0\"}"
#define SYDNEY "s: {at: \"-33.9,151.2\"}"

TEST(near_is_what_is_close_on_the_globe)
{
    EXPECT(are_near(DUBLIN ", " FRANKFURT ", " NEW_YORK ", " SYDNEY, "dfns; fdns; ndfs; snfd"));
}

TEST(the_date_line_is_no_border)
{
    EXPECT(are_near("f: {at: \"-17.7,178\"}, s: {at: \"-13.8,-172\"}, y: {at: \"-33.9,151.2\"}",
                    "fsy; sfy; yfs"));
}

TEST(a_list_comes_first_then_distance_then_the_rest)
{
    EXPECT(are_near("d: {at: \"53.3,-6.3\", near: [s, x]}, " FRANKFURT ", x: {}, " SYDNEY,
                    "dsxf; fdsx; xdfs; sfdx"));
    EXPECT(are_near("a: {}, b: {near: a}, c: {near: [c, b]}", "abc; bac; cba"));
}

/* ------------------------------------------------------------------ who is where */

static uint16_t
region_of(const struct trial *t, const char *ip, const char *named)
{
    struct exchange *x = testing_exchange("GET", "http://a.example/", "X-Region", named, NULL);
    uint16_t region;

    testing_set_client(x, ip);
    region = locality_region(t->locality, x);
    testing_exchange_free(x);
    return region;
}

TEST(an_expression_names_the_region)
{
    struct trial t;

    load(&t, "site.yaml", "locality: {from: header('x-region'), regions: {eu: {}, us: {}}}");
    EXPECT(t.locality);
    EXPECT_EQ(region_of(&t, "192.0.2.1", "us"), 1);
    EXPECT_EQ(region_of(&t, "192.0.2.1", "EU"), 0);
    EXPECT_EQ(region_of(&t, "192.0.2.1", "mars"), LB_NO_REGION);
    EXPECT_EQ(region_of(&t, "192.0.2.1", ""), LB_NO_REGION);
    EXPECT_EQ(locality_find(t.locality, SLICE("us")), 1);
    EXPECT_EQ(locality_find(t.locality, (struct slice){NULL, 0}), LB_NO_REGION);
    unload(&t);
}

/* A folder with the database in it; the caller removes both. */
static void
make_folder(char folder[64], char file[96])
{
    int fd;

    snprintf(folder, 64, "/tmp/maitred-locality-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(file, 96, "%s/places.mmdb", folder);
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && write(fd, database, sizeof(database) - 1) == sizeof(database) - 1);
    close(fd);
}

TEST(a_database_finds_the_nearest_region)
{
    char folder[64], file[96], name[96];
    struct trial t;

    make_folder(folder, file);
    snprintf(name, sizeof(name), "%s/site.yaml", folder);
    load(&t, name,
         "locality: {from: header('x-region'), database: places.mmdb, "
         "regions: {" FRANKFURT ", " NEW_YORK ", s: {at: \"-37.8,145\"}}}");
    EXPECT(t.locality);
    EXPECT_EQ(region_of(&t, "2001:db8::1", ""), 0);
    EXPECT_EQ(region_of(&t, "3001:db8::1", ""), 2);
    EXPECT_EQ(region_of(&t, "4001:db8::1", ""), LB_NO_REGION);
    EXPECT_EQ(region_of(&t, "5001:db8::1", ""), LB_NO_REGION);
    EXPECT_EQ(region_of(&t, "192.0.2.1", ""), LB_NO_REGION);
    EXPECT_EQ(region_of(&t, "2001:db8::1", "n"), 1);
    unload(&t);
    unlink(file);
    rmdir(folder);
}
