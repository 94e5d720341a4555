/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/error_page.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/route.h"
#include "exchange/testing.h"

/* The exchange after it has been refused; accept may be NULL. */
static struct exchange *
refused(const char *accept, unsigned status, enum reason reason)
{
    struct exchange *x = accept ? testing_exchange("GET", "http://h/", "Accept", accept, NULL)
                                : testing_exchange("GET", "http://h/", NULL);

    x->request_id = SLICE("0123456789abcdef");
    x->relay.server = SLICE("10.9.8.7:8080");
    exchange_refuse(x, status, reason, "%s", "10.9.8.7:8080 is secret");
    return x;
}

static bool
has(struct slice text, const char *part)
{
    return slice_search(text, slice_str(part)) != SLICE_NOT_FOUND;
}

static enum page_format
format(const char *accept)
{
    struct exchange *x = testing_exchange("GET", "http://h/", "Accept", accept, NULL);
    enum page_format f = error_page_format(&x->request.fields);

    testing_exchange_free(x);
    return f;
}

TEST(accept_chooses_the_format)
{
    EXPECT_EQ(format("*/*"), PAGE_TEXT);
    EXPECT_EQ(format("text/plain"), PAGE_TEXT);
    EXPECT_EQ(format("image/webp, */*"), PAGE_TEXT);
    EXPECT_EQ(format(""), PAGE_TEXT);
    EXPECT_EQ(format("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), PAGE_HTML);
    EXPECT_EQ(format("TEXT/HTML"), PAGE_HTML);
    EXPECT_EQ(format("application/json"), PAGE_JSON);
    EXPECT_EQ(format("application/json, text/plain, */*"), PAGE_JSON);
    EXPECT_EQ(format("application/problem+json"), PAGE_JSON);
    EXPECT_EQ(format("application/vnd.api+json; charset=utf-8"), PAGE_JSON);
    EXPECT_EQ(format("text/html, application/json"), PAGE_HTML);
    EXPECT_EQ(format("application/json, text/html"), PAGE_JSON);
    EXPECT_EQ(format("application/json;q=0.5, text/html"), PAGE_HTML);
    EXPECT_EQ(format("text/html;q=0.8, application/json;q=0.9"), PAGE_JSON);
    EXPECT_EQ(format("text/html;q=0, application/json;q=0.1"), PAGE_JSON);
    EXPECT_EQ(format("text/html;q=0"), PAGE_TEXT);
    EXPECT_EQ(format("text/html; Q=0.50001 ; x=y, application/json;q=0.4"), PAGE_HTML);
}

TEST(several_accept_fields_count_as_one)
{
    struct exchange *x = testing_exchange("GET", "http://h/", "Accept", "text/plain", "accept",
                                          "text/html", NULL);

    EXPECT_EQ(error_page_format(&x->request.fields), PAGE_HTML);
    testing_exchange_free(x);
}

TEST(a_browser_gets_a_page)
{
    struct exchange *x = refused("text/html", 503, REASON_NO_SERVER);
    struct slice page = testing_pull(x, x->response.body);

    EXPECT_STR(testing_field(x, "Content-Type"), "text/html; charset=utf-8");
    EXPECT(slice_starts(page, SLICE("<!doctype html>")));
    EXPECT(has(page, "<title>503 Service Unavailable</title>"));
    EXPECT(has(page, "No server is available."));
    EXPECT(has(page, "no_server"));
    EXPECT(has(page, "0123456789abcdef"));
    EXPECT(has(page, "prefers-color-scheme:dark"));
    EXPECT(!has(page, "http:"));
    EXPECT(!has(page, "https:"));
    EXPECT(page.n < 4096);
    testing_exchange_free(x);
}

TEST(a_program_gets_problem_json)
{
    struct exchange *x = refused("application/json", 504, REASON_CONNECT_TIMEOUT);

    EXPECT_STR(testing_field(x, "Content-Type"), "application/problem+json");
    EXPECT_STR(testing_pull(x, x->response.body),
               "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\",\"status\":504,"
               "\"detail\":\"The server did not accept the connection in time.\","
               "\"reason\":\"connect_timeout\",\"request_id\":\"0123456789abcdef\"}\n");
    testing_exchange_free(x);
}

TEST(the_rest_gets_plain_text)
{
    struct exchange *x = refused(NULL, 404, REASON_NO_ROUTE);

    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain; charset=utf-8");
    EXPECT_STR(testing_pull(x, x->response.body), "404 Not Found\nNo route matches the request.\n\n"
                                                  "reason: no_route\nrequest: 0123456789abcdef\n");
    testing_exchange_free(x);
}

TEST(a_request_id_that_a_client_sent_is_escaped)
{
    struct exchange *x = testing_exchange("GET", "http://h/", "Accept", "text/html", NULL);
    struct slice page;

    x->request_id = SLICE("<script>\"&");
    exchange_refuse(x, 404, REASON_NO_ROUTE, NULL);
    page = testing_pull(x, x->response.body);
    EXPECT(!has(page, "<script>"));
    EXPECT(has(page, "&lt;script&gt;&quot;&amp;"));
    testing_exchange_free(x);
}

TEST(errors_carry_their_fields)
{
    struct exchange *x = refused(NULL, 504, REASON_CONNECT_TIMEOUT);

    EXPECT_STR(testing_field(x, "Cache-Control"), "no-store");
    EXPECT_STR(testing_field(x, "Proxy-Status"),
               "maitred; error=connection_timeout; "
               "details=\"the server did not accept the connection in time\"");
    EXPECT(!slice_is_present(testing_field(x, "Retry-After")));
    EXPECT(!slice_is_present(testing_field(x, "Content-Length")));
    testing_exchange_free(x);
    x = refused(NULL, 503, REASON_OVERLOADED);
    EXPECT_STR(testing_field(x, "Retry-After"), "1");
    testing_exchange_free(x);
    x = refused(NULL, 403, REASON_RESPOND);
    EXPECT(!slice_is_present(testing_field(x, "Proxy-Status")));
    testing_exchange_free(x);
}

TEST(no_page_tells_what_is_inside)
{
    static const char *const accepts[] = {"text/html", "application/json", "*/*"};

    for (size_t i = 0; i < countof(accepts); i++) {
        for (enum reason r = REASON_NONE; r < REASON_COUNT; r++) {
            struct exchange *x = refused(accepts[i], 502, r);
            struct slice page = testing_pull(x, x->response.body);

            EXPECT(page.n > 0);
            EXPECT(!has(page, "10.9.8.7") && !has(page, "secret"));
            for (size_t f = 0; f < x->response.fields.n; f++)
                EXPECT(!has(x->response.fields.at[f].value, "10.9.8.7"));
            testing_exchange_free(x);
        }
    }
}

TEST(any_status_has_words)
{
    for (unsigned status = 400; status < 600; status++) {
        struct exchange *x = refused("text/html", status, REASON_INTERNAL);

        EXPECT(has(testing_pull(x, x->response.body), "<h1>"));
        testing_exchange_free(x);
    }
}

/* ------------------------------------------------------------------ a route's own pages */

TEST(the_most_precise_page_of_the_route_is_taken)
{
    struct error_page pages[] = {
        {.low = 400, .high = 599, .content = SLICE("any"), .type = SLICE("text/plain")},
        {.low = 500, .high = 599, .content = SLICE("five"), .type = SLICE("text/plain")},
        {.low = 503, .high = 503, .content = SLICE("exact"), .type = SLICE("text/plain")},
    };
    struct route route = {.errors = {pages, countof(pages)}};
    struct exchange *x = testing_exchange("GET", "http://h/", "Accept", "application/json", NULL);

    x->route = &route;
    exchange_refuse(x, 503, REASON_NO_SERVER, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "exact");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    EXPECT_STR(testing_field(x, "Cache-Control"), "no-store");
    EXPECT_STR(testing_field(x, "Retry-After"), "1");
    exchange_refuse(x, 502, REASON_SERVER_RESET, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "five");
    exchange_refuse(x, 404, REASON_RESPOND, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "any");
    route.errors.n = 0;
    exchange_refuse(x, 404, REASON_RESPOND, NULL);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/problem+json");
    testing_exchange_free(x);
}

TEST(a_page_may_be_a_template)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    struct expr_error error;
    struct error_page page = {.low = 400, .high = 599, .type = SLICE("text/plain")};
    struct route route = {.errors = {&page, 1}};

    page.text = template_compile(&x->arena, SLICE("sorry, ${request_id}"), &error);
    x->request_id = SLICE("abc");
    x->route = &route;
    exchange_refuse(x, 503, REASON_NO_SERVER, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "sorry, abc");
    testing_exchange_free(x);
}
