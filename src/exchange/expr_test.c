/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/expr.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/route.h"
#include "exchange/testing.h"

static struct exchange *x;

/* One request that the tests below ask questions about. */
static void
begin(void)
{
    x = testing_exchange("GET", "https://example.com:8443/api/%75sers?debug=1&name=J%C3%B6rg&empty",
                         "X-Beta", "1", "X-Id", "abc", "X-Empty", "", "Cookie",
                         "session=s1; group=b", "X-Forwarded", "10.1.2.3", "X-Id", "second", NULL);
    testing_set_client(x, "10.0.0.7");
}

static void
end(void)
{
    testing_exchange_free(take(&x));
}

static struct expr *
compiled(const char *source, enum expr_type want)
{
    struct expr_error error;
    struct expr *e = expr_compile(&x->arena, slice_str(source), want, &error);

    if (!e)
        test_failed(__FILE__, __LINE__, "%s: at %zu: %s (%s)", source, error.offset, error.text,
                    error.hint);
    return e;
}

static bool
is(const char *source)
{
    struct expr *e = compiled(source, EXPR_BOOL);
    bool yes = e && expr_test(e, x);

    expr_release(e);
    return yes;
}

static struct slice
text(const char *source)
{
    struct expr *e = compiled(source, EXPR_STRING);
    struct slice s = e ? expr_text(e, x) : SLICE("failed");

    expr_release(e);
    return s;
}

TEST(strings_are_compared)
{
    begin();
    EXPECT(is("method == 'GET'"));
    EXPECT(is("method == GET"));
    EXPECT(is("GET == method"));
    EXPECT(is("\"GET\" == method"));
    EXPECT(!is("method == get"));
    EXPECT(is("method != POST"));
    EXPECT(is("host == example.com"));
    EXPECT(is("path == /api/users"));
    EXPECT(is("raw_path == '/api/%75sers'"));
    EXPECT(is("header('x-id') == 'abc'"));
    EXPECT(is("header('X-ID') == abc"));
    EXPECT(is("header('x-id') == header(\"x-Id\")"));
    EXPECT(!is("header('x-id') == path"));
    end();
}

TEST(what_is_absent_equals_nothing)
{
    begin();
    EXPECT(!is("header('x-none') == ''"));
    EXPECT(is("header('x-none') != ''"));
    EXPECT(is("header('x-empty') == ''"));
    EXPECT(!is("header('x-none') == header('x-none')"));
    EXPECT(is("header('x-none') not in ['', a]"));
    EXPECT(!is("header('x-none') starts ''"));
    EXPECT(!is("header('x-none') matches ''"));
    EXPECT(!is("path starts header('x-none')"));
    EXPECT(!is("header('x-none') < 5"));
    EXPECT(!is("header('x-none') exists"));
    EXPECT(is("header('x-empty') exists"));
    EXPECT(is("!(cookie('none') exists)"));
    EXPECT(is("!cookie('none') exists"));
    end();
}

TEST(parts_of_strings)
{
    begin();
    EXPECT(is("path starts '/api/'"));
    EXPECT(is("path starts /api/"));
    EXPECT(!is("path starts /apix"));
    EXPECT(is("host ends .com"));
    EXPECT(is("host contains 'ample'"));
    EXPECT(!is("host contains AMPLE"));
    EXPECT(is("query contains 1"));
    EXPECT(is("path matches '^/api/[a-z]+$'"));
    EXPECT(!is("path matches '^[a-z]+$'"));
    EXPECT(is("path matches \"^/api/\\\\w+\\x24\""));
    end();
}

TEST(lists)
{
    begin();
    EXPECT(is("method in [GET, HEAD]"));
    EXPECT(is("method in [POST,'GET']"));
    EXPECT(!is("method in [POST, PUT]"));
    EXPECT(!is("method in []"));
    EXPECT(is("method not in [POST, PUT]"));
    EXPECT(!is("method not in [GET]"));
    EXPECT(is("method in GET"));
    EXPECT(is("header('x-id') in [path, host, header('x-id')]"));
    EXPECT(is("header('x-beta') in [0, 1]"));
    end();
}

