/* SPDX-License-Identifier: Apache-2.0 */
/* edge/access_log_test.c - records as a reader of the log finds them. */
#include "edge/access_log.h"

#include "base/check.h"
#include "base/test.h"
#include "config/option.h"
#include "exchange/route.h"
#include "exchange/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIME_US 1795214880123456u /* 2026-11-20T22:48:00.123456Z */

/* ------------------------------------------------------------------ writing and reading a log */

static char path[64];
static struct access_log log_now;

static bool
open_log(enum access_log_format format)
{
    struct config_report report;
    bool open;
    int fd;

    snprintf(path, sizeof(path), "/tmp/maitred-access-XXXXXX");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return false;
    close(fd);
    log_now = (struct access_log){slice_str(path), (int) format, NULL, 1 << 20, NULL};
    config_report_init(&report);
    open = access_log_open(&log_now, &report, NULL);
    config_report_free(&report);
    return open;
}

/* Closes the log; what it held, until the next call. */
static struct slice
finish_log(void)
{
    static char memory[4 << 20];
    size_t n = 0;
    ssize_t got;
    int fd;

    access_log_close(&log_now);
    sink_drain_all(5000);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while ((got = read(fd, memory + n, sizeof(memory) - n)) > 0)
        n += (size_t) got;
    close(fd);
    unlink(path);
    return slice_of(memory, n);
}

/* What a server's answer leaves behind. */
static struct exchange *
served_exchange(void)
{
    static const struct route route = {.name = SLICE_INIT("routes[3]")};
    struct exchange *x = testing_exchange("GET", "https://example.com/items?all=1", "User-Agent",
                                          "curl/8.1", "Referer", "https://example.com/", NULL);
    uint64_t start_us = 1000000;

    x->route = &route;
    x->response.status = 200;
    x->response_bytes = 1024;
    x->relay = (struct exchange_relay){SLICE("app"), SLICE("10.0.0.1:8080"), 2, true};
    x->times = (struct exchange_times){start_us,      start_us + 21, start_us + 40,  start_us + 45,
                                       start_us + 60, start_us + 99, start_us + 1260};
    return x;
}

TEST(a_json_record_has_its_fields_in_order)
{
    struct exchange *x = served_exchange();

    clock_freeze(1, TIME_US);
    EXPECT(open_log(ACCESS_LOG_JSON));
    access_log_write(&log_now, 0, x);
    clock_freeze(0, 0);
    testing_exchange_free(x);
    EXPECT_STR(
        finish_log(),
        "{\"time\":\"2026-11-20T22:48:00.123Z\",\"client\":\"192.0.2.1\",\"listener\":\"public\","
        "\"connection\":1,\"method\":\"GET\",\"scheme\":\"https\",\"host\":\"example.com\","
        "\"target\":\"/items?all=1\",\"version\":\"1.1\",\"status\":200,\"route\":\"routes[3]\","
        "\"upstream\":\"app\",\"server\":\"10.0.0.1:8080\",\"attempts\":2,\"reused\":true,"
        "\"request_bytes\":0,\"response_bytes\":1024,\"received_us\":21,\"queued_us\":40,"
        "\"connected_us\":45,\"first_byte_us\":99,\"total_us\":1260,"
        "\"user_agent\":\"curl/8.1\",\"referer\":\"https://example.com/\"}\n");
}

