/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/cache_control.c - the fields that caches read, in a request and the response to it.
 *
 * The input is a status (one byte), then lines "Name: value", an empty line, and the response's.
 * Whatever they say: what may be kept is what the directives allow, and time only makes it older.
 */
#include "base/check.h"
#include "http/cache_rules.h"
#include "http/cache_status.h"
#include "http/cache_tags.h"
#include "http/cache_target.h"
#include "http/cache_vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 784111777, SECOND_US = 1000000, START_US = 5 * SECOND_US };

static const struct slice targets[] = {SLICE_INIT("CDN-Cache-Control")};

/* Up to an empty line; what an HTTP parser would not let in is left out. */
static void
read_fields(struct slice *rest, struct arena *arena, struct fields *f)
{
    fields_init(f, arena, 0, 64);
    while (slice_is_present(*rest)) {
        struct slice value = slice_cut(rest, '\n'), name;

        if (value.n == 0)
            return;
        name = slice_cut(&value, ':');
        value = slice_trim(value);
        if (is_token(name) && is_field_value(value))
            fields_add_named(f, name, value);
    }
}

static void
check_span(int64_t seconds)
{
    CHECK(seconds >= CACHE_UNSAID && seconds <= CACHE_SECONDS_MAX);
}

static void
check_directives(const struct cache_control *cc)
{
    check_span(cc->max_age_s);
    check_span(cc->s_maxage_s);
    check_span(cc->stale_while_revalidate_s);
    check_span(cc->stale_if_error_s);
    check_span(cc->min_fresh_s);
    check_span(cc->max_stale_s);
}

static void
check_refusal(const struct cache_rules *rules, const struct cache_pair *pair)
{
    const struct cache_control *said = pair->said;

    if (cache_refuses(rules, pair, NOW_S) != CACHE_MAY_STORE)
        return;
    CHECK(!cache_control_says(said, CACHE_PRIVATE));
    CHECK(!cache_control_says(said, CACHE_NO_STORE) ||
          cache_control_says(said, CACHE_MUST_UNDERSTAND));
    CHECK(!cache_control_says(pair->asked, CACHE_NO_STORE));
    CHECK(pair->status >= 200 && pair->status != 206 && pair->status != 304);
}

/* Fresh, then perhaps stale and useful, then the origin is asked; never back. */
static void
check_life(const struct cache_rules *rules, const struct cache_pair *pair)
{
    struct cache_times times = {START_US - SECOND_US, START_US, NOW_S};
    struct cache_life life;
    int64_t age_s = -1, ttl_s = INT64_MAX;
    bool asked_before = false;

    cache_life_of(rules, pair, &times, &life);
    for (uint64_t us = START_US; us < (uint64_t) 1 << 53; us = us * 5 / 2) {
        struct cache_decision d = cache_decide(rules, &life, pair->asked, us);
        bool asks = d.use == CACHE_VALIDATE || d.use == CACHE_UNAVAILABLE;

        CHECK(cache_age_s(&life, us) >= age_s && cache_ttl_s(&life, us) <= ttl_s);
        age_s = cache_age_s(&life, us);
        ttl_s = cache_ttl_s(&life, us);
        CHECK(d.use != CACHE_SERVE || ttl_s >= 0);
        CHECK(!life.always_validate || asks);
        CHECK(!asked_before || asks);
        asked_before = asks;
        if (life.never_stale && life.if_error_s == 0 && ttl_s < 0)
            CHECK(!cache_may_excuse(rules, &life, pair->asked, us));
    }
    cache_life_end(&life, START_US);
    CHECK(cache_decide(rules, &life, pair->asked, START_US).use != CACHE_SERVE);
}

