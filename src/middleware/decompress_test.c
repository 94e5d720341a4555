/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/compress/coding.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum { BOMB_BYTES = 8 << 20 };

static struct trial     t;
static struct exchange *x;
static struct loop      loop;
static char             document[20000], zeros[BOMB_BYTES];
static struct slice     gzipped, twice, zstandard, brotli, bomb;

static struct slice
form(const struct coding *coding, struct slice plain)
{
    struct slice s = coder_encode_whole(coding, 3, plain, plain.n);

    CHECK(slice_is_present(s));
    return s;
}

static void
make_forms(void)
{
    struct slice plain = slice_of(document, sizeof(document));

    if (gzipped.n)
        return;
    CHECK(loop_init(&loop, NULL, 0) == OK);
    for (size_t i = 0; i < sizeof(document); i++)
        document[i] = (char) ('a' + i * i / 7 % 19);
    gzipped = form(&coding_gzip, plain);
    zstandard = form(&coding_zstd, plain);
    brotli = form(&coding_br, plain);
    twice = coder_encode_whole(&coding_br, 3, gzipped, gzipped.n + 100);
    bomb = form(&coding_zstd, slice_of(zeros, sizeof(zeros)));
}

/* ------------------------------------------------------------------ a server */

static struct slice got, got_coding, answer;
static bool         got_length, asked;
static enum err     got_end;
static const char  *answer_coding;
static unsigned     answer_status; /* what a request with Range gets; 0: the whole, as others */
static unsigned     times_asked;

static unsigned
status_for(const struct request *q)
{
    bool whole = !fields_has(&q->fields, FIELD_RANGE) &&
                 !fields_find(&q->fields, SLICE("If-Range"));

    return whole || !answer_status ? 200 : answer_status;
}

static void
serve(const struct middleware *self, struct exchange *exchange)
{
    static char all[BOMB_BYTES];
    struct slice chunk;
    size_t n = 0;

    (void) self;
    asked = true;
    times_asked++;
    got_end = ERR_END;
    while (exchange->request.body && (got_end = body_next(exchange->request.body, &chunk)) == OK) {
        CHECK(n + chunk.n <= sizeof(all));
        memcpy(all + n, chunk.at, chunk.n);
        n += chunk.n;
    }
    got = slice_of(all, n);
    got_coding = fields_value(&exchange->request.fields, FIELD_CONTENT_ENCODING);
    got_length = fields_get(&exchange->request.fields, FIELD_CONTENT_LENGTH) != NULL;
    testing_answer(exchange, status_for(&exchange->request), "text/plain", "");
    if (answer_coding) {
        fields_add(&exchange->response.fields, FIELD_CONTENT_ENCODING, slice_str(answer_coding));
        fields_add(&exchange->response.fields, FIELD_ETAG, SLICE("\"e\""));
    }
    if (answer.n && exchange->request.method != METHOD_HEAD)
        exchange->response.body = body_from_slice(&exchange->arena, answer);
}

static const struct middleware_ops server = {
    .options = {.name = "server", .doc = "A server."},
    .handle = serve,
};

static void
load(const char *options)
{
    make_forms();
    trial_load(&t, &middleware_decompress, options);
    CHECK(t.config != NULL);
    answer.n = 0;
    answer_coding = NULL;
    answer_status = times_asked = 0;
    asked = false;
}

static void
post(const char *options, const char *coding, struct slice body)
{
    load(options);
    x = testing_exchange("POST", "http://h/", "Content-Type", "application/json",
                         "Content-Length", "1", coding ? "Content-Encoding" : NULL, coding, NULL);
    x->request.body = body_from_slice(&x->arena, body);
    x->request.body->ready = true;
    trial_run(&t, x, &server);
}

static void
get(const char *method, const char *accept, const char *coding, struct slice body)
{
    load("decompress");
    answer_coding = coding;
    answer = body;
    x = testing_exchange(method, "http://h/", accept ? "Accept-Encoding" : NULL, accept, NULL);
    trial_run(&t, x, &server);
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
    CHECK(coder_count() == 0);
}

static bool
is_document(struct slice s)
{
    return slice_eq(s, slice_of(document, sizeof(document)));
}

