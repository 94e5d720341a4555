/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "exchange/variants.h"
#include "middleware/compress/coded.h"
#include "middleware/compress/compress.h"
#include "middleware/compress/dictionary.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

static struct trial     t;
static struct exchange *x;
static struct loop      loop;

/* ------------------------------------------------------------------ a server */

static struct {
    unsigned         status;
    const char      *fields[12]; /* names and values */
    struct slice     text;
    bool             unknown; /* no length */
    struct variants *variants;
    struct slice     got_accept;
} server;

static char document[20000];

static void
serve(const struct middleware *self, struct exchange *exchange)
{
    struct response *r = &exchange->response;

    (void) self;
    server.got_accept = fields_value(&exchange->request.fields, FIELD_ACCEPT_ENCODING);
    testing_answer(exchange, server.status, "", "");
    for (size_t i = 0; i < countof(server.fields) && server.fields[i]; i += 2)
        fields_add_named(&r->fields, slice_str(server.fields[i]), slice_str(server.fields[i + 1]));
    if (exchange->request.method != METHOD_HEAD && server.text.n) {
        r->body = body_from_slice(&exchange->arena, server.text);
        if (server.unknown)
            r->body->length = BODY_LENGTH_UNKNOWN;
    }
    r->variants = server.variants;
}

static const struct middleware_ops server_ops = {
    .options = {.name = "server", .doc = "A server."},
    .handle = serve,
};

/* The server's next answer: 200 text/html, a document that can be compressed. */
static void
answers(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(document); i++)
        document[i] = "<p>hello, world</p>\n"[i % 20];
    memset(&server, 0, sizeof(server));
    server.status = 200;
    server.text = slice_of(document, sizeof(document));
    server.fields[0] = "Content-Type";
    server.fields[1] = "text/html; charset=utf-8";
    server.fields[2] = name;
    server.fields[3] = value;
}

static void
load(const char *options)
{
    if (!loop_self())
        CHECK(loop_init(&loop, NULL, 0) == OK);
    trial_load(&t, &middleware_compress, options);
    CHECK(t.config != NULL);
}

static void
ask(const char *method, const char *accept, const char *name, const char *value)
{
    x = testing_exchange(method, "https://example.test/app/main.js", "Accept-Encoding", accept,
                         name, value, NULL);
    trial_run(&t, x, &server_ops);
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
    CHECK(coder_count() == 0);
}

static void
run(const char *options, const char *accept)
{
    load(options);
    ask("GET", accept, NULL, NULL);
}

static struct slice
decoded(enum coding_id id)
{
    struct coded_setup setup = {.ops = codings[id]->decoder, .eager = true};
    struct body *b = coded_body(&x->arena, x->response.body, &setup);

    CHECK(b != NULL);
    x->response.body = b;
    return testing_pull(x, b);
}

/* Pulls the body. */
static bool
is_plain(void)
{
    return !slice_is_present(testing_field(x, "Content-Encoding")) &&
           (!x->response.body || slice_eq(testing_pull(x, x->response.body), server.text));
}

/* ------------------------------------------------------------------ negotiation */

TEST(the_client_decides_and_then_the_order)
{
    static const struct {
        const char    *options, *accept, *coding;
        enum coding_id id;
    } rows[] = {
        {"compress", "gzip, deflate, br, zstd", "zstd", CODING_ZSTD},
        {"compress", "gzip, br", "br", CODING_BR},
        {"compress", "gzip", "gzip", CODING_GZIP},
        {"compress", "gzip, br;q=0.9, zstd;q=0.5", "gzip", CODING_GZIP},
        {"compress", "*", "zstd", CODING_ZSTD},
        {"compress", "*;q=0.5, gzip", "gzip", CODING_GZIP},
        {"compress", "identity;q=0.5, br;q=0.5", "br", CODING_BR},
        {"compress: gzip", "gzip, br, zstd", "gzip", CODING_GZIP},
        {"compress: [gzip, br]", "gzip, br, zstd", "gzip", CODING_GZIP},
        {"compress", "identity, gzip;q=0.5", ""},
        {"compress", "gzip;q=0", ""},
        {"compress", "deflate", ""},
        {"compress: br", "gzip", ""},
        {"compress", "", ""},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        answers(NULL, NULL);
        run(rows[i].options, rows[i].accept);
        if (*rows[i].coding) {
            EXPECT_STR(testing_field(x, "Content-Encoding"), rows[i].coding);
            EXPECT(x->response.body->length > 0 && x->response.body->length < 500);
            EXPECT(slice_eq(decoded(rows[i].id), server.text));
        } else {
            EXPECT(is_plain());
        }
        EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
        done();
    }
}

