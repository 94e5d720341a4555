/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/regex.c - regular expressions: PCRE2, compiled with its JIT where the machine allows.
 *
 * What a match needs (match data, limits, the JIT's stack: a fiber's own would be too small) is
 * kept once for each thread; matching never waits, so that no fiber sees another one's.  A subject
 * that would take more steps than the limit does not match: a pattern must not be able to stop a
 * worker.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/check.h"
#include "exchange/expr.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PATTERN_MAX = 4096,
    GROUPS_MAX = 64,      /* more may be in a pattern; these can be referred to */
    MATCH_STEPS = 100000, /* about a millisecond */
    DEPTH_MAX = 2000,
    HEAP_KIB = 1024, /* without JIT */
    JIT_STACK_FIRST = 64 * 1024,
    JIT_STACK_MAX = 512 * 1024,
};

struct regex {
    pcre2_code  *code;
    struct slice source;
};

/* ------------------------------------------------------------------ for each thread */

struct matcher {
    pcre2_match_data    *data;
    pcre2_match_context *context;
    pcre2_jit_stack     *stack; /* NULL: no JIT here */
};

static _Thread_local struct matcher *own_matcher;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void
free_matcher(void *matcher)
{
    struct matcher *m = matcher;

    pcre2_jit_stack_free(m->stack);
    pcre2_match_context_free(m->context);
    pcre2_match_data_free(m->data);
    free(m);
    own_matcher = NULL;
}

static void
make_key(void)
{
    CHECK(pthread_key_create(&key, free_matcher) == 0);
}

static struct matcher *
make_matcher(void)
{
    struct matcher *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->data = pcre2_match_data_create(GROUPS_MAX, NULL);
    m->context = pcre2_match_context_create(NULL);
    m->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    pthread_once(&key_once, make_key);
    if (!m->data || !m->context || pthread_setspecific(key, m) != 0) {
        free_matcher(m);
        return NULL;
    }
    pcre2_set_match_limit(m->context, MATCH_STEPS);
    pcre2_set_depth_limit(m->context, DEPTH_MAX);
    pcre2_set_heap_limit(m->context, HEAP_KIB);
    if (m->stack)
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return m;
}

/* What is absent is as good as empty here. */
static struct slice
present(struct slice s)
{
    return s.at ? s : SLICE("");
}

/* How many groups were set, at least 1; 0: no match. */
static size_t
run(const struct regex *r, struct slice subject, size_t **groups)
{
    struct matcher *m = own_matcher ? own_matcher : (own_matcher = make_matcher());
    int n;

    if (!m)
        return 0;
    subject = present(subject);
    n = pcre2_match(r->code, (PCRE2_SPTR) subject.at, subject.n, 0, 0, m->data, m->context);
    *groups = pcre2_get_ovector_pointer(m->data);
    if (n == 0)
        return GROUPS_MAX; /* more groups than there is room for */
    return n < 0 ? 0 : (size_t) n;
}

/* ------------------------------------------------------------------ compiling */

static pcre2_code *
compile(struct slice pattern, int *number, size_t *offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_code *code;

    *number = PCRE2_ERROR_NOMEMORY;
    if (!context)
        return NULL;
    pcre2_set_max_pattern_length(context, PATTERN_MAX);
    pcre2_set_parens_nest_limit(context, 50);
    /* `$` is the end and nothing else: a final newline must not slip past a check. */
    code = pcre2_compile((PCRE2_SPTR) present(pattern).at, pattern.n,
                         PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
                             PCRE2_NEVER_BACKSLASH_C,
                         number, offset, context);
    pcre2_compile_context_free(context);
    return code;
}

struct regex *
regex_compile(struct slice pattern, char *error, size_t error_room, size_t *error_offset)
{
    struct regex *r = calloc(1, sizeof(*r) + pattern.n);
    char *copy = (char *) (r + 1);
    int number = PCRE2_ERROR_NOMEMORY;

    *error_offset = 0;
    if (r)
        r->code = compile(pattern, &number, error_offset);
    if (!r || !r->code) {
        if (error_room)
            pcre2_get_error_message(number, (PCRE2_UCHAR *) error, error_room);
        free(r);
        return NULL;
    }
    if (pattern.n)
        memcpy(copy, pattern.at, pattern.n);
    r->source = slice_of(copy, pattern.n);
    /* Where memory may not become executable this fails, and the interpreter does the work. */
    (void) pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    return r;
}

