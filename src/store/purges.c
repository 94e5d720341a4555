/* SPDX-License-Identifier: Apache-2.0 */
/* store/purges.c - rules by tag in a hash table, by prefix in an array. */
#include "store/purges.h"

#include "base/check.h"

#include <stdlib.h>

enum { TAGS_LEAST = 64, PREFIXES_STEP = 16 };

void
purges_init(struct purges *p)
{
    *p = (struct purges){.epoch = 1};
    pthread_mutex_init(&p->lock, NULL);
}

static void
free_prefixes(struct purges *p)
{
    while (p->prefixes_n)
        free((void *) p->prefixes[--p->prefixes_n].prefix.at);
    free(take(&p->prefixes));
}

static void
free_tags(struct purges *p)
{
    free(take(&p->tags));
    p->tags_n = p->tags_room = 0;
}

void
purges_exit(struct purges *p)
{
    free_tags(p);
    free_prefixes(p);
    pthread_mutex_destroy(&p->lock);
}

/* ------------------------------------------------------------------ adding */

static void
note(struct purge_epochs *at, uint64_t epoch, bool soft)
{
    uint64_t *newest = soft ? &at->soft : &at->hard;

    if (epoch > *newest)
        *newest = epoch;
}

static inline bool
is_gone(struct purge_epochs at, uint64_t until)
{
    return at.hard <= until && at.soft <= until;
}

/* Where that tag stands, or would stand. */
static struct purge_tag *
find_tag(const struct purges *p, uint64_t tag)
{
    size_t i = (tag ^ tag >> 32) & (p->tags_room - 1);

    while (!is_gone(p->tags[i].at, 0) && p->tags[i].tag != tag)
        i = (i + 1) & (p->tags_room - 1);
    return &p->tags[i];
}

/* Into a table of so many, without those that are gone. */
static bool
move_tags(struct purges *p, size_t room, uint64_t until)
{
    struct purge_tag *before = p->tags;
    size_t before_room = p->tags_room;
    struct purge_tag *table = calloc(room, sizeof(*table));

    if (!table)
        return false;
    p->tags = table;
    p->tags_room = room;
    p->tags_n = 0;
    for (size_t i = 0; i < before_room; i++)
        if (!is_gone(before[i].at, until)) {
            *find_tag(p, before[i].tag) = before[i];
            p->tags_n++;
        }
    free(before);
    return true;
}

static bool
add_tag(struct purges *p, uint64_t tag, uint64_t epoch, bool soft)
{
    struct purge_tag *at;

    if (p->tags_n * 2 >= p->tags_room &&
        !move_tags(p, p->tags_room ? p->tags_room * 2 : TAGS_LEAST, 0))
        return false;
    at = find_tag(p, tag);
    if (is_gone(at->at, 0)) {
        if (p->tags_n == PURGES_TAGS_MAX)
            return false;
        at->tag = tag;
        p->tags_n++;
    }
    note(&at->at, epoch, soft);
    return true;
}

static struct purge_prefix *
new_prefix(struct purges *p, struct slice prefix)
{
    struct purge_prefix *more;
    char *copy;

    if (p->prefixes_n == PURGES_PREFIXES_MAX)
        return NULL;
    if (p->prefixes_n % PREFIXES_STEP == 0) {
        more = realloc(p->prefixes, (p->prefixes_n + PREFIXES_STEP) * sizeof(*more));
        if (!more)
            return NULL;
        p->prefixes = more;
    }
    copy = malloc(prefix.n + 1);
    if (!copy)
        return NULL;
    if (prefix.n)
        memcpy(copy, prefix.at, prefix.n);
    p->prefixes[p->prefixes_n] = (struct purge_prefix){.prefix = slice_of(copy, prefix.n)};
    return &p->prefixes[p->prefixes_n++];
}

static bool
add_prefix(struct purges *p, struct slice prefix, uint64_t epoch, bool soft)
{
    struct purge_prefix *at = NULL;

    for (size_t i = 0; i < p->prefixes_n && !at; i++)
        if (slice_eq(p->prefixes[i].prefix, prefix))
            at = &p->prefixes[i];
    if (!at)
        at = new_prefix(p, prefix);
    if (at)
        note(&at->at, epoch, soft);
    return at != NULL;
}

static uint64_t
begin(struct purges *p)
{
    pthread_mutex_lock(&p->lock);
    return atomic_load_explicit(&p->epoch, memory_order_relaxed) + 1;
}

/* Only now somebody can see that there is something new. */
static uint64_t
end(struct purges *p, uint64_t epoch, bool fits, bool soft)
{
    if (!fits)
        note(&p->all, epoch, soft);
    if (epoch > atomic_load_explicit(&p->epoch, memory_order_relaxed))
        atomic_store_explicit(&p->epoch, epoch, memory_order_release);
    pthread_mutex_unlock(&p->lock);
    return epoch;
}

uint64_t
purges_add_tag(struct purges *p, uint64_t tag, bool soft)
{
    uint64_t epoch = begin(p);

    return end(p, epoch, add_tag(p, tag, epoch, soft), soft);
}