/* ------------------------------------------------------------------ requests */

TEST(bodies_are_decoded_for_the_server)
{
    const struct {
        const char  *coding;
        struct slice body;
    } rows[] = {
        {"gzip", (make_forms(), gzipped)}, {"X-GZIP", gzipped}, {"zstd", zstandard},
        {"br", brotli}, {"gzip, br", twice}, {"identity, gzip", gzipped},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        post("decompress", rows[i].coding, rows[i].body);
        EXPECT_EQ(x->response.status, 200);
        EXPECT_EQ(got_end, ERR_END);
        EXPECT(is_document(got));
        EXPECT(!slice_is_present(got_coding) && !got_length);
        done();
    }
}

TEST(plain_bodies_and_all_that_is_to_pass_pass)
{
    post("decompress", NULL, SLICE("plain"));
    EXPECT_STR(got, "plain");
    EXPECT(got_length);
    done();
    post("decompress: pass", "gzip", SLICE("whatever"));
    EXPECT_STR(got, "whatever");
    EXPECT_STR(got_coding, "gzip");
    done();
    post("decompress", "gzip", SLICE("")); /* nothing, in whatever form */
    EXPECT_EQ(x->response.status, 200);
    done();
}

TEST(an_unknown_coding_is_refused)
{
    post("decompress", "gzip, compress", gzipped);
    EXPECT_EQ(x->response.status, 415);
    EXPECT_STR(testing_field(x, "Accept-Encoding"), "gzip, br, zstd");
    EXPECT(!asked && x->close_client);
    done();
    post("decompress", "gzip, gzip, gzip, gzip", gzipped);
    EXPECT_EQ(x->response.status, 415);
    done();
}

TEST(a_malformed_body_is_refused)
{
    post("decompress", "gzip", SLICE("this is not gzip"));
    EXPECT_EQ(x->response.status, 400);
    EXPECT_EQ(x->fault.reason, REASON_BAD_REQUEST);
    EXPECT(x->close_client);
    done();
    post("decompress", "zstd", slice_first(zstandard, zstandard.n - 1));
    EXPECT_EQ(x->response.status, 400);
    done();
}

TEST(a_bomb_is_refused)
{
    post("decompress", "zstd", bomb);
    EXPECT_EQ(x->response.status, 413);
    EXPECT_EQ(x->fault.reason, REASON_BODY_TOO_LARGE);
    EXPECT_EQ(got_end, ERR_LIMIT);
    EXPECT(got.n < 1200000);
    done();
    post("decompress: {ratio: 100000, max: 4MiB}", "zstd", bomb);
    EXPECT_EQ(x->response.status, 413);
    EXPECT_STR(slice_str(x->fault.limit_name), "decompress.max");
    EXPECT(got.n < (4 << 20) + 65536);
    done();
    post("decompress: {ratio: 100000, max: 8MiB}", "zstd", bomb);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(got.n, BOMB_BYTES);
    done();
}

TEST(bodies_are_encoded_for_servers_that_can)
{
    post("decompress: {requests: encode, coding: zstd}", NULL,
         slice_of(document, sizeof(document)));
    EXPECT_STR(got_coding, "zstd");
    EXPECT(!got_length);
    EXPECT(got.n < sizeof(document) / 2);
    EXPECT_EQ(x->request.body->length, got.n); /* it was there, so its length is known */
    done();
    post("decompress: encode", NULL, SLICE("short"));
    EXPECT_STR(got, "short");
    EXPECT(got_length);
    done();
    post("decompress: encode", "br", brotli);
    EXPECT(slice_eq(got, brotli));
    done();
    post("decompress: {requests: encode, types: text/csv}", NULL,
         slice_of(document, sizeof(document)));
    EXPECT(is_document(got));
    done();
}

/* Who stands in front of it may try again. */
TEST(a_second_run_does_not_decode_again)
{
    post("decompress", "gzip", gzipped);
    exchange_drop_response(x);
    x->next = x->chain;
    exchange_next(x);
    EXPECT_EQ(x->response.status, 200);
    done();
}

/* ------------------------------------------------------------------ responses */