void
regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

struct slice
regex_source(const struct regex *r)
{
    return r->source;
}

bool
regex_matches(const struct regex *r, struct slice subject)
{
    size_t *groups;

    return run(r, subject, &groups) != 0;
}

/* ------------------------------------------------------------------ replacing */

struct match {
    const struct regex *regex;
    struct slice        subject;
    const size_t       *groups; /* start and end of each */
    size_t              n;
};

/* Where a replacement is written; at NULL: only measured. */
struct sink {
    char  *at;
    size_t n;
};

static void
put(struct sink *s, struct slice bytes)
{
    if (s->at && bytes.n)
        memcpy(s->at + s->n, bytes.at, bytes.n);
    s->n += bytes.n;
}

static void
put_group(struct sink *s, const struct match *m, size_t group)
{
    size_t start, end;

    if (group >= m->n || m->groups[2 * group] == PCRE2_UNSET)
        return;
    start = m->groups[2 * group];
    end = m->groups[2 * group + 1];
    if (start <= end) /* \K can turn them round */
        put(s, slice_of(m->subject.at + start, end - start));
}

static size_t
group_number(const struct match *m, struct slice name)
{
    char text[33];
    uint64_t number;
    int found;

    if (slice_to_u64(name, GROUPS_MAX, &number))
        return (size_t) number;
    if (name.n >= sizeof(text))
        return SIZE_MAX;
    memcpy(text, name.at, name.n);
    text[name.n] = '\0';
    found = pcre2_substring_number_from_name(m->regex->code, (PCRE2_SPTR) text);
    return found > 0 ? (size_t) found : SIZE_MAX;
}

/* Expands the reference whose `$` stands at the start of s; how many bytes it takes. */
static size_t
put_reference(struct sink *out, const struct match *m, struct slice s)
{
    size_t close;

    if (s.n >= 2 && ascii_is_digit(s.at[1])) {
        put_group(out, m, (size_t) (s.at[1] - '0'));
        return 2;
    }
    close = s.n >= 2 && s.at[1] == '{' ? slice_find(s, '}') : SLICE_NOT_FOUND;
    if (close != SLICE_NOT_FOUND) {
        put_group(out, m, group_number(m, slice_of(s.at + 2, close - 2)));
        return close + 1;
    }
    put(out, SLICE("$"));
    return s.n >= 2 && s.at[1] == '$' ? 2 : 1;
}

static void
put_replacement(struct sink *out, const struct match *m, struct slice replacement)
{
    while (replacement.n) {
        size_t text = slice_find(replacement, '$');

        if (text == SLICE_NOT_FOUND)
            text = replacement.n;
        put(out, slice_first(replacement, text));
        replacement = slice_from(replacement, text);
        if (replacement.n)
            replacement = slice_from(replacement, put_reference(out, m, replacement));
    }
}

static void
put_whole(struct sink *out, const struct match *m, struct slice replacement)
{
    size_t start = m->groups[0], end = m->groups[1];

    put(out, slice_first(m->subject, start));
    put_replacement(out, m, replacement);
    put(out, slice_from(m->subject, end > start ? end : start));
}

struct slice
regex_replace(const struct regex *r, struct slice subject, struct slice replacement,
              struct arena *arena)
{
    struct sink measured = {NULL, 0}, written = {NULL, 0};
    struct match m = {.regex = r, .subject = present(subject)};
    size_t *groups = NULL;

    m.n = run(r, subject, &groups);
    if (m.n == 0)
        return (struct slice){NULL, 0};
    m.groups = groups;
    replacement = present(replacement);
    put_whole(&measured, &m, replacement);
    written.at = arena_alloc(arena, measured.n + 1);
    if (!written.at)
        return (struct slice){NULL, 0};
    put_whole(&written, &m, replacement);
    return slice_of(written.at, written.n);
}
