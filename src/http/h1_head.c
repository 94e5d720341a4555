/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h1_head.c - heads and trailers of HTTP/1.x (RFC 9112), read in one pass.
 *
 * The whole head is usually there when it is first looked at, so it is parsed at once; only when it
 * turns out to be incomplete does *scanned start to count, and the next calls look for the end of
 * the head in the new bytes alone before anything is parsed again.  Three things are worth another
 * parse: an empty line, the limit, and a lone LF, which can only be a fault.  Every verdict depends
 * on a prefix of the bytes and nothing after it, so the pieces in which a head arrives cannot
 * change what is found in it - the fuzz targets hold the parser to that.
 */
#include "base/check.h"
#include "base/scan.h"
#include "http/chars.h"
#include "http/h1.h"
#include "http/uri.h"

enum { FIRST_ROOM = 24 }; /* fields of a browser's request */

#define BIT(id) ((uint64_t) 1 << (id))

struct reader {
    const char   *at;
    const char   *end;
    enum h1_fault fault;
    enum h1_fault when_full; /* the fault if the limit is reached here */
};

static enum h1_result
bad(struct reader *r, enum h1_fault fault)
{
    r->fault = fault;
    return H1_BAD;
}

/* ------------------------------------------------------------------ whether to parse now */

/* A line ends at bytes.at[lf]: does the head end there, or is it a lone LF? */
static bool
line_is_last(struct slice bytes, size_t lf)
{
    if (lf == 0 || bytes.at[lf - 1] != '\r')
        return true;
    return lf == 1 || bytes.at[lf - 2] == '\n';
}

/* False when the bytes up to *scanned were parsed before and those since then change nothing. */
static bool
is_worth_parsing(struct slice window, size_t scanned, size_t limit)
{
    if (scanned == 0 || window.n >= limit)
        return true;
    while (scanned < window.n) {
        size_t lf = slice_find(slice_from(window, scanned), '\n');

        if (lf == SLICE_NOT_FOUND)
            return false;
        scanned += lf;
        if (line_is_last(window, scanned))
            return true;
        scanned++;
    }
    return false;
}

static enum h1_result
conclude(struct reader *r, enum h1_result result, struct slice window, size_t limit,
         size_t *scanned, size_t *used, enum h1_fault *fault)
{
    *used = 0;
    if (result == H1_MORE && window.n >= limit)
        result = bad(r, r->when_full);
    if (result == H1_MORE)
        *scanned = window.n;
    else if (result == H1_DONE)
        *used = (size_t) (r->at - window.at);
    *fault = r->fault;
    return result;
}

/* ------------------------------------------------------------------ lines */