TEST(fields_say_what_the_form_is)
{
    answers("ETag", "\"v1\"");
    server.fields[4] = "Accept-Ranges";
    server.fields[5] = "bytes";
    server.fields[6] = "Vary";
    server.fields[7] = "Origin";
    server.fields[8] = "Content-Length";
    server.fields[9] = "20000";
    server.fields[10] = "Content-Digest";
    server.fields[11] = "sha-256=:xx:";
    run("compress", "gzip");
    EXPECT_STR(testing_field(x, "ETag"), "W/\"v1\"");
    EXPECT_STR(testing_field(x, "Vary"), "Origin, Accept-Encoding");
    EXPECT(!slice_is_present(testing_field(x, "Accept-Ranges")));
    EXPECT(!slice_is_present(testing_field(x, "Content-Length")));
    EXPECT(!slice_is_present(testing_field(x, "Content-Digest")));
    done();
}

/* ------------------------------------------------------------------ what stays as it is */

TEST(some_stay_as_they_are)
{
    static const char *const rows[][2] = {
        {"Content-Encoding", "br"},         {"Cache-Control", "public, no-transform"},
        {"Content-Range", "bytes 0-9/100"},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        answers(rows[i][0], rows[i][1]);
        run("compress", "gzip");
        EXPECT(!slice_is_present(testing_field(x, "Vary")));
        EXPECT_STR(testing_field(x, "Content-Encoding"), i == 0 ? "br" : "");
        EXPECT(slice_eq(testing_pull(x, x->response.body), server.text));
        done();
    }
    answers(NULL, NULL);
    load("compress");
    ask("GET", "gzip", "Cache-Control", "no-transform");
    EXPECT(is_plain());
    done();
}

TEST(types_and_lengths_decide)
{
    static const struct {
        const char *type;
        bool        taken;
    } rows[] = {
        {"text/plain", true},        {"TEXT/event-stream", true}, {"application/json;a=b", true},
        {"image/svg+xml", true},     {"application/ld+json", true},
        {"application/wasm", true},  {"font/ttf", true},          {"font/woff2", false},
        {"image/png", false},        {"application/zip", false},  {"application/grpc", false},
        {"application/octet-stream", false},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        answers(NULL, NULL);
        server.fields[1] = rows[i].type;
        run("compress", "gzip");
        EXPECT(is_plain() == !rows[i].taken);
        done();
    }
    answers(NULL, NULL);
    server.fields[0] = NULL;
    run("compress", "gzip");
    EXPECT(is_plain());
    done();
    answers(NULL, NULL);
    server.text.n = 511;
    run("compress", "gzip");
    EXPECT(is_plain());
    done();
    server.unknown = true;
    run("compress", "gzip");
    EXPECT(!is_plain());
    done();
    server.fields[1] = "application/grpc+proto";
    run("compress: {types: application/*}", "gzip");
    EXPECT(is_plain());
    done();
}

TEST(statuses_without_a_whole_stay)
{
    static const unsigned statuses[] = {204, 206, 304};

    for (size_t i = 0; i < countof(statuses); i++) {
        answers(NULL, NULL);
        server.status = statuses[i];
        run("compress", "gzip");
        EXPECT(!slice_is_present(testing_field(x, "Content-Encoding")));
        done();
    }
    answers(NULL, NULL);
    server.status = 404;
    run("compress", "gzip");
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    done();
}