TEST(numbers)
{
    begin();
    x->response.status = 503;
    EXPECT(is("status >= 500"));
    EXPECT(is("status > 502 && status < 504 && status <= 503 && 504 > status"));
    EXPECT(!is("status < 500"));
    EXPECT(is("status == 503"));
    EXPECT(is("status == '503'"));
    EXPECT(is("status in [502, 503]"));
    EXPECT(is("503 == status"));
    EXPECT(is("port == 8443"));
    EXPECT(is("header('x-beta') == 1"));
    EXPECT(is("header('x-beta') == 01"));
    EXPECT(is("header('x-beta') < 2"));
    EXPECT(is("header('x-beta') > -1"));
    EXPECT(!is("header('x-id') == 1"));
    EXPECT(!is("header('x-id') < 1 || header('x-id') >= 1"));
    EXPECT(is("header('x-id') != 1"));
    EXPECT(is("client.port == 40000"));
    end();
}

TEST(addresses)
{
    begin();
    EXPECT(is("client.ip in [192.0.2.0/24, 10.0.0.0/8]"));
    EXPECT(is("client.ip in 10.0.0.0/8"));
    EXPECT(is("client.ip == 10.0.0.7"));
    EXPECT(is("client.ip == '10.0.0.7'"));
    EXPECT(is("client.ip not in [::1, 2001:db8::/32]"));
    EXPECT(is("client.ip != header('x-forwarded')"));
    EXPECT(is("header('x-forwarded') in [10.0.0.0/8]"));
    EXPECT(!is("header('x-id') == 10.0.0.7"));
    testing_set_client(x, "2001:db8::1");
    EXPECT(is("client.ip in 2001:db8::/32"));
    EXPECT(is("client.ip == 2001:db8:0::1"));
    end();
}

TEST(conditions_bind_as_the_grammar_says)
{
    begin();
    EXPECT(is("true || false && false"));
    EXPECT(!is("(true || false) && false"));
    EXPECT(is("!false && true"));
    EXPECT(is("!!true"));
    EXPECT(!is("!method == GET"));
    EXPECT(is("!(method == POST)"));
    EXPECT(is("method == POST || path starts /x || host == example.com"));
    EXPECT(!is("method == GET && path starts /x && host == example.com"));
    EXPECT(is(" ( (method) == GET )\n&&\ttrue "));
    end();
}

TEST(escapes_in_strings)
{
    begin();
    EXPECT_STR(text("'a\\'b'"), "a'b");
    EXPECT_STR(text("\"a\\\"b\\\\\""), "a\"b\\");
    EXPECT_STR(text("'\\n\\t\\x41\\xfF'"), "\n\tA\xff");
    EXPECT_STR(text("''"), "");
    EXPECT_STR(text("'it is \"so\"'"), "it is \"so\"");
    end();
}

TEST(every_type_becomes_text)
{
    begin();
    x->response.status = 200;
    EXPECT_STR(text("client.ip"), "10.0.0.7");
    EXPECT_STR(text("status"), "200");
    EXPECT_STR(text("path"), "/api/users");
    EXPECT_STR(text("method == GET"), "true");
    EXPECT_STR(text("false"), "false");
    EXPECT_STR(text("-5"), "-5");
    EXPECT_STR(text("10.0.0.0/8"), "10.0.0.0/8");
    EXPECT(!slice_is_present(text("header('x-none')")));
    x->client_ip = SLICE("");
    EXPECT_STR(text("client.ip"), "10.0.0.7");
    end();
}

TEST(variables_of_the_request)
{
    begin();
    EXPECT_STR(text("scheme"), "https");
    EXPECT_STR(text("host"), "example.com");
    EXPECT_STR(text("port"), "8443");
    EXPECT_STR(text("version"), "1.1");
    EXPECT_STR(text("listener"), "public");
    EXPECT_STR(text("query"), "debug=1&name=J%C3%B6rg&empty");
    EXPECT_STR(text("uri"), "/api/%75sers?debug=1&name=J%C3%B6rg&empty");
    EXPECT_STR(text("query('name')"), "J\xc3\xb6rg");
    EXPECT_STR(text("query('empty')"), "");
    EXPECT(!slice_is_present(text("query('none')")));
    EXPECT_STR(text("cookie('group')"), "b");
    EXPECT_EQ(text("request_id").n, 32);
    EXPECT(slice_eq(text("request_id"), text("request_id")));
    EXPECT(!slice_is_present(text("route")));
    x->request.forward_path = true;
    EXPECT_STR(text("uri"), "/api/users?debug=1&name=J%C3%B6rg&empty");
    end();
}