/* At the CR of a CRLF; a lone CR or LF is a fault, anything else is `otherwise`. */
static enum h1_result
read_line_end(struct reader *r, enum h1_fault otherwise)
{
    if (r->at == r->end)
        return H1_MORE;
    if (*r->at == '\n')
        return bad(r, H1_BAD_LINE_END);
    if (*r->at != '\r')
        return bad(r, otherwise);
    if (r->end - r->at < 2)
        return H1_MORE;
    if (r->at[1] != '\n')
        return bad(r, H1_BAD_LINE_END);
    r->at += 2;
    return H1_DONE;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static enum h1_result
read_version(struct reader *r, unsigned *minor)
{
    static const char prefix[] = "HTTP/";
    size_t n = (size_t) (r->end - r->at), compared = n < 5 ? n : 5;

    if (memcmp(r->at, prefix, compared) != 0)
        return bad(r, H1_BAD_VERSION);
    if (n < 8) {
        if ((n > 5 && !ascii_is_digit(r->at[5])) || (n > 6 && r->at[6] != '.'))
            return bad(r, H1_BAD_VERSION);
        return H1_MORE;
    }
    if (!ascii_is_digit(r->at[5]) || r->at[6] != '.' || !ascii_is_digit(r->at[7]))
        return bad(r, H1_BAD_VERSION);
    if (r->at[5] != '1' || r->at[7] > '1')
        return bad(r, H1_UNSUPPORTED_VERSION);
    *minor = (unsigned) (r->at[7] - '0');
    r->at += 8;
    return H1_DONE;
}

/* ------------------------------------------------------------------ fields */

/* A line has no colon after its name: why?  stop is where the name's scan ended. */
static __attribute__((cold, noinline)) enum h1_result
judge_name(struct reader *r, const char *name, const char *stop)
{
    r->at = stop;
    if (stop == r->end)
        return H1_MORE;
    if (*stop == '\r' || *stop == '\n') {
        enum h1_result result = read_line_end(r, H1_BAD_LINE_END);

        return result == H1_DONE ? bad(r, H1_BAD_FIELD_NAME) : result;
    }
    if (*stop != ' ' && *stop != '\t')
        return bad(r, H1_BAD_FIELD_NAME);
    if (stop == name)
        return bad(r, H1_OBS_FOLD);
    while (stop < r->end && (*stop == ' ' || *stop == '\t'))
        stop++;
    if (stop == r->end)
        return H1_MORE;
    return bad(r, *stop == ':' ? H1_SPACE_BEFORE_COLON : H1_BAD_FIELD_NAME);
}

static __attribute__((cold, noinline)) enum h1_result
judge_overflow(struct reader *r, const struct fields *fields)
{
    return bad(r, fields->n == fields->max ? H1_TOO_MANY_FIELDS : H1_HEAD_TOO_LARGE);
}

static inline bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A value ended, but not with CRLF: cut off, or what should not be in it? */
static __attribute__((cold, noinline)) enum h1_result
judge_value(struct reader *r, const char *stop)
{
    r->at = stop;
    return read_line_end(r, H1_BAD_FIELD_VALUE);
}

/*
 * One field line at *at, which moves behind it.  Inlined, with the position in a local variable of
 * read_fields(), so that it stays in a register: each field waits for the end of the last.
 */
static inline __attribute__((always_inline)) enum h1_result
read_field(struct reader *r, const char **at, const char *end, struct fields *fields)
{
    struct slice name = {*at, 0}, value;
    const char *stop = scan_until(*at, end, SCAN_NAME);
    enum field_id id;

    name.n = (size_t) (stop - name.at);
    if (unlikely(stop == end || *stop != ':' || name.n == 0))
        return judge_name(r, name.at, stop);
    id = field_id_from(name);
    if (id == FIELD_OTHER && !chars_are(name, CHAR_TOKEN))
        return bad(r, H1_BAD_FIELD_NAME);
    value.at = stop + 1;
    while (value.at < end && is_blank(*value.at))
        value.at++;
    stop = scan_until(value.at, end, SCAN_CONTROL);
    if (unlikely(end - stop < 2 || stop[0] != '\r' || stop[1] != '\n'))
        return judge_value(r, stop);
    *at = stop + 2;
    while (stop > value.at && is_blank(stop[-1]))
        stop--;
    value.n = (size_t) (stop - value.at);
    if (unlikely(fields->present & BIT(id) & (BIT(FIELD_HOST) | BIT(FIELD_CONTENT_LENGTH))))
        return bad(r, id == FIELD_HOST ? H1_DUPLICATE_HOST : H1_REPEATED_CONTENT_LENGTH);
    if (unlikely(!fields_append(fields, name, value, id)))
        return judge_overflow(r, fields);
    return H1_DONE;
}

/* Field lines up to and with the empty line. */
static enum h1_result
read_fields(struct reader *r, struct fields *fields)
{
    const char *at = r->at, *const end = r->end;

    while (at < end && *at != '\r') {
        enum h1_result result = read_field(r, &at, end, fields);

        if (result != H1_DONE)
            return result;
    }
    r->at = at;
    return read_line_end(r, H1_BAD_LINE_END);
}

/* ------------------------------------------------------------------ what the fields mean */

struct connection_options {
    bool close, keep_alive, upgrade, malformed;
};

/* The elements of Connection are tokens, so a quote does not hide a comma. */
static void
note_options(struct connection_options *options, struct slice value)
{
    while (slice_is_present(value)) {
        struct slice token = slice_trim(slice_cut(&value, ','));

        switch ((unsigned) field_id_from(token)) {
        case FIELD_KEEP_ALIVE: options->keep_alive = true; break;
        case FIELD_UPGRADE: options->upgrade = true; break;
        case FIELD_CONTENT_LENGTH:
        case FIELD_HOST:
        case FIELD_TRANSFER_ENCODING: options->malformed = true; break;
        default: options->close |= slice_eq_nocase(token, SLICE("close")); break;
        }
    }
}

static enum h1_fault
judge_connection(struct h1_head *head)
{
    struct connection_options options = {false, false, false, false};
    const struct fields *f = &head->fields;

    for (size_t i = 0; i < f->n && fields_has(f, FIELD_CONNECTION); i++)
        if (f->at[i].id == FIELD_CONNECTION)
            note_options(&options, f->at[i].value);
    if (options.malformed)
        return H1_BAD_CONNECTION;
    head->keep_alive = !options.close && (head->minor == 1 || options.keep_alive);
    if (options.upgrade && head->minor == 1)
        head->upgrade = fields_value(f, FIELD_UPGRADE);
    return H1_OK;
}

/* Transfer-Encoding is there and is not the one word "chunked": is it some coding that we do not
 * know, or could another parser see chunked framing in it, or not see it? */
static enum h1_fault
judge_strange_coding(const struct fields *f)
{
    bool chunked = false;

    for (size_t i = 0; i < f->n; i++) {
        struct slice rest = f->at[i].value;

        if (f->at[i].id != FIELD_TRANSFER_ENCODING)
            continue;
        while (slice_is_present(rest)) {
            struct slice coding = slice_trim(slice_cut(&rest, ','));

            if (chunked || !is_token(coding))
                return H1_BAD_TRANSFER_CODING;
            chunked = slice_eq_nocase(coding, SLICE("chunked"));
        }
    }
    return H1_UNKNOWN_TRANSFER_CODING;
}

static enum h1_fault
judge_coding(struct h1_head *head)
{
    const struct fields *f = &head->fields;
    const struct field *coding = fields_get(f, FIELD_TRANSFER_ENCODING);

    if (head->minor == 0)
        return H1_BAD_TRANSFER_CODING;
    if (fields_next(f, coding, coding->name) ||
        !slice_eq_nocase(coding->value, SLICE("chunked")))
        return judge_strange_coding(f);
    head->framing = H1_CHUNKED;
    return H1_OK;
}

/* RFC 9112 6.3, where neither side gets the benefit of the doubt. */
static enum h1_fault
judge_framing(struct h1_head *head)
{
    uint64_t both = BIT(FIELD_CONTENT_LENGTH) | BIT(FIELD_TRANSFER_ENCODING);
    enum h1_fault fault = H1_OK;

    if (likely(!(head->fields.present & both)))
        return H1_OK;
    if (fields_has(&head->fields, FIELD_CONTENT_LENGTH)) {
        if (!slice_to_u64(fields_value(&head->fields, FIELD_CONTENT_LENGTH), INT64_MAX,
                          &head->length))
            return H1_BAD_CONTENT_LENGTH;
        head->framing = H1_LENGTH;
    }
    if (fields_has(&head->fields, FIELD_TRANSFER_ENCODING))
        fault = judge_coding(head);
    if (fault == H1_OK && (head->fields.present & both) == both)
        return H1_LENGTH_AND_CODING;
    return fault;
}

/* ------------------------------------------------------------------ requests */

static enum h1_result
skip_empty_line(struct reader *r)
{
    return *r->at == '\r' ? read_line_end(r, H1_BAD_LINE_END) : H1_DONE;
}

static enum h1_result
read_method(struct reader *r, struct h1_head *head)
{
    const char *start = r->at;

    while (r->at < r->end && char_is(*r->at, CHAR_TOKEN))
        r->at++;
    if (r->at == r->end)
        return H1_MORE;
    if (r->at == start || *r->at != ' ')
        return *r->at == '\r' || *r->at == '\n' ? bad(r, H1_BAD_REQUEST_LINE)
                                                : bad(r, H1_BAD_METHOD);
    head->method_token = slice_of(start, (size_t) (r->at - start));
    head->method = method_from(head->method_token);
    r->at++;
    return H1_DONE;
}

static enum h1_result
read_target(struct reader *r, const struct h1_limits *limits, struct h1_head *head)
{
    const char *stop = scan_until(r->at, r->end, SCAN_WORD);

    head->target = slice_of(r->at, (size_t) (stop - r->at));
    if (head->target.n > limits->target_bytes)
        return bad(r, H1_TARGET_TOO_LONG);
    r->at = stop;
    if (stop == r->end)
        return H1_MORE;
    if (*stop != ' ')
        return *stop == '\r' || *stop == '\n' ? bad(r, H1_BAD_REQUEST_LINE)
                                              : bad(r, H1_BAD_TARGET);
    if (head->target.n == 0)
        return bad(r, H1_BAD_REQUEST_LINE);
    r->at++;
    return H1_DONE;
}

/* RFC 9112 3.2: which of the four forms is it, and may it be?  An authority in it is the host. */
static enum h1_fault
judge_target(struct h1_head *head)
{
    struct slice scheme, rest;

    if (head->method == METHOD_CONNECT) {
        head->host = head->target;
        return authority_has_port(head->target) ? H1_OK : H1_BAD_TARGET;
    }
    if (head->target.at[0] == '/')
        return H1_OK;
    if (head->target.at[0] == '*')
        return head->target.n == 1 && head->method == METHOD_OPTIONS ? H1_OK : H1_BAD_TARGET;
    return target_split_absolute(head->target, &scheme, &head->host, &rest) ? H1_OK : H1_BAD_TARGET;
}

/* RFC 9112 3.2.2: exactly one Host in HTTP/1.1, at most one in 1.0; the target's authority wins. */
static enum h1_fault
judge_host(struct h1_head *head)
{
    struct slice host = fields_value(&head->fields, FIELD_HOST);

    if (!slice_is_present(host))
        return head->minor == 1 ? H1_NO_HOST : H1_OK;
    if (host.n && !authority_is_valid(host))
        return H1_BAD_HOST;
    if (!slice_is_present(head->host))
        head->host = host;
    return H1_OK;
}

static enum h1_result
judge_request(struct reader *r, struct h1_head *head)
{
    if ((r->fault = judge_host(head)) || (r->fault = judge_framing(head)) ||
        (r->fault = judge_connection(head)))
        return H1_BAD;
    if (unlikely(fields_has(&head->fields, FIELD_EXPECT)))
        head->expect_continue =
            head->minor == 1 && (head->framing == H1_CHUNKED || head->length > 0) &&
            fields_list_has(&head->fields, FIELD_EXPECT, SLICE("100-continue"));
    return H1_DONE;
}

static enum h1_result
read_request(struct reader *r, const struct h1_limits *limits, struct h1_head *head)
{
    enum h1_result result;

    r->when_full = H1_TARGET_TOO_LONG;
    if ((result = skip_empty_line(r)) || (result = read_method(r, head)) ||
        (result = read_target(r, limits, head)) || (result = read_version(r, &head->minor)) ||
        (result = read_line_end(r, H1_BAD_REQUEST_LINE)))
        return result;
    if ((r->fault = judge_target(head)))
        return H1_BAD;
    r->when_full = H1_HEAD_TOO_LARGE;
    if ((result = read_fields(r, &head->fields)))
        return result;
    return judge_request(r, head);
}

/* ------------------------------------------------------------------ responses */

/* " 200 OK": the space before an empty reason phrase may be missing. */
static enum h1_result
read_status(struct reader *r, struct h1_head *head)
{
    const char *p = r->at, *reason;
    size_t n = (size_t) (r->end - p);

    for (size_t i = 0; i < n && i < 4; i++)
        if (i == 0 ? p[i] != ' ' : !ascii_is_digit(p[i]))
            return bad(r, H1_BAD_STATUS_LINE);
    if (n < 5)
        return H1_MORE;
    head->status = (unsigned) ((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    if (head->status < 100 || head->status > 599)
        return bad(r, H1_BAD_STATUS_LINE);
    reason = p + 4;
    if (*reason == ' ')
        reason++;
    else if (*reason != '\r' && *reason != '\n')
        return bad(r, H1_BAD_STATUS_LINE);
    r->at = scan_until(reason, r->end, SCAN_CONTROL);
    head->reason = slice_of(reason, (size_t) (r->at - reason));
    return read_line_end(r, H1_BAD_STATUS_LINE);
}

/*
 * RFC 9112 6.3.  A server that announces content where none may be could send it all the same;
 * nobody can tell it from the next response, so that connection is not used again.  (To HEAD and in
 * a 304 the announcement is legitimate.)
 */
static void
frame_response(struct h1_head *head, enum method request)
{
    bool announced = head->framing == H1_CHUNKED || head->length > 0;
    bool silent = request == METHOD_HEAD || head->status == 304;

    if (silent || status_has_no_body(head->status) ||
        (request == METHOD_CONNECT && head->status / 100 == 2)) {
        if (announced && !silent)
            head->keep_alive = false;
        head->framing = H1_NO_BODY;
        head->length = 0;
    } else if (head->framing == H1_NO_BODY) {
        head->framing = H1_UNTIL_CLOSE;
        head->keep_alive = false;
    }
}

static enum h1_result
judge_response(struct reader *r, enum method request, struct h1_head *head)
{
    if ((r->fault = judge_framing(head)) || (r->fault = judge_connection(head)))
        return H1_BAD;
    frame_response(head, request);
    return H1_DONE;
}

static enum h1_result
read_response(struct reader *r, enum method request, struct h1_head *head)
{
    enum h1_result result;

    r->when_full = H1_HEAD_TOO_LARGE;
    if ((result = read_version(r, &head->minor)) || (result = read_status(r, head)) ||
        (result = read_fields(r, &head->fields)))
        return result;
    return judge_response(r, request, head);
}

/* ------------------------------------------------------------------ the door */

/* Member by member: clearing it in one go becomes "rep stos", which takes longer than all this. */
static void
head_init(struct h1_head *head, const struct h1_limits *limits, struct arena *arena)
{
    const struct slice absent = {NULL, 0};

    head->method = METHOD_OTHER;
    head->method_token = head->target = head->host = head->reason = head->upgrade = absent;
    head->status = head->minor = 0;
    head->framing = H1_NO_BODY;
    head->length = 0;
    head->keep_alive = head->expect_continue = false;
    fields_init(&head->fields, arena, FIRST_ROOM, limits->fields);
}

enum h1_result
h1_parse_request(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
                 struct arena *arena, struct h1_head *head, size_t *used, enum h1_fault *fault)
{
    struct slice window = slice_first(bytes, limits->head_bytes);
    struct reader r = {.at = window.at, .fault = H1_OK, .when_full = H1_TARGET_TOO_LONG};
    enum h1_result result = H1_MORE;

    if (window.n && is_worth_parsing(window, *scanned, limits->head_bytes)) {
        head_init(head, limits, arena);
        r.end = window.at + window.n;
        result = read_request(&r, limits, head);
    }
    return conclude(&r, result, window, limits->head_bytes, scanned, used, fault);
}

enum h1_result
h1_parse_response(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
                  struct arena *arena, enum method request, struct h1_head *head, size_t *used,
                  enum h1_fault *fault)
{
    struct slice window = slice_first(bytes, limits->head_bytes);
    struct reader r = {.at = window.at, .fault = H1_OK, .when_full = H1_HEAD_TOO_LARGE};
    enum h1_result result = H1_MORE;

    if (window.n && is_worth_parsing(window, *scanned, limits->head_bytes)) {
        head_init(head, limits, arena);
        r.end = window.at + window.n;
        result = read_response(&r, request, head);
    }
    return conclude(&r, result, window, limits->head_bytes, scanned, used, fault);
}

/* Whatever fields they are. */
static enum h1_result
parse_trailers(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
               struct arena *arena, struct fields *trailers, size_t *used, enum h1_fault *fault)
{
    struct slice window = slice_first(bytes, limits->head_bytes);
    struct reader r = {.at = window.at, .fault = H1_OK, .when_full = H1_HEAD_TOO_LARGE};
    enum h1_result result = H1_MORE;

    if (window.n && is_worth_parsing(window, *scanned, limits->head_bytes)) {
        fields_init(trailers, arena, 0, limits->fields);
        r.end = window.at + window.n;
        result = read_fields(&r, trailers);
    }
    return conclude(&r, result, window, limits->head_bytes, scanned, used, fault);
}

enum h1_result
h1_parse_trailers(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
                  struct arena *arena, struct fields *trailers, size_t *used, enum h1_fault *fault)
{
    enum h1_result result = parse_trailers(bytes, scanned, limits, arena, trailers, used, fault);

    if (result != H1_DONE || fields_may_trail(trailers))
        return result;
    *used = 0;
    *fault = H1_BAD_TRAILER;
    return H1_BAD;
}

enum h1_result
h1_parse_response_trailers(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
                           struct arena *arena, struct fields *trailers, size_t *used,
                           enum h1_fault *fault)
{
    enum h1_result result = parse_trailers(bytes, scanned, limits, arena, trailers, used, fault);

    if (result == H1_DONE)
        fields_remove_late(trailers);
    return result;
}