TEST(not_modified_names_the_form_that_was_asked_about)
{
    answers("ETag", "\"v1\"");
    server.status = 304;
    server.text.n = 0;
    load("compress");
    ask("GET", "gzip", "If-None-Match", "\"v0\", W/\"v1\"");
    EXPECT_STR(testing_field(x, "ETag"), "W/\"v1\"");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    testing_exchange_free(x);
    ask("GET", "gzip", "If-None-Match", "\"v1\"");
    EXPECT_STR(testing_field(x, "ETag"), "\"v1\"");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    done();
}

TEST(parts_and_not_modified_have_the_vary_of_the_whole)
{
    static const struct {
        unsigned    status;
        const char *type, *name, *value, *vary;
    } rows[] = {
        {304, "text/html", NULL, NULL, "Accept-Encoding, Available-Dictionary"},
        {304, NULL, NULL, NULL, "Accept-Encoding, Available-Dictionary"},
        {304, "text/html", "Vary", "Cookie", "Cookie, Accept-Encoding, Available-Dictionary"},
        {304, "image/png", NULL, NULL, NULL},
        {304, "text/html", "Cache-Control", "no-transform", NULL},
        {304, "text/html", "Content-Encoding", "gzip", NULL},
        {206, "text/html", "Content-Range", "bytes 0-9/20000",
         "Accept-Encoding, Available-Dictionary"},
        {206, "multipart/byteranges; boundary=x", NULL, NULL,
         "Accept-Encoding, Available-Dictionary"},
        {206, "image/png", "Content-Range", "bytes 0-9/20000", NULL},
        {204, NULL, NULL, NULL, NULL},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        answers(rows[i].name, rows[i].value);
        server.status = rows[i].status;
        server.fields[0] = rows[i].type ? "Content-Type" : "X-Other";
        server.fields[1] = rows[i].type ? rows[i].type : "x";
        server.text.n = rows[i].status == 206 ? 10 : 0;
        run("compress: {dictionary: '/app/*'}", "gzip");
        EXPECT_EQ(x->response.status, rows[i].status);
        if (rows[i].vary)
            EXPECT_STR(testing_field(x, "Vary"), rows[i].vary);
        else
            EXPECT(!slice_is_present(testing_field(x, "Vary")));
        done();
    }
}

TEST(head_gets_the_fields_of_get)
{
    answers("Content-Length", "20000");
    load("compress");
    ask("HEAD", "br", NULL, NULL);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "br");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    EXPECT(!slice_is_present(testing_field(x, "Content-Length")));
    testing_exchange_free(x);
    server.fields[3] = "100";
    ask("HEAD", "br", NULL, NULL);
    EXPECT(!slice_is_present(testing_field(x, "Content-Encoding")));
    EXPECT_STR(testing_field(x, "Content-Length"), "100");
    done();
}

/* ------------------------------------------------------------------ options */

TEST(servers_hear_of_codings_or_not)
{
    answers(NULL, NULL);
    run("compress", "gzip, br");
    EXPECT_STR(server.got_accept, "gzip, br");
    done();
    run("compress: {from_server: identity}", "gzip, br");
    EXPECT(!slice_is_present(server.got_accept));
    EXPECT_STR(testing_field(x, "Content-Encoding"), "br");
    done();
}

TEST(a_condition_can_forbid_it)
{
    answers(NULL, NULL);
    load("compress: {when: \"header('sec-fetch-site') != 'cross-site'\"}");
    ask("GET", "gzip", "Sec-Fetch-Site", "cross-site");
    EXPECT(is_plain());
    testing_exchange_free(x);
    ask("GET", "gzip", "Sec-Fetch-Site", "same-origin");
    EXPECT(!is_plain());
    done();
}

TEST(padding_makes_lengths_vary)
{
    int64_t shortest = INT64_MAX, longest = 0;

    for (size_t i = 0; i < 60; i++) {
        answers(NULL, NULL);
        run("compress: {padding: 64}", "gzip");
        if (x->response.body->length < shortest)
            shortest = x->response.body->length;
        if (x->response.body->length > longest)
            longest = x->response.body->length;
        EXPECT(slice_eq(decoded(CODING_GZIP), server.text));
        done();
    }
    EXPECT(longest - shortest > 20 && longest - shortest < 64);
}