TEST(variables_of_the_response)
{
    begin();
    EXPECT_STR(text("status"), "0");
    EXPECT(!slice_is_present(text("response.header('content-type')")));
    testing_answer(x, 201, "text/plain", "x");
    x->relay.upstream = SLICE("app");
    x->relay.server = SLICE("10.0.0.1:80");
    x->response_bytes = 7;
    clock_freeze(1, 1700000000999999);
    EXPECT_STR(text("status"), "201");
    EXPECT_STR(text("response.header('Content-Type')"), "text/plain");
    EXPECT_STR(text("upstream"), "app");
    EXPECT_STR(text("server"), "10.0.0.1:80");
    EXPECT_STR(text("bytes"), "7");
    EXPECT_STR(text("time"), "1700000000");
    clock_freeze(0, 0);
    end();
}

TEST(defaults_of_a_bare_request)
{
    x = testing_exchange("OPTIONS", "*", NULL);
    EXPECT_STR(text("port"), "80");
    EXPECT(!is("host exists"));
    EXPECT(!is("query exists"));
    x->scheme = SLICE("https");
    EXPECT_STR(text("port"), "443");
    x->request.version = 20;
    EXPECT_STR(text("version"), "2");
    EXPECT(is("version >= 2"));
    end();
}

TEST(it_is_known_what_needs_a_response)
{
    struct expr *e;

    begin();
    e = compiled("method == GET && status >= 500", EXPR_BOOL);
    EXPECT(expr_needs_response(e));
    EXPECT_STR(expr_source(e), "method == GET && status >= 500");
    e = compiled("response.header('x') exists", EXPR_BOOL);
    EXPECT(expr_needs_response(e));
    e = compiled("method == GET", EXPR_BOOL);
    EXPECT(!expr_needs_response(e));
    end();
}

struct wrong {
    const char *source;
    size_t      offset;
    const char *message;
};

TEST(what_is_wrong_is_explained_where_it_is)
{
    static const struct wrong wrongs[] = {
        {"", 0, "empty"},
        {"  ", 2, "empty"},
        {"method = GET", 7, "means nothing"},
        {"method == 'GET", 10, "closing quote"},
        {"path == 'a\\qb'", 10, "unknown escape"},
        {"path == '\\x4'", 9, "unknown escape"},
        {"metod == GET", 0, "unknown name"},
        {"foo", 0, "unknown name"},
        {"header('x'", 10, "closing parenthesis"},
        {"header(x-beta) exists", 7, "name in quotes"},
        {"header('a b') exists", 7, "no field name"},
        {"method('x') exists", 0, "takes no name"},
        {"nothing('x')", 0, "unknown name"},
        {"method", 0, "not a condition"},
        {"status", 0, "not a condition"},
        {"method == GET && path", 17, "not a condition"},
        {"method == GET and path == /", 14, "no operator"},
        {"method == GET or path == /", 14, "no operator"},
        {"method == GET == true", 14, "chained"},
        {"method == GET path", 14, "operator is missing"},
        {"(method == GET", 14, "closing parenthesis"},
        {"method ==", 9, "missing at the end"},
        {"method == ,", 10, "value is missing"},
        {"method == [GET]", 10, "behind `in`"},
        {"method in [GET", 14, "in this list"},
        {"method in [GET HEAD]", 15, "in this list"},
        {"method in [,]", 11, "value is missing"},
        {"method not GET", 11, "`not in`"},
        {"status == abc", 10, "compared with a number"},
        {"client.ip == abc", 13, "compared with an address"},
        {"client.ip in [10.0.0.1/8]", 14, "compared with an address"},
        {"client.ip starts '10.'", 0, "is for strings"},
        {"status contains 5", 0, "is for strings"},
        {"client.ip == 5", 13, "cannot be compared with an address"},
        {"status == 10.0.0.1", 0, "cannot be compared with an address"},
        {"path < host", 5, "compares numbers"},
        {"client.ip < 5", 0, "cannot be compared with a number"},
        {"path matches host", 13, "regular expression"},
        {"path matches 'a(b'", 17, "bad regular expression"},
        {"'a' == 'b'", 0, "variable"},
        {"status exists", 0, "always there"},
        {"(method == GET) == true", 8, "cannot be compared"},
        {"true == true", 0, "cannot be compared"},
        {"method == \x01", 10, "means nothing"},
        {"method == GET & true", 14, "means nothing"},
    };

    begin();
    for (size_t i = 0; i < countof(wrongs); i++) {
        struct expr_error error;
        struct expr *e = expr_compile(&x->arena, slice_str(wrongs[i].source), EXPR_BOOL, &error);

        if (e || error.offset != wrongs[i].offset || !strstr(error.text, wrongs[i].message)) {
            test_failed(__FILE__, __LINE__, "%s: %s at %zu, expected %s at %zu", wrongs[i].source,
                        e ? "accepted" : error.text, error.offset, wrongs[i].message,
                        wrongs[i].offset);
        }
    }
    end();
}

