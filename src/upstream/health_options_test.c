/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/health_options_test.c - checks as people write them, right and wrong. */
#include "upstream/health.h"

#include "base/test.h"
#include "upstream/probe.h"

struct sample {
    struct option_list health; /* of struct health_config */
};

static const struct option sample_options[] = {
    {"health", &option_objects, offsetof(struct sample, health), .object = &health_object,
     .flags = OPTION_LIST, .doc = "Checks."},
    {NULL},
};
static const struct option_object sample_object = {"sample", "A sample.", sizeof(struct sample),
                                                   sample_options};

static struct config_report report;
static struct text said;

/* NULL: what was said about it is in `said`. */
static struct config *
load(const char *yaml)
{
    struct config *c;

    config_report_init(&report);
    c = config_load_text("site.yaml", slice_str(yaml), &sample_object, NULL, &report);
    text_init(&said, 64 * 1024);
    config_report_print(&report, &said);
    return c;
}

static void
unload(struct config *c)
{
    config_free(c);
    config_report_free(&report);
    text_free(&said);
}

static const struct health_config *
check_of(const struct config *c, size_t i)
{
    const struct sample *s = c->root;

    return i < s->health.n ? (const struct health_config *) s->health.at + i : NULL;
}

TEST(a_path_is_a_check)
{
    struct config *c = load("health: /healthz\n");
    const struct health_config *h = c ? check_of(c, 0) : NULL;

    EXPECT(h != NULL);
    EXPECT(probe_kinds[h->kind] == &probe_http);
    EXPECT_STR(h->path, "/healthz");
    EXPECT_STR(h->method, "GET");
    EXPECT_EQ(h->every_us, 5000000);
    EXPECT_EQ(h->timeout_us, 2000000);
    EXPECT_EQ(h->rise, 2);
    EXPECT_EQ(h->fall, 3);
    unload(c);
}

TEST(several_checks_each_of_its_kind)
{
    struct config *c = load("health:\n"
                            "- {path: /live, status: [200, 300-399], body: 'ok'}\n"
                            "- {probe: tcp, port: 9000, send: \"PING\\r\\n\", expect: PONG}\n"
                            "- {probe: ftp, every: 30s}\n"
                            "- {probe: command, command: [/bin/check, --fast]}\n"
                            "- {probe: agent, port: 9999}\n");
    const struct status_range *r;

    EXPECT(c != NULL);
    r = check_of(c, 0)->status.at;
    EXPECT_EQ(check_of(c, 0)->status.n, 2);
    EXPECT_EQ(r[0].low, 200);
    EXPECT_EQ(r[0].high, 200);
    EXPECT_EQ(r[1].high, 399);
    EXPECT_STR(check_of(c, 1)->send, "PING\r\n");
    EXPECT(probe_kinds[check_of(c, 2)->kind] == &probe_ftp);
    EXPECT_EQ(check_of(c, 3)->command.n, 2);
    EXPECT_EQ(check_of(c, 4)->rise, 1);
    EXPECT_EQ(check_of(c, 4)->fall, 1);
    unload(c);
}

TEST(what_does_not_fit_is_refused_at_its_place)
{
    static const struct {
        const char *yaml, *complaint;
    } cases[] = {
        {"health:\n- probe: tcp\n  path: /x\n",
         "site.yaml:3:9: error: a check by `tcp` has no `path`"},
        {"health:\n- probe: http\n  command: [/bin/true]\n",
         "site.yaml:3:12: error: a check by `http` has no `command`"},
        {"health:\n- probe: ftp\n  send: x\n", "error: a check by `ftp` has no `send`"},
        {"health:\n- probe: agent\n  port: 1\n  expect: x\n",
         "error: a check by `agent` has no `expect`"},
        {"health:\n- probe: command\n  command: [/bin/true]\n  port: 80\n",
         "error: a check by `command` has no `port`"},
        {"health:\n- probe: agent\n", "error: an agent listens on a port of its own"},
        {"health:\n- probe: command\n", "error: a check by command needs a command"},
        {"health:\n- probe: command\n  command: check.sh\n",
         "error: `check.sh` is not the path of a program"},
        {"health:\n- path: healthz\n", "error: `healthz` is not a path"},
        {"health:\n- path: /a b\n", "error: `/a b` is not a path"},
        {"health:\n- host: a b\n", "error: `a b` is not a host"},
        {"health:\n- method: G T\n", "error: `G T` is no method to check with"},
        {"health:\n- method: CONNECT\n", "error: `CONNECT` is no method to check with"},
        {"health:\n- {method: HEAD, body: x}\n", "error: an answer to HEAD has no body"},
        {"health:\n- status: 2xx\n", "site.yaml:2:11: error: `2xx` is no status"},
        {"health:\n- status: [200, 399-300]\n", "error: `399-300` is no status"},
        {"health:\n- body: '('\n", "error: bad regular expression"},
        {"health:\n- rise: 0\n", "site.yaml:2:9: error:"},
        {"health:\n- every: 0\n", "site.yaml:2:10: error:"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct config *c = load(cases[i].yaml);

        if (c || slice_search(text_slice(&said), slice_str(cases[i].complaint)) == SLICE_NOT_FOUND)
            test_failed(__FILE__, __LINE__, "%s gives\n%.*s", cases[i].yaml, (int) said.n,
                        said.at);
        unload(c);
    }
}

TEST(ranges_of_statuses)
{
    static const char *const bad[] = {"",        "-",  "200-", "-299",    "199",         "600",
                                      "200-600", "20", "2000", "299-200", "200-299-300", " 200",
                                      "+200"};
    struct status_range r;

    EXPECT(probe_status_range(SLICE("404"), &r));
    EXPECT(r.low == 404 && r.high == 404);
    EXPECT(probe_status_range(SLICE("200-599"), &r));
    EXPECT(r.low == 200 && r.high == 599);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!probe_status_range(slice_str(bad[i]), &r));
}

TEST(a_check_by_grpc_may_name_a_service)
{
    struct config *c = load(
        "health: [{probe: grpc, service: shop.Cart, host: h:1}, {probe: grpc}]\n");
    const struct health_config *h = c ? check_of(c, 0) : NULL;

    EXPECT(h != NULL);
    EXPECT(probe_kinds[h->kind] == &probe_grpc);
    EXPECT_STR(h->service, "shop.Cart");
    EXPECT(!slice_is_present(check_of(c, 1)->service));
    EXPECT_EQ(h->rise, 2);
    EXPECT_EQ(h->fall, 3);
    unload(c);
    EXPECT(load("health: {service: shop.Cart}\n") == NULL);
    EXPECT(slice_search(text_slice(&said), SLICE("a check by `http` has no `service`")) !=
           SLICE_NOT_FOUND);
    unload(NULL);
    EXPECT(load("health: {probe: grpc, path: /x}\n") == NULL);
    unload(NULL);
    EXPECT(load("health: {probe: grpc, host: \"a b\"}\n") == NULL);
    unload(NULL);
}