TEST(responses_are_decoded_for_clients_that_cannot)
{
    get("GET", NULL, "gzip", gzipped);
    EXPECT(!slice_is_present(testing_field(x, "Content-Encoding")));
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    EXPECT_STR(testing_field(x, "ETag"), "W/\"e\"");
    EXPECT(is_document(testing_pull(x, x->response.body)));
    done();
    get("GET", "br", "gzip, br", twice);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip, br");
    EXPECT_STR(testing_field(x, "ETag"), "\"e\"");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    done();
    get("GET", "gzip", "gzip, br", twice);
    EXPECT_STR(testing_field(x, "Content-Encoding"), "gzip");
    EXPECT(slice_eq(testing_pull(x, x->response.body), gzipped));
    done();
    get("HEAD", "br", "gzip", gzipped);
    EXPECT(!slice_is_present(testing_field(x, "Content-Encoding")));
    done();
}

/* Bytes 5-9, as far as the server is concerned of the coded form. */
static void
get_part(const char *options, const char *method, const char *accept, const char *coding,
         unsigned status)
{
    load(options);
    answer_coding = coding;
    answer = gzipped;
    answer_status = status;
    x = testing_exchange(method, "http://h/", "Range", "bytes=5-9", "If-Range", "\"e\"",
                         accept ? "Accept-Encoding" : NULL, accept, NULL);
    trial_run(&t, x, &server);
}

TEST(who_cannot_read_a_part_gets_the_whole)
{
    static const char *const accepts[] = {NULL, "identity", "br", "gzip;q=0, *"};

    for (size_t i = 0; i < countof(accepts); i++) {
        get_part("decompress", "GET", accepts[i], "gzip", 206);
        EXPECT_EQ(times_asked, 2);
        EXPECT_EQ(x->response.status, 200);
        EXPECT(!slice_is_present(testing_field(x, "Content-Encoding")));
        EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
        EXPECT(is_document(testing_pull(x, x->response.body)));
        done();
    }
}

TEST(parts_that_stay_as_they_are)
{
    static const struct {
        const char *options, *method, *accept, *coding;
    } rows[] = {
        {"decompress", "GET", "gzip", "gzip"},
        {"decompress", "GET", NULL, "compress"},
        {"decompress", "POST", NULL, "gzip"},
        {"decompress: {responses: false}", "GET", NULL, "gzip"},
    };

    for (size_t i = 0; i < countof(rows); i++) {
        get_part(rows[i].options, rows[i].method, rows[i].accept, rows[i].coding, 206);
        EXPECT_EQ(times_asked, 1);
        EXPECT_EQ(x->response.status, 206);
        EXPECT_STR(testing_field(x, "Content-Encoding"), rows[i].coding);
        EXPECT(slice_eq(testing_pull(x, x->response.body), gzipped));
        done();
    }
}

TEST(parts_and_not_modified_have_the_vary_of_the_whole)
{
    get_part("decompress", "GET", "gzip", "gzip", 206);
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    EXPECT_STR(testing_field(x, "ETag"), "\"e\"");
    done();
    get_part("decompress", "GET", NULL, NULL, 304);
    EXPECT_EQ(times_asked, 1);
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    done();
    get_part("decompress", "GET", NULL, NULL, 206); /* plain for everybody */
    EXPECT_EQ(times_asked, 1);
    EXPECT(!slice_is_present(testing_field(x, "Vary")));
    done();
    get_part("decompress: {responses: false}", "GET", NULL, NULL, 304);
    EXPECT(!slice_is_present(testing_field(x, "Vary")));
    done();
}

TEST(what_nobody_can_decode_stays)
{
    get("GET", "gzip", "compress", SLICE("xyz"));
    EXPECT_STR(testing_field(x, "Content-Encoding"), "compress");
    EXPECT_STR(testing_pull(x, x->response.body), "xyz");
    done();
}

TEST(a_bad_response_breaks_off)
{
    get("GET", NULL, "gzip", SLICE("this is not gzip"));
    EXPECT(!slice_is_present(testing_pull(x, x->response.body)));
    EXPECT_EQ(x->fault.reason, REASON_RESPONSE_MALFORMED);
    done();
}