TEST(mistakes_are_told)
{
    EXPECT(is_refused(&middleware_compress, "compress: deflate", "deflate"));
    EXPECT(is_refused(&middleware_compress, "compress: {codings: []}", "nothing is left"));
    EXPECT(is_refused(&middleware_compress, "compress: {gzip_level: 10}", "gzip_level"));
    EXPECT(is_refused(&middleware_compress, "compress: {types: [html]}", "not a media type"));
    EXPECT(is_refused(&middleware_compress, "compress: {codings: gzip, dictionary: self}", "zstd"));
    EXPECT(is_refused(&middleware_compress, "compress: {dictionary: 'a/*'}", "pattern"));
    EXPECT(is_refused(&middleware_compress, "compress: {dictionary: '/a\"b'}", "pattern"));
}

/* ------------------------------------------------------------------ forms that are kept */

/* A store of one response: its forms, and who asked for what. */
static struct {
    struct variants variants;
    struct slice    form;
    unsigned        effort, kept_effort, found, held, released;
    struct slice    kept_name;
    struct body    *kept;
} store;

static struct body *
store_find(struct variants *v, struct exchange *exchange, struct slice coding, unsigned *effort)
{
    (void) v;
    store.found++;
    *effort = store.effort;
    if (!slice_is_present(store.form) || !slice_eq(coding, SLICE("gzip")))
        return NULL;
    return body_from_slice(&exchange->arena, store.form);
}

static struct body *
store_keep(struct variants *v, struct exchange *exchange, struct slice coding, unsigned effort,
           struct body *encoded)
{
    (void) v;
    (void) exchange;
    store.kept_name = coding;
    store.kept_effort = effort;
    store.kept = encoded;
    return encoded;
}

static struct variants *
store_hold(struct variants *v)
{
    store.held++;
    return v;
}

static void
store_release(struct variants *held)
{
    (void) held;
    store.released++;
}

static struct arena plain_arena;

static struct body *
store_plain(struct variants *held)
{
    (void) held;
    return body_from_slice(&plain_arena, slice_of(document, sizeof(document)));
}

static void
store_put(struct variants *held, struct slice coding, unsigned effort, struct slice bytes)
{
    (void) held;
    if (!slice_eq(coding, SLICE("gzip")))
        return;
    store.effort = effort;
    store.form = arena_copy(&plain_arena, bytes);
}

static const struct variants_ops store_ops = {store_find,    store_keep,  store_hold,
                                              store_release, store_plain, store_put};

static void
stores(uint32_t hits)
{
    answers(NULL, NULL);
    memset(&store, 0, sizeof(store));
    store.variants = (struct variants){&store_ops, hits};
    server.variants = &store.variants;
}

TEST(a_form_that_is_there_is_served)
{
    stores(1);
    store.form = SLICE("encoded already");
    store.effort = 3;
    run("compress", "gzip");
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    EXPECT_STR(testing_pull(x, x->response.body), "encoded already");
    EXPECT_EQ(x->response.body->length, 15);
    EXPECT(x->response.variants == NULL);
    EXPECT_EQ(store.held, 0);
    done();
}

TEST(a_form_that_is_made_is_left_there)
{
    stores(100);
    run("compress: {gzip_level: 2}", "gzip");
    EXPECT_STR(store.kept_name, "gzip");
    EXPECT_EQ(store.kept_effort, 2);
    EXPECT(x->response.body == store.kept);
    EXPECT(slice_eq(decoded(CODING_GZIP), server.text));
    done();
    stores(100);
    run("compress: {padding: 10}", "gzip");
    EXPECT(store.found == 0 && store.kept == NULL); /* kept padding would hide nothing */
    done();
}

static void
in_a_loop(void *arg)
{
    (void) arg;
    store.form = SLICE("not as good as it gets");
    store.effort = 3;
    run("compress", "gzip");
    done();
}

