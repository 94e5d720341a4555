/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/esi_test.c - which documents are read, and what their heads say then. */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/loop.h"

#define PAGE "a<esi:remove>b</esi:remove>c"

/* What the server says, and saw. */
static const char *type, *control, *coding;
static unsigned status;
static bool saw_capability, saw_condition;

static void
serve(const struct middleware *self, struct exchange *x)
{
    struct fields *f = &x->response.fields;

    (void) self;
    saw_capability = fields_find(&x->request.fields, SLICE("Surrogate-Capability"));
    saw_condition = fields_has(&x->request.fields, FIELD_IF_NONE_MATCH) &&
                    fields_get(&x->request.fields, FIELD_IF_NONE_MATCH);
    testing_answer(x, status, type, PAGE);
    if (control)
        fields_add_named(f, SLICE("Surrogate-Control"), slice_str(control));
    if (coding)
        fields_add(f, FIELD_CONTENT_ENCODING, slice_str(coding));
    fields_add(f, FIELD_ETAG, SLICE("\"1\""));
}

static const struct middleware_ops server = {
    .options = {.name = "server", .doc = "Answers."},
    .handle = serve,
};

/* The body that a client gets; "-": it has an ETag too, as what passes untouched has. */
static bool
gives(const char *item, const char *wanted)
{
    struct exchange *x = testing_exchange("GET", "/", "If-None-Match", "\"1\"", NULL);
    struct loop loop;
    struct trial t;
    struct slice got;
    bool good, whole = wanted[0] == '-';

    if (loop_init(&loop, NULL, 0) != OK)
        return false;
    trial_load(&t, &middleware_esi, item);
    trial_run(&t, x, &server);
    got = testing_pull(x, x->response.body);
    good = slice_eq(got, slice_str(wanted + whole)) &&
           slice_is_present(testing_field(x, "ETag")) == whole;
    if (!good)
        test_failed(__FILE__, __LINE__, "%s: \"%.*s\"", item, SLICE_ARG(got));
    /* Those who stand before us find the request as it was. */
    good &= !fields_find(&x->request.fields, SLICE("Surrogate-Capability")) &&
            fields_get(&x->request.fields, FIELD_IF_NONE_MATCH);
    testing_exchange_free(x);
    trial_free(&t);
    loop_exit(&loop);
    return good;
}

static void
say(unsigned s, const char *t, const char *c)
{
    status = s;
    type = t;
    control = c;
    coding = NULL;
}

TEST(a_document_says_that_it_is_a_page)
{
    say(200, "text/html; charset=utf-8", "content=\"ESI/1.0\"");
    EXPECT(gives("esi", "ac"));
    EXPECT(saw_capability && saw_condition);
    say(404, "TEXT/HTML", "max-age=1, content=\"ESI/1.0 Other/2.0\"");
    EXPECT(gives("esi", "ac"));
}

TEST(others_pass)
{
    say(200, "text/html", NULL);
    EXPECT(gives("esi", "-" PAGE));
    say(200, "text/html", "content=\"Other/1.0\", no-store");
    EXPECT(gives("esi", "-" PAGE));
    say(200, "image/png", "content=\"ESI/1.0\"");
    EXPECT(gives("esi", "-" PAGE));
}

TEST(always_reads_all_of_the_types)
{
    say(200, "text/html", NULL);
    EXPECT(gives("esi: {always: yes}", "ac"));
    EXPECT(!saw_condition);
    EXPECT(gives("esi: {always: yes, types: [text/css]}", "-" PAGE));
    say(200, "text/css", NULL);
    EXPECT(gives("esi: {always: yes, types: [text/css]}", "ac"));
}

TEST(an_encoded_page_is_refused)
{
    struct exchange *x = testing_exchange("GET", "/", NULL);
    struct trial t;

    say(200, "text/html", "content=\"ESI/1.0\"");
    coding = "gzip";
    trial_load(&t, &middleware_esi, "esi");
    trial_run(&t, x, &server);
    EXPECT_EQ(x->response.status, 502);
    EXPECT_EQ(x->fault.reason, REASON_ESI_MALFORMED);
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(wrong_options_are_refused)
{
    EXPECT(is_refused(&middleware_esi, "esi: {depth: 6}", "depth"));
    EXPECT(is_refused(&middleware_esi, "esi: {credentials: some}", "credentials"));
    EXPECT(is_refused(&middleware_esi, "esi: {timeout: 5}", "timeout"));
}