/* The same fields give the same key, however often they are asked; the names are in order. */
static void
check_vary(const struct fields *request, const struct fields *response)
{
    char names_memory[CACHE_VARY_NAMES_BYTES], first_memory[512], second_memory[512];
    struct text names, first, second;
    struct slice rest, name, last = {NULL, 0};

    text_fixed(&names, names_memory, sizeof(names_memory));
    if (cache_vary_names(response, &names) != CACHE_VARY_NAMED)
        return;
    for (rest = text_slice(&names); slice_is_present(rest); last = name) {
        name = slice_cut(&rest, ',');
        CHECK(is_token(name) && slice_compare(last, name) < 0);
    }
    text_fixed(&first, first_memory, sizeof(first_memory));
    text_fixed(&second, second_memory, sizeof(second_memory));
    cache_vary_key(text_slice(&names), request, &first);
    cache_vary_key(text_slice(&names), request, &second);
    CHECK(slice_eq(text_slice(&first), text_slice(&second)) && first.full == second.full);
}

/* What a reference resolves to is a target in normal form, which resolves to itself. */
static void
check_target(struct slice reference, struct arena *arena)
{
    static const struct cache_origin origin = {SLICE_INIT("http"), SLICE_INIT("a.example"), 0};
    struct target base;
    struct slice once, twice;

    CHECK(target_parse(SLICE("/b/c;d=1?e"), false, false, arena, &base) == OK);
    once = cache_target_resolve(&origin, &base, reference, arena);
    if (!slice_is_present(once))
        return;
    CHECK(once.n && once.at[0] == '/');
    twice = cache_target_resolve(&origin, &base, once, arena);
    CHECK(!slice_is_present(twice) || slice_eq(once, twice));
    if (target_parse(once, false, false, arena, &base) == OK)
        cache_target_refuses(&base, 200, reference);
}

static bool
check_tag(void *n, struct slice tag)
{
    CHECK(tag.n && tag.n <= CACHE_TAG_BYTES_MAX);
    return ++*(size_t *) n < CACHE_TAGS_MAX;
}

static void
check_update(const struct cache_pair *pair, struct arena *arena)
{
    struct fields out, request;

    fields_init(&out, arena, 0, 128);
    if (cache_update(pair->request, pair->response, pair->said, &out))
        CHECK(out.n <= pair->request->n + pair->response->n);
    fields_init(&request, arena, 0, 128);
    CHECK(cache_conditions_set(&request, pair->response) == (request.n != 0));
    cache_conditions_drop(&request);
    CHECK(request.n == 0);
    cache_confirms(pair->request, pair->response);
}

static void
check_status(struct slice detail)
{
    struct cache_status s = {.name = SLICE("a"), .detail = detail};
    char memory[8192];
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    cache_status_write(&s, &out);
    for (size_t i = 0; i < out.n; i++)
        CHECK(out.at[i] >= 0x20 && out.at[i] < 0x7F);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cache_rules rules = {
        .targets = targets, .targets_n = 1, .heuristic_percent = 10, .heuristic_max_s = 86400};
    struct slice rest = slice_of((const char *) data + (size > 0), size - (size > 0));
    struct arena arena;
    struct fields request, response;
    struct cache_control asked, said;
    struct cache_pair pair = {METHOD_GET, 200 + (size ? data[0] : 0), &request, &response, &asked,
                              &said};
    size_t tags = 0;

    arena_init(&arena, NULL, 0, 1u << 20);
    read_fields(&rest, &arena, &request);
    read_fields(&rest, &arena, &response);
    cache_control_of_request(&request, &asked);
    cache_control_of_response(&response, targets, 1, &said);
    check_directives(&asked);
    check_directives(&said);
    check_refusal(&rules, &pair);
    check_life(&rules, &pair);
    check_vary(&request, &response);
    check_target(fields_value(&response, FIELD_LOCATION), &arena);
    check_status(fields_value(&response, FIELD_LOCATION));
    CHECK(cache_tags_each(&response, check_tag, &tags) == tags);
    cache_groups_each(&response, check_tag, &tags);
    check_update(&pair, &arena);
    arena_free(&arena);
    return 0;
}
