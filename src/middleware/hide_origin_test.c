/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "upstream/upstream.h"

static struct trial t;
static struct exchange *x;
static bool is_set_up;

/* What the server answers with: pairs of name and value. */
static const char *const *server_fields;
static struct slice server_address;
static bool answers_itself;

static void
answer_as_server(const struct middleware *self, struct exchange *exchange)
{
    (void) self;
    testing_answer(exchange, 200, "text/plain", "hello");
    for (size_t i = 0; server_fields[i]; i += 2)
        fields_add_named(&exchange->response.fields, slice_str(server_fields[i]),
                         slice_str(server_fields[i + 1]));
    if (answers_itself)
        return;
    exchange->relay.upstream = SLICE("app");
    exchange->relay.server = server_address;
}

static const struct middleware_ops server = {
    .options = {.name = "server", .doc = "Answers as a server does."},
    .handle = answer_as_server,
};

static void
done(void)
{
    if (!is_set_up)
        return;
    testing_exchange_free(x);
    trial_free(&t);
    is_set_up = false;
}

static bool
prepare(const char *item, const char *url)
{
    done();
    trial_load(&t, &middleware_hide_origin, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("GET", url, NULL);
    is_set_up = true;
    return true;
}

static bool
run(const char *item, const char *url, const char *const *fields)
{
    server_fields = fields;
    server_address = SLICE("10.0.0.1:8080");
    if (!prepare(item, url))
        return false;
    trial_run(&t, x, &server);
    return true;
}

/* One field through the default configuration; absent when it is gone. */
static struct slice
through(const char *url, const char *name, const char *value)
{
    const char *fields[] = {name, value, NULL};

    return run("hide_origin", url, fields) ? testing_field(x, name) : SLICE("(failed)");
}

static struct slice
redirected(const char *to)
{
    return through("http://example.com/", "Location", to);
}

static struct slice
cookie(const char *value)
{
    return through("http://example.com/", "Set-Cookie", value);
}

TEST(software_is_not_named)
{
    const char *fields[] = {"Server",
                            "Apache/2.4.1",
                            "X-Powered-By",
                            "PHP/5",
                            "x-aspnet-version",
                            "4",
                            "X-Runtime",
                            "0.1",
                            "X-Generator",
                            "Drupal",
                            "X-Backend-Server",
                            "web7",
                            "X-AspNetMvc-Version",
                            "5",
                            "X-Kept",
                            "kept",
                            "Via",
                            "1.1 x",
                            "X-Backend-Servex",
                            "kept too",
                            NULL};

    EXPECT(run("hide_origin", "http://example.com/", fields));
    EXPECT_EQ(x->response.fields.n, 4);
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    EXPECT_STR(testing_field(x, "X-Kept"), "kept");
    EXPECT_STR(testing_field(x, "X-Backend-Servex"), "kept too");
    EXPECT_STR(testing_field(x, "Via"), "1.1 x");
    EXPECT(!slice_is_present(testing_field(x, "Server")));
    EXPECT(!fields_has(&x->response.fields, FIELD_SERVER));
    done();
}

TEST(each_part_can_be_switched)
{
    const char *fields[] = {"Server",
                            "Apache",
                            "X-Powered-By",
                            "PHP",
                            "Location",
                            "http://10.0.0.1:8080/",
                            "Set-Cookie",
                            "a=b; Domain=10.0.0.1",
                            "X-Varnish",
                            "1",
                            "Age",
                            "7",
                            NULL};

    EXPECT(run("hide_origin: {server: keep, powered_by: false, location: false, cookie_domain: "
               "false}",
               "http://example.com/", fields));
    EXPECT_STR(testing_field(x, "Server"), "Apache");
    EXPECT_STR(testing_field(x, "X-Powered-By"), "PHP");
    EXPECT_STR(testing_field(x, "Location"), "http://10.0.0.1:8080/");
    EXPECT_STR(testing_field(x, "Set-Cookie"), "a=b; Domain=10.0.0.1");
    EXPECT(run("hide_origin: {server: replace, also: [x-varnish, age]}", "http://example.com/",
               fields));
    EXPECT_STR(testing_field(x, "Server"), "maitred");
    EXPECT(!slice_is_present(testing_field(x, "X-Varnish")));
    EXPECT(!slice_is_present(testing_field(x, "Age")));
    done();
}

TEST(our_own_answers_are_left_alone)
{
    const char *fields[] = {"Server", "mine", "Location", "http://10.0.0.1:8080/", NULL};

    answers_itself = true;
    EXPECT(run("hide_origin", "http://example.com/", fields));
    answers_itself = false;
    EXPECT_STR(testing_field(x, "Server"), "mine");
    EXPECT_STR(testing_field(x, "Location"), "http://10.0.0.1:8080/");
    done();
}

TEST(a_redirect_to_the_server_leads_to_us)
{
    EXPECT_STR(redirected("http://10.0.0.1:8080/login?a=b#c"), "http://example.com/login?a=b#c");
    EXPECT_STR(redirected("http://10.0.0.1/login"), "http://example.com/login");
    EXPECT_STR(redirected("https://10.0.0.1:8080"), "http://example.com");
    EXPECT_STR(redirected("HTTP://10.0.0.1:8080?x"), "http://example.com?x");
    EXPECT_STR(redirected("//10.0.0.1:8080/x"), "//example.com/x");
    EXPECT_STR(redirected("http://user:pass@10.0.0.1:8080/x"), "http://example.com/x");
    EXPECT_STR(redirected("http://[::ffff:10.0.0.1]:8080/x"), "http://example.com/x");
    EXPECT_STR(through("https://example.com:8443/", "Location", "http://10.0.0.1:8080/x"),
               "https://example.com:8443/x");
    EXPECT_STR(through("http://example.com/", "Content-Location", "http://10.0.0.1:8080/x"),
               "http://example.com/x");
    done();
}

TEST(any_other_redirect_is_left_alone)
{
    EXPECT_STR(redirected("/login"), "/login");
    EXPECT_STR(redirected("login"), "login");
    EXPECT_STR(redirected(""), "");
    EXPECT_STR(redirected("http://example.com/x"), "http://example.com/x");
    EXPECT_STR(redirected("https://id.example.com/?back=http://10.0.0.1:8080/"),
               "https://id.example.com/?back=http://10.0.0.1:8080/");
    EXPECT_STR(redirected("http://10.0.0.1:9000/other"), "http://10.0.0.1:9000/other");
    EXPECT_STR(redirected("http://10.0.0.11:8080/"), "http://10.0.0.11:8080/");
    EXPECT_STR(redirected("http://10.0.0.1.example.net:8080/"),
               "http://10.0.0.1.example.net:8080/");
    EXPECT_STR(redirected("http://10.0.0.1:8080@evil.example/"),
               "http://10.0.0.1:8080@evil.example/");
    EXPECT_STR(redirected("ftp://10.0.0.1:8080/"), "ftp://10.0.0.1:8080/");
    EXPECT_STR(redirected("http://"), "http://");
    EXPECT_STR(redirected("http:///x"), "http:///x");
    EXPECT_STR(redirected("http://[/x"), "http://[/x");
    done();
}

TEST(a_client_without_host_gets_a_relative_reference)
{
    EXPECT_STR(through("/a", "Location", "http://10.0.0.1:8080/x"), "/x");
    EXPECT_STR(through("/a", "Location", "http://10.0.0.1:8080"), "/");
    EXPECT_STR(through("/a", "Location", "http://10.0.0.1:8080?x"), "/?x");
    done();
}

TEST(an_ipv6_server_is_known_in_every_spelling)
{
    const char *fields[] = {"Location", "http://[2001:DB8:0::1]:8080/x", NULL};

    EXPECT(prepare("hide_origin", "http://example.com/"));
    server_fields = fields;
    server_address = SLICE("[2001:db8::1]:8080");
    trial_run(&t, x, &server);
    EXPECT_STR(testing_field(x, "Location"), "http://example.com/x");
    done();
}

TEST(the_host_that_the_server_was_asked_for_is_its_own)
{
    const char *fields[] = {"Location", "http://app.internal:8080/x", "Set-Cookie",
                            "a=b; Domain=.internal; Path=/", NULL};

    EXPECT(prepare("hide_origin", "http://example.com/"));
    fields_add(&x->request.fields, FIELD_HOST, SLICE("app.internal"));
    server_fields = fields;
    trial_run(&t, x, &server);
    EXPECT_STR(testing_field(x, "Location"), "http://example.com/x");
    EXPECT_STR(testing_field(x, "Set-Cookie"), "a=b; Path=/");
    done();
}

TEST(the_hosts_own_name_is_not_the_servers)
{
    const char *fields[] = {"Location", "http://example.com:9000/x", "Set-Cookie",
                            "a=b; Domain=example.com", NULL};

    EXPECT(prepare("hide_origin", "http://example.com/"));
    fields_add(&x->request.fields, FIELD_HOST, SLICE("example.com"));
    server_fields = fields;
    trial_run(&t, x, &server);
    EXPECT_STR(testing_field(x, "Location"), "http://example.com:9000/x");
    EXPECT_STR(testing_field(x, "Set-Cookie"), "a=b; Domain=example.com");
    done();
}

TEST(so_is_every_server_of_the_upstream)
{
    const char *fields[] = {"Location", "http://web2.internal:8080/x", NULL};
    struct server_config servers[] = {{.address = SLICE_INIT("web1.internal:8080")},
                                      {.address = SLICE_INIT("web2.internal:8080")}};
    struct upstream_config config = {.servers = {servers, 2}};
    struct upstream_terminal terminal = {.config = &config};
    struct middleware last = {&upstream_relay, &terminal};

    EXPECT(prepare("hide_origin", "http://example.com/"));
    server_fields = fields;
    x->relay.terminal = &last;
    trial_run(&t, x, &server);
    EXPECT_STR(testing_field(x, "Location"), "http://example.com/x");
    done();
}

TEST(refresh_is_a_redirect_too)
{
    const char *url = "http://example.com/";

    EXPECT_STR(through(url, "Refresh", "5; url=http://10.0.0.1:8080/x"),
               "5; url=http://example.com/x");
    EXPECT_STR(through(url, "refresh", "0;URL='http://10.0.0.1:8080/x'"),
               "0;URL='http://example.com/x'");
    EXPECT_STR(through(url, "Refresh", "5; url=\"/x\""), "5; url=\"/x\"");
    EXPECT_STR(through(url, "Refresh", "5"), "5");
    EXPECT_STR(through(url, "Refresh", "5; url="), "5; url=");
    done();
}

TEST(a_cookie_for_the_server_becomes_one_for_the_host)
{
    EXPECT_STR(cookie("a=b; Domain=10.0.0.1; Path=/"), "a=b; Path=/");
    EXPECT_STR(cookie("a=b;domain=.10.0.0.1;HttpOnly"), "a=b;HttpOnly");
    EXPECT_STR(cookie("a=b; DOMAIN = \"10.0.0.1\" ; Secure"), "a=b; Secure");
    EXPECT_STR(cookie("a=b; Domain=10.0.0.1:8080"), "a=b");
    EXPECT_STR(cookie("a=b; Domain=10.0.0.1; Domain=10.0.0.1; Path=/"), "a=b; Path=/");
    EXPECT_STR(cookie("a=b; Domain=10.0.0.1; Domain=example.com"), "a=b; Domain=example.com");
    done();
}

TEST(any_other_cookie_is_left_alone)
{
    static const char *const cookies[] = {
        "a=b",
        "a=b; Domain=example.com",
        "a=b; Domain=.com",
        "a=b; Domain=other.net; Path=/",
        "a=b; Domain",
        "a=b; Domain=",
        "a=b; Domain=.",
        "a=b; Domain=0.0.1",
        "domain=10.0.0.1",
        "a=10.0.0.1; Path=/; Expires=Thu, 01 Jan 2032 00:00:00 GMT",
        "a=b; Comment=Domain=10.0.0.1",
        ";;;",
        "=;=",
    };

    for (size_t i = 0; i < countof(cookies); i++)
        EXPECT_STR(cookie(cookies[i]), cookies[i]);
    EXPECT_STR(through("http://app.example.com/", "Set-Cookie", "a=b; Domain=example.com"),
               "a=b; Domain=example.com");
    done();
}

/* The arena is where it was when the server had answered. */
static char *arena_at;

static void
answer_and_look(const struct middleware *self, struct exchange *exchange)
{
    answer_as_server(self, exchange);
    arena_at = exchange->arena.at;
}

static const struct middleware_ops looking = {
    .options = {.name = "looking", .doc = "Answers as a server does and looks at the arena."},
    .handle = answer_and_look,
};

TEST(nothing_is_allocated_where_nothing_is_rewritten)
{
    const char *fields[] = {"Server",
                            "Apache",
                            "X-Powered-By",
                            "PHP",
                            "Location",
                            "/x",
                            "Set-Cookie",
                            "a=b; Domain=example.com",
                            "X-Any",
                            "1",
                            NULL};

    EXPECT(prepare("hide_origin", "http://example.com/"));
    server_fields = fields;
    server_address = SLICE("10.0.0.1:8080");
    trial_run(&t, x, &looking);
    EXPECT(x->arena.at == arena_at);
    EXPECT_EQ(x->response.fields.n, 4);
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *h = &middleware_hide_origin;

    EXPECT(is_refused(h, "hide_origin: {server: hide}", "remove"));
    EXPECT(is_refused(h, "hide_origin: {also: ['a b']}", "is not the name of a field"));
    EXPECT(is_refused(h, "hide_origin: {also: [Content-Length]}", "says where the message ends"));
    EXPECT(is_refused(h, "hide_origin: {also: "
                         "[X-23456789012345678901234567890123456789012345678901234567890123]}",
                      "at most 63 bytes"));
}