uint64_t
purges_add_prefix(struct purges *p, struct slice prefix, bool soft)
{
    uint64_t epoch = begin(p);

    return end(p, epoch, add_prefix(p, prefix, epoch, soft), soft);
}

uint64_t
purges_add_all(struct purges *p, bool soft)
{
    return end(p, begin(p), false, soft);
}

/* ------------------------------------------------------------------ written down, and read */

void
purges_restore(struct purges *p, const struct purge_rule *rule)
{
    bool fits = false;

    (void) begin(p);
    switch (rule->kind) {
    case PURGE_TAG: fits = add_tag(p, rule->tag, rule->epoch, rule->soft); break;
    case PURGE_PREFIX: fits = add_prefix(p, rule->prefix, rule->epoch, rule->soft); break;
    case PURGE_ALL: break;
    }
    end(p, rule->epoch, fits, rule->soft);
}

void
purges_advance(struct purges *p, uint64_t epoch)
{
    (void) begin(p);
    end(p, epoch, true, false);
}

/* A hard and a soft one may stand at the same place. */
static void
see_both(void (*see)(void *arg, const struct purge_rule *rule), void *arg,
         struct purge_rule rule, const struct purge_epochs *at)
{
    for (unsigned soft = 0; soft < 2; soft++) {
        rule.soft = soft != 0;
        rule.epoch = soft ? at->soft : at->hard;
        if (rule.epoch)
            see(arg, &rule);
    }
}

void
purges_each(struct purges *p, void (*see)(void *arg, const struct purge_rule *rule), void *arg)
{
    struct purge_rule rule = {.kind = PURGE_ALL};

    pthread_mutex_lock(&p->lock);
    see_both(see, arg, rule, &p->all);
    rule.kind = PURGE_TAG;
    for (size_t i = 0; i < p->tags_room; i++) {
        rule.tag = p->tags[i].tag;
        see_both(see, arg, rule, &p->tags[i].at);
    }
    rule = (struct purge_rule){.kind = PURGE_PREFIX};
    for (size_t i = 0; i < p->prefixes_n; i++) {
        rule.prefix = p->prefixes[i].prefix;
        see_both(see, arg, rule, &p->prefixes[i].at);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ------------------------------------------------------------------ measuring */

static void
apply(enum verdict *verdict, const struct purge_epochs *at, uint64_t since)
{
    if (at->hard > since)
        *verdict = VERDICT_HARD;
    else if (at->soft > since && *verdict == VERDICT_KEEP)
        *verdict = VERDICT_SOFT;
}

enum verdict
purges_measure(struct purges *p, const struct purge_facts *facts, uint64_t since, uint64_t *now)
{
    enum verdict verdict = VERDICT_KEEP;

    pthread_mutex_lock(&p->lock);
    *now = atomic_load_explicit(&p->epoch, memory_order_relaxed);
    /* The sweep has missed it, and nobody knows any more what it missed. */
    if (since < p->forgot)
        verdict = VERDICT_HARD;
    apply(&verdict, &p->all, since);
    if (p->tags_n)
        for (size_t i = 0; i < facts->tags_n; i++)
            apply(&verdict, &find_tag(p, facts->tags[i])->at, since);
    for (size_t i = 0; i < p->prefixes_n; i++)
        if (slice_starts(facts->path, p->prefixes[i].prefix))
            apply(&verdict, &p->prefixes[i].at, since);
    pthread_mutex_unlock(&p->lock);
    return verdict;
}

/* ------------------------------------------------------------------ forgetting */

static void
forget_tags(struct purges *p, uint64_t until)
{
    size_t left = 0, room = TAGS_LEAST;

    for (size_t i = 0; i < p->tags_room; i++)
        left += !is_gone(p->tags[i].at, until);
    if (left == 0) {
        free_tags(p);
        return;
    }
    while (room < left * 2)
        room *= 2;
    /* Out of memory: they stay, which harms nobody. */
    if (left < p->tags_n)
        (void) move_tags(p, room, until);
}

static void
forget_prefixes(struct purges *p, uint64_t until)
{
    size_t left = 0;

    for (size_t i = 0; i < p->prefixes_n; i++)
        if (is_gone(p->prefixes[i].at, until))
            free((void *) p->prefixes[i].prefix.at);
        else
            p->prefixes[left++] = p->prefixes[i];
    p->prefixes_n = left;
    if (left == 0)
        free(take(&p->prefixes));
}

void
purges_forget(struct purges *p, uint64_t until)
{
    pthread_mutex_lock(&p->lock);
    if (until > p->forgot)
        p->forgot = until;
    if (is_gone(p->all, until))
        p->all = (struct purge_epochs){0};
    forget_tags(p, until);
    forget_prefixes(p, until);
    pthread_mutex_unlock(&p->lock);
}

bool
purges_any(struct purges *p)
{
    bool any;

    pthread_mutex_lock(&p->lock);
    any = p->tags_n || p->prefixes_n || !is_gone(p->all, 0);
    pthread_mutex_unlock(&p->lock);
    return any;
}

size_t
purges_tags(struct purges *p)
{
    size_t n;

    pthread_mutex_lock(&p->lock);
    n = p->tags_n;
    pthread_mutex_unlock(&p->lock);
    return n;
}