TEST(what_stays_hot_is_encoded_again)
{
    uint64_t until_us = clock_monotonic_us() + 5000000 * TEST_SLOWDOWN;

    stores(16);
    arena_init(&plain_arena, NULL, 0, 1 << 20);
    load("compress");
    trial_free(&t);
    EXPECT(fiber_start_now("test", in_a_loop, NULL));
    while (!store.released && clock_monotonic_us() < until_us)
        loop_once(&loop, clock_monotonic_us() + 10000);
    EXPECT(store.held == 1 && store.released == 1);
    EXPECT_EQ(store.effort, COMPRESS_BEST_EFFORT);
    EXPECT(store.form.n > 20 && store.form.n < 300);
    run("compress", "gzip");
    EXPECT_EQ(store.held, 1); /* it is as good as it gets */
    EXPECT(slice_eq(decoded(CODING_GZIP), server.text));
    done();
    stores(15);
    EXPECT(fiber_start_now("test", in_a_loop, NULL));
    EXPECT_EQ(store.held, 0);
    arena_free(&plain_arena);
}

/* ------------------------------------------------------------------ dictionaries */

/* SHA-256 of the document, as `printf ... | openssl dgst -sha256 -binary | base64` has it. */
#define ID ":" DOCUMENT_SHA256 ":"
#define DOCUMENT_SHA256 "CXOtfLLtFOkoM6fE+gq2fyOOkglQy7Yui0qmHjWizgM="

TEST(a_response_becomes_a_dictionary_for_the_next)
{
    size_t before = dictionary_table_bytes();

    answers("ETag", "\"d1\"");
    run("compress: {dictionary: '/app/*.js'}", "gzip, dcz");
    EXPECT_STR(testing_field(x, "Use-As-Dictionary"), "match=\"/app/*.js\"");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding, Available-Dictionary");
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    EXPECT(slice_eq(decoded(CODING_GZIP), server.text));
    EXPECT_EQ(dictionary_table_bytes(), before + sizeof(document));
    testing_exchange_free(x);

    ask("GET", "gzip, zstd, dcz", "Available-Dictionary", ID);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "dcz");
    EXPECT(x->response.body->length < 80);
    testing_exchange_free(x);
    ask("GET", "gzip", "Available-Dictionary", ID); /* knows it, but not how */
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    testing_exchange_free(x);
    ask("GET", "dcz, gzip", "Available-Dictionary", ":AAAA:");
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    EXPECT_EQ(dictionary_table_bytes(), before + sizeof(document)); /* once is enough */
    testing_exchange_free(x);

    /* Another site's dictionary is none. */
    x = testing_exchange("GET", "https://other.test/app/main.js", "Accept-Encoding", "dcz, gzip",
                         "Available-Dictionary", ID, NULL);
    trial_run(&t, x, &server_ops);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    done();
}

TEST(not_every_response_is_offered_as_a_dictionary)
{
    static const char *const rows[][3] = {
        {"compress: {dictionary: '/lib/*'}", NULL, NULL},
        {"compress: {dictionary: '/app/*.css'}", NULL, NULL},
        {"compress: {dictionary: self, dictionary_max: 19999}", NULL, NULL},
        {"compress: {dictionary: self}", "Cache-Control", "no-store"},
        {"compress: {dictionary: self}", "Use-As-Dictionary", "match=\"/x\""},
        {"compress", NULL, NULL},
    };
    size_t before = dictionary_table_bytes();

    for (size_t i = 0; i < countof(rows); i++) {
        answers(rows[i][1], rows[i][2]);
        run(rows[i][0], "gzip");
        EXPECT(i == 4 || !slice_is_present(testing_field(x, "Use-As-Dictionary")));
        EXPECT(slice_eq(decoded(CODING_GZIP), server.text));
        done();
    }
    EXPECT_EQ(dictionary_table_bytes(), before);
    answers(NULL, NULL);
    run("compress: {dictionary: self}", "gzip");
    EXPECT_STR(testing_field(x, "Use-As-Dictionary"), "match=\"/app/main.js\"");
    done();
}