TEST(a_status_of_grpc_stands_behind_that_of_http)
{
    struct exchange *x = served_exchange();
    struct slice rest, first, second;

    EXPECT(open_log(ACCESS_LOG_JSON));
    x->grpc_status = 14;
    access_log_write(&log_now, 0, x);
    x->has_grpc_status = true;
    access_log_write(&log_now, 0, x);
    x->grpc_status = 0;
    access_log_write(&log_now, 0, x);
    testing_exchange_free(x);
    rest = finish_log();
    first = slice_cut(&rest, '\n');
    second = slice_cut(&rest, '\n');
    EXPECT(slice_search(first, SLICE("grpc_status")) == SLICE_NOT_FOUND);
    EXPECT(slice_search(second, SLICE("\"status\":200,\"grpc_status\":14,")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(rest, SLICE("\"grpc_status\":0,")) != SLICE_NOT_FOUND);
}

TEST(a_combined_record_is_what_ncsa_had)
{
    struct exchange *x = served_exchange();

    clock_freeze(1, TIME_US);
    EXPECT(open_log(ACCESS_LOG_COMBINED));
    access_log_write(&log_now, 0, x);
    x->request = (struct request){.version = 11};
    x->response.status = 0;
    access_log_write(&log_now, 0, x);
    clock_freeze(0, 0);
    testing_exchange_free(x);
    EXPECT_STR(finish_log(),
               "192.0.2.1 - - [20/Nov/2026:22:48:00 +0000] \"GET /items?all=1 HTTP/1.1\" 200 "
               "1024 \"https://example.com/\" \"curl/8.1\"\n"
               "192.0.2.1 - - [20/Nov/2026:22:48:00 +0000] \"-\" 000 1024 \"-\" \"-\"\n");
}

TEST(the_date_follows_the_clock)
{
    struct exchange *x = served_exchange();
    struct slice rest, line;

    EXPECT(open_log(ACCESS_LOG_JSON));
    for (uint64_t us = 0; us < 3000000; us += 999999) {
        clock_freeze(1, TIME_US + us);
        access_log_write(&log_now, 0, x);
    }
    clock_freeze(0, 0);
    testing_exchange_free(x);
    rest = finish_log();
    line = slice_cut(&rest, '\n');
    EXPECT(slice_starts(line, SLICE("{\"time\":\"2026-11-20T22:48:00.123Z\"")));
    line = slice_cut(&rest, '\n');
    EXPECT(slice_starts(line, SLICE("{\"time\":\"2026-11-20T22:48:01.123Z\"")));
    line = slice_cut(&rest, '\n');
    EXPECT(slice_starts(line, SLICE("{\"time\":\"2026-11-20T22:48:02.123Z\"")));
}

/* ------------------------------------------------------------------ faults */

struct limits {
    uint64_t response_us, connect_us;
};

static const struct option limit_options[] = {
    {"response", &option_duration, offsetof(struct limits, response_us), .preset = "60s",
     .doc = "For the test."},
    {"connect", &option_duration, offsetof(struct limits, connect_us), .preset = "5s",
     .doc = "For the test."},
    {NULL},
};

static const struct option_object limits_object = {"limits", "For the test.", sizeof(struct limits),
                                                   limit_options};

TEST(a_fault_names_blame_limit_and_place)
{
    struct exchange *x = served_exchange();
    struct config_report report;
    struct config *config;
    const struct limits *limits;
    struct slice got;

    config_report_init(&report);
    config = config_load_text("site.yaml", SLICE("\nresponse: 2s\n"), &limits_object,
                              &config_source_system, &report);
    EXPECT(config != NULL);
    limits = config->root;
    x->config = config;
    x->response.status = 504;
    x->fault = (struct exchange_fault){REASON_RESPONSE_TIMEOUT, ERR_TIMEOUT, SLICE("no \"answer\""),
                                       &limits->response_us, "timeouts.response"};
    EXPECT(open_log(ACCESS_LOG_JSON));
    access_log_write(&log_now, 0, x);
    x->fault.limit = &limits->connect_us;
    x->fault.limit_name = "timeouts.connect";
    access_log_write(&log_now, 0, x);
    testing_exchange_free(x);
    config_free(config);
    config_report_free(&report);
    got = finish_log();
    EXPECT(slice_search(got,
                        SLICE("\"status\":504,\"reason\":\"response_timeout\",\"blame\":\"server\","
                              "\"limit\":\"timeouts.response at site.yaml:2:11\","
                              "\"error\":\"timeout\",\"detail\":\"no \\\"answer\\\"\","
                              "\"route\":")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(got, SLICE("\"limit\":\"timeouts.connect (default)\"")) != SLICE_NOT_FOUND);
}

TEST(an_answer_of_ours_may_be_nobodys_fault)
{
    struct exchange *x = testing_exchange("GET", "/old", NULL);
    struct slice got;

    x->fault.reason = REASON_REDIRECT;
    x->response.status = 301;
    EXPECT(open_log(ACCESS_LOG_JSON));
    access_log_write(&log_now, 0, x);
    testing_exchange_free(x);
    got = finish_log();
    EXPECT(slice_search(got, SLICE("\"reason\":\"redirect\",\"blame\":\"nobody\",\"request")) !=
           SLICE_NOT_FOUND);
}

/* ------------------------------------------------------------------ hostile input */

/* A strict reader of the JSON that we write: flat objects.  RFC 8259. */
struct reader {
    const char *at, *end;
};

static bool
take_byte(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool
read_escape(struct reader *r)
{
    uint64_t code;

    if (r->at == r->end || !memchr("\"\\/bfnrtu", *r->at, 9))
        return false;
    if (*r->at++ != 'u')
        return true;
    if (r->end - r->at < 4 || !slice_hex_to_u64(slice_of(r->at, 4), &code))
        return false;
    r->at += 4;
    return true;
}

static bool
read_string(struct reader *r)
{
    if (!take_byte(r, '"'))
        return false;
    while (r->at < r->end && *r->at != '"') {
        size_t n = text_utf8_length(slice_of(r->at, (size_t) (r->end - r->at)));

        if (*r->at == '\\') {
            r->at++;
            if (!read_escape(r))
                return false;
        } else if ((unsigned char) *r->at >= 0x80 ? n == 0 : (unsigned char) *r->at < 0x20) {
            return false;
        } else {
            r->at += (unsigned char) *r->at >= 0x80 ? n : 1;
        }
    }
    return take_byte(r, '"');
}

static bool
read_word_or_number(struct reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && (ascii_is_alpha(*r->at) || ascii_is_digit(*r->at)))
        r->at++;
    return r->at > start;
}

static bool
is_json_object(struct slice line)
{
    struct reader r = {line.at, line.at + line.n};

    if (!take_byte(&r, '{'))
        return false;
    do {
        if (!read_string(&r) || !take_byte(&r, ':'))
            return false;
        if (r.at < r.end && *r.at == '"' ? !read_string(&r) : !read_word_or_number(&r))
            return false;
    } while (take_byte(&r, ','));
    return take_byte(&r, '}') && r.at == r.end;
}

/* Bytes in the arena, more of them strange the larger `wild` is. */
static struct slice
strange_bytes(struct dice *dice, struct arena *arena, size_t max, uint64_t wild)
{
    size_t n = dice_next(dice) % max;
    char *at = arena_alloc(arena, n + 1);

    for (size_t i = 0; at && i < n; i++) {
        uint64_t d = dice_next(dice);

        at[i] = (char) (d % 8 < wild ? d >> 8 : 'a' + (d >> 8) % 26);
    }
    return slice_of(at, at ? n : 0);
}

static void
make_strange(struct exchange *x, struct dice *dice, size_t max)
{
    uint64_t wild = dice_next(dice) % 9;
    struct slice *const places[] = {
        &x->request.method_token, &x->request.target.raw, &x->request.host, &x->scheme,
        &x->request_id,           &x->client_ip,          &x->relay.server, &x->relay.upstream,
        &x->fault.detail,
    };

    for (size_t i = 0; i < countof(places); i++)
        *places[i] = strange_bytes(dice, &x->arena, max, wild);
    fields_set(&x->request.fields, FIELD_USER_AGENT, strange_bytes(dice, &x->arena, max, wild));
    fields_set(&x->request.fields, FIELD_REFERER, strange_bytes(dice, &x->arena, max, wild));
    x->response_bytes = dice_next(dice);
}

static bool
is_printable(struct slice line)
{
    for (size_t i = 0; i < line.n; i++)
        if (line.at[i] < 0x20 || line.at[i] > 0x7E)
            return false;
    return true;
}

/* Of all sizes: short ones, and such that must be cut. */
static size_t
write_strange_records(size_t count)
{
    struct dice dice;

    dice_init(&dice, 7);
    for (size_t i = 0; i < count; i++) {
        struct exchange *x = served_exchange();

        make_strange(x, &dice, i % 10 == 0 ? 20000 : 60);
        access_log_write(&log_now, (unsigned) (i % 2), x);
        testing_exchange_free(x);
    }
    return count;
}

TEST(whatever_arrives_the_record_is_json_on_one_line)
{
    struct slice rest;
    size_t wrote, lines = 0;

    EXPECT(open_log(ACCESS_LOG_JSON));
    wrote = write_strange_records(300);
    EXPECT_EQ(sink_dropped(log_now.sink), 0);
    for (rest = finish_log(); rest.n; lines++) {
        struct slice line = slice_cut(&rest, '\n');

        EXPECT(line.n < SINK_RECORD_MAX);
        EXPECT(is_json_object(line));
    }
    EXPECT_EQ(lines, wrote);
}

TEST(whatever_arrives_combined_is_printable)
{
    struct slice rest;
    size_t wrote, lines = 0;

    EXPECT(open_log(ACCESS_LOG_COMBINED));
    wrote = write_strange_records(300);
    EXPECT_EQ(sink_dropped(log_now.sink), 0);
    for (rest = finish_log(); rest.n; lines++)
        EXPECT(is_printable(slice_cut(&rest, '\n')));
    EXPECT_EQ(lines, wrote);
}

TEST(everything_at_its_longest_fits)
{
    struct exchange *x = served_exchange();
    static char long_text[40000];
    struct slice text = slice_of(long_text, sizeof(long_text)), got;

    memset(long_text, 0x01, sizeof(long_text));
    x->request.method_token = x->request.target.raw = x->request.host = x->scheme = text;
    x->request_id = x->client_ip = x->relay.server = x->relay.upstream = x->fault.detail = text;
    fields_set(&x->request.fields, FIELD_USER_AGENT, text);
    fields_set(&x->request.fields, FIELD_REFERER, text);
    x->fault.reason = REASON_RESPONSE_HEAD_TOO_LARGE;
    x->fault.err = ERR_NO_DESCRIPTORS;
    x->request_bytes = x->response_bytes = UINT64_MAX;
    EXPECT(open_log(ACCESS_LOG_JSON));
    access_log_write(&log_now, 0, x);
    log_now.format = ACCESS_LOG_COMBINED;
    access_log_write(&log_now, 0, x);
    EXPECT_EQ(sink_dropped(log_now.sink), 0);
    testing_exchange_free(x);
    got = finish_log();
    EXPECT(is_json_object(slice_cut(&got, '\n')));
    EXPECT(is_printable(slice_cut(&got, '\n')));
}

/* ------------------------------------------------------------------ configuration */

/* The log that the text describes, and the messages about it. */
static struct config *
load(const char *yaml, struct text *messages)
{
    struct config_report report;
    struct config *config;

    config_report_init(&report);
    config = config_load_text("site.yaml", slice_str(yaml), &access_log_object,
                              &config_source_system, &report);
    config_report_print(&report, messages);
    config_report_free(&report);
    return config;
}

TEST(options_have_defaults)
{
    struct config *config;
    const struct access_log *log;
    struct text messages;

    text_init(&messages, 10000);
    config = load("to: /var/log/x.log\n", &messages);
    EXPECT(config != NULL);
    log = config->root;
    EXPECT_STR(log->to, "/var/log/x.log");
    EXPECT_EQ(log->format, ACCESS_LOG_JSON);
    EXPECT_EQ(log->queue_bytes, 4 << 20);
    EXPECT(log->when == NULL);
    config_free(config);
    text_free(&messages);
}

TEST(a_misspelt_word_is_no_file)
{
    struct text messages;

    text_init(&messages, 10000);
    EXPECT(load("to: stdot\n", &messages) == NULL);
    EXPECT(slice_search(text_slice(&messages), SLICE("did you mean `stdout`?")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(text_slice(&messages), SLICE("site.yaml:1:")) != SLICE_NOT_FOUND);
    text_free(&messages);
}

TEST(a_log_that_cannot_be_opened_is_told_with_its_place)
{
    struct config_report report;
    struct config *config;
    struct text messages;

    text_init(&messages, 10000);
    config = load("to: /nowhere/at/all.log\n", &messages);
    EXPECT(config != NULL);
    config_report_init(&report);
    EXPECT(!access_log_open(config->root, &report, config));
    EXPECT_EQ(report.errors, 1);
    EXPECT_STR(report.messages->text, "cannot open /nowhere/at/all.log: No such file or directory");
    EXPECT_EQ(report.messages->mark.line, 1);
    config_report_free(&report);
    config_free(config);
    text_free(&messages);
}

TEST(only_what_the_condition_takes_is_logged)
{
    struct exchange *x = served_exchange();
    struct expr_error error;

    EXPECT(open_log(ACCESS_LOG_JSON));
    log_now.when = expr_compile(&x->arena, SLICE("status >= 400"), EXPR_BOOL, &error);
    EXPECT(log_now.when != NULL);
    access_log_write(&log_now, 0, x);
    x->response.status = 404;
    access_log_write(&log_now, 0, x);
    expr_release(log_now.when);
    testing_exchange_free(x);
    EXPECT(slice_search(finish_log(), SLICE("\"status\":404")) != SLICE_NOT_FOUND);
}

TEST(the_reference_has_every_field)
{
    struct text out;

    text_init(&out, 20000);
    access_log_reference(&out);
    EXPECT(!out.full);
    EXPECT(slice_search(text_slice(&out), SLICE("| `time` | date | When")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(text_slice(&out), SLICE("| `referer` | string |")) != SLICE_NOT_FOUND);
    text_free(&out);
}