TEST(a_misspelt_name_is_suggested)
{
    struct expr_error error;

    begin();
    EXPECT(!expr_compile(&x->arena, SLICE("client_ip"), EXPR_STRING, &error));
    EXPECT(strstr(error.hint, "client.ip") != NULL);
    end();
}

TEST(the_type_that_is_wanted_is_held_to)
{
    struct expr_error error;

    begin();
    EXPECT(!expr_compile(&x->arena, SLICE("path"), EXPR_INT, &error));
    EXPECT(strstr(error.text, "this is a string, a number is needed") != NULL);
    EXPECT(expr_compile(&x->arena, SLICE("status"), EXPR_INT, &error) != NULL);
    EXPECT(expr_compile(&x->arena, SLICE("client.ip"), EXPR_IP, &error) != NULL);
    end();
}

/* n times `open`, then `middle`, then n times `close`. */
static struct slice
nested(const char *open, size_t n, const char *middle, const char *close)
{
    struct text t;
    struct slice s;

    text_init(&t, 64 * 1024);
    for (size_t i = 0; i < n; i++)
        text_put(&t, slice_str(open));
    text_put(&t, slice_str(middle));
    for (size_t i = 0; i < n; i++)
        text_put(&t, slice_str(close));
    s = arena_copy(&x->arena, text_slice(&t));
    text_free(&t);
    return s;
}

TEST(size_and_nesting_are_bounded)
{
    struct expr_error error;
    struct expr *e;

    begin();
    EXPECT(expr_compile(&x->arena, nested("(", 64, "true", ")"), EXPR_BOOL, &error) != NULL);
    EXPECT(!expr_compile(&x->arena, nested("(", 65, "true", ")"), EXPR_BOOL, &error));
    EXPECT(strstr(error.text, "nested too deeply") != NULL);
    EXPECT(expr_compile(&x->arena, nested("!", 64, "true", ""), EXPR_BOOL, &error) != NULL);
    EXPECT(!expr_compile(&x->arena, nested("!", 65, "true", ""), EXPR_BOOL, &error));
    EXPECT(!expr_compile(&x->arena, nested("true ||", 1500, "true", ""), EXPR_BOOL, &error));
    EXPECT(strstr(error.text, "8 KiB") != NULL);
    e = expr_compile(&x->arena, nested("false||", 1100, "true", ""), EXPR_BOOL, &error);
    EXPECT(e != NULL);
    EXPECT(expr_test(e, x));
    end();
}

TEST(every_allocation_may_fail)
{
    static const char source[] =
        "path matches 'a' && header('x') in ['\\x41', b] && !(path matches 'b')";
    char memory[4096] __attribute__((aligned(16)));
    struct expr *e = NULL;

    for (size_t room = 0; !e && room < sizeof(memory); room += 16) {
        struct expr_error error;
        struct arena arena;

        arena_init(&arena, memory, room, 0);
        e = expr_compile(&arena, slice_str(source), EXPR_BOOL, &error);
        if (!e)
            EXPECT(strstr(error.text, "out of memory") != NULL);
    }
    EXPECT(e != NULL);
    expr_release(e);
}
