/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/caching.h - the parts of `cache`.  Private to it.
 *
 *     cache.c         options; one request from the look-up to the answer: read this first
 *     kept.c          what is in the store for a response: head and fields as bytes
 *     cache_find.c    from a request to what is kept for it: keys, Vary, sharing a fetch
 *     cache_fetch.c   asking the origin, and what its answer means: new, confirmed, not for us
 *     cache_aside.c   the same by a child, where the client is answered before all has arrived
 *     cache_fill.c    a body on its way into the store, and to those who wait for it
 *     cache_serve.c   an answer from the store
 *     cache_pieces.c  large responses in pieces, each fetched when somebody reads as far
 *     cache_rest.c    going on alone when a shared fetch has died
 *     cache_forms.c   encoded forms beside a response (exchange/variants.h)
 *     cache_refresh.c new ones fetched in the background
 *     cache_behind.c  where they and other work go on that no client waits for
 *     cache_purge.c   letting go: PURGE requests, unsafe methods
 *     cache_stores.c  the stores that a configuration names
 *
 * The rules of HTTP are in http/cache_*.h, keeping bytes in store/store.h.
 */
#ifndef MIDDLEWARE_CACHE_CACHING_H
#define MIDDLEWARE_CACHE_CACHING_H

#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "http/cache_rules.h"
#include "http/cache_status.h"
#include "runtime/fiber.h"
#include "store/store.h"

/* Of each worker; others may look. */
struct caching_counts {
    uint64_t hits, stale, shared, misses, passed, confirmed, excused, stored, refreshed, purged;
    uint64_t pieces; /* fetched, without those that came with a head */
    uint64_t hit_bytes;
    uint64_t saved_us; /* that the origin took when it answered what was then served again */
};

struct cache_ttl {
    struct slice status; /* or "4xx" */
    uint64_t     fresh_us;
};

struct caching {
    /* Options: */
    struct slice       store_name;
    struct template   *key;          /* NULL: scheme, authority and target */
    struct option_list defaults;     /* struct cache_ttl */
    struct option_list targets;      /* of struct slice */
    uint64_t           heuristic;    /* millionths */
    uint64_t           heuristic_max_us, while_revalidate_us, if_error_us, pass_us, wait_us;
    uint64_t           piece_bytes;  /* 0: all is fetched whole */
    uint64_t           far_bytes;    /* a range that begins behind does not wait for a whole */
    bool               ignore_requests, share_cookies, strict_paths, tell, tell_key;
    struct option_list purgers;      /* of struct network */
    /* Made of them: */
    struct cache_rules       rules;
    uint64_t                 far_piece_bytes; /* of what is begun far behind; 0: no pieces */
    struct store            *store;
    struct middleware_keeper keeper;
    struct caching_counts   *workers; /* WORKERS_MAX */
};

/* Of the calling worker. */
struct caching_counts *caching_counts(const struct caching *c);

/* ------------------------------------------------------------------ kept.c */

enum kept_kind {
    KEPT_RESPONSE,
    KEPT_VARY, /* stands at the URI's own key: responses differ by the fields that its text names */
    KEPT_PASS, /* what comes from there is not for the store, for a while */
};

/* A response in pieces.  The first is the body of the object that has the head, the others are
 * objects of their own. */
struct cache_cut {
    uint64_t total;       /* bytes of the whole; 0: it is not in pieces */
    uint64_t piece_bytes; /* of each but the last */
    uint64_t generation;  /* drawn by lot: other versions, and fetches after a purge, have others;
                           * of a KEPT_VARY: in the keys of its variants */
};

/* The head of an object, as its store has it.  Fields and text follow. */
struct kept {
    uint32_t          format;
    uint8_t           kind; /* enum kept_kind */
    uint8_t           version; /* of the origin's message, for Via */
    uint16_t          status;
    uint32_t          fields_n;
    uint32_t          text_n;
    uint32_t          took_us; /* the origin's time for it */
    uint32_t          unused2;
    uint64_t          process; /* whose monotonic clock the life is on */
    struct cache_life life;
    struct cache_cut  cut;
};

/* NULL: not one that this program wrote. */
const struct kept *kept_of(const struct store_object *o);
/* Of the whole, as store_length(). */
int64_t kept_length(const struct store_object *o, const struct kept *k);
/* On this process's clock; over when the object was softly purged. */
void kept_life(const struct store_object *o, const struct kept *k, struct cache_life *life);
/* The names of a KEPT_VARY. */
struct slice kept_text(const struct kept *k);
/* Copies into the fields' arena; false: no room. */
bool kept_fields(const struct kept *k, struct fields *out);
/* fields: those that `said` lets be kept are written; NULL for none. */
bool kept_write(struct kept *k, const struct fields *fields, const struct cache_control *said,
                struct slice text, struct text *out);

/* ------------------------------------------------------------------ one request */

struct visit {
    const struct caching    *c;
    const struct middleware *self;
    struct exchange         *x;
    struct cache_control     asked;
    struct store_key         primary; /* of the URI */
    struct store_key         key;     /* with Vary's */
    struct slice             names;   /* that Vary listed; absent: none */
    struct store_object     *found;   /* held; a response */
    struct store_object     *fresh;   /* held; ours to fill */
    struct cache_life        life;    /* of found */
    struct cache_times       times;
    struct fields            cookies; /* that a 304 set: for this client alone */
    struct cache_status      told;
    struct cache_cut         cut;     /* of what was fetched */
    struct store_moment      moment;  /* when that began, if `fresh` was not there yet */
    uint64_t                 piece_bytes; /* what is fetched comes in pieces; 0: whole */
    bool                     far;     /* or as the client asked, if not in pieces */
    bool                     unfit;   /* not in pieces, it has turned out */
    bool                     again;   /* it has begun anew, which happens once */
    bool                     fill;    /* a miss may be ours to fill, while others wait */
    bool                     keep;    /* what is fetched may be kept, though nobody waits for it */
    bool                     odd;     /* its host is: what is fetched is not for others */
};

enum cache_found {
    CACHE_FOUND,   /* v->found */
    CACHE_NOTHING, /* fetch it; into v->fresh if that is there */
    CACHE_PASS,    /* known not to be for the store: fetch it as the client asked */
    CACHE_GONE,    /* the client has left */
};

/* The key of the URI; false: no memory. */
bool cache_find_begin(struct visit *v);
/* The key of another URI of the same origin, where no option `key` says what keys are made of. */
struct store_key cache_find_key(const struct visit *v, struct slice path, struct slice query);
/* "host/path?query", which purges by prefix compare; absent: no memory. */
struct slice cache_find_uri(const struct visit *v);
/* Its host is not spelt as keys have it: "EXAMPLE.com", "example.com.".  It finds what is kept for
 * that host, but servers are told the host as it came, and may write it into links or take it for
 * another one: what they answer is not for others. */
bool cache_find_host_is_odd(const struct exchange *x);
enum cache_found cache_find(struct visit *v);
/* v->found is to be fetched anew: ours to do (CACHE_NOTHING), or v->found is now what somebody else
 * has fetched meanwhile (CACHE_FOUND). */
enum cache_found cache_find_anew(struct visit *v);

/* v->key for a request whose responses differ by these names; false: no memory, or its fields are
 * too long. */
bool cache_find_variant(struct visit *v, struct slice names, uint64_t generation);
/* A response that was fetched without looking: v->fresh, if nobody else fetches one. */
bool cache_find_place(struct visit *v);
/* Such a fetch begins: what is purged from now on finds no place. */
void cache_find_moment(struct visit *v);

enum cache_fetched {
    CACHE_FETCHED_PASS,    /* x->response goes on to the client as it is */
    CACHE_FETCHED_PIECE,   /* x->response is the first piece of what cannot be kept, or not in
                            * pieces: of no use */
    CACHE_FETCHED_NEW,     /* v->fresh is published, and x->response.body to be pulled into it */
    CACHE_FETCHED_ASIDE,   /* v->fresh is published, and being filled by somebody else */
    CACHE_FETCHED_RENEWED, /* v->found is complete, confirmed, and fresh again */
    CACHE_FETCHED_EXCUSED, /* v->found is stale, but better than an error */
};

/* Asks the origin with run(v), under conditions when v->found is there. */
enum cache_fetched cache_fetch(struct visit *v, void (*run)(struct visit *v));
/* The request has conditions or ranges, which may be answered before all has arrived. */
bool cache_aside_wanted(const struct visit *v);
/* cache_fetch() by a child, whose answer x->response becomes; false: no memory, nothing was
 * done. */
bool cache_fetch_aside(struct visit *v, enum cache_fetched *fetched);
/* What comes from there is known not to be fit for pieces. */
bool cache_fetch_is_unfit(const struct visit *v);
/* An answer that nobody looked for in the store: may it, and can it, be kept?  v->fresh then. */
enum cache_fetched cache_fetch_take(struct visit *v);

/* x->response.body goes into `o` (a reference of its own), as fast as it comes.  Once that is done,
 * or when it has to wait for more, on a fiber of its own: *filling is what cache_serve() needs;
 * NULL: complete. */
struct cache_filling;
bool cache_fill(struct exchange *x, struct store_object *o, struct cache_filling **filling);
/* As much as is there already, and not many more bytes than those; true: that was all, and *b is
 * closed. */
bool cache_fill_some(struct body **b, struct store_object *o, size_t bytes);
/* All of it, on this fiber to the end. */
void cache_fill_here(struct body *b, struct store_object *o);
/* The rest of what is filled, directly: bytes from `offset` on, which the store did not take. */
enum err cache_filling_next(struct cache_filling *f, uint64_t offset, struct slice *chunk);
/* What has arrived from the origin ends more than `far` before the offset; a disk is fast. */
bool cache_fill_is_far(struct store_object *o, uint64_t offset, uint64_t far);
/* Waits until nobody needs the exchange any more. */
void cache_filling_end(struct cache_filling *f);

/* What says that bytes are of one version: a strong validator (RFC 9110 8.8.1). */
struct cache_version {
    enum field_id id; /* ETag or Last-Modified */
    struct slice  value;
};

/* Lent from the fields.  false: they have none. */
bool cache_version_of(const struct fields *response, struct cache_version *version);
bool cache_version_is(const struct cache_version *version, const struct fields *response);
/* A request for some bytes of that version, or all of another: Range, If-Range; copied. */
bool cache_version_ask(const struct cache_version *version, struct exchange *x, struct slice range);

/* The rest of o, from an offset on, for who shared a fetch that died; has_it: all before the offset
 * is in o.  NULL: it cannot be had.  ERR_RESET: it turned out to be something else. */
struct cache_rest;
struct cache_rest *cache_rest(struct exchange *x, const struct caching *c,
                              const struct middleware *self, uint64_t offset,
                              struct store_object *o, bool has_it);
enum err cache_rest_next(struct cache_rest *r, struct slice *chunk);
void cache_rest_end(struct cache_rest *r);

/* Asks for the first piece instead of the whole; false: no memory. */
bool cache_pieces_ask(struct visit *v);
/* What came for that is a 206: x->response is made the whole one's, of which v->cut says what is
 * there.  false: it is of no use. */
bool cache_pieces_take(struct visit *v);

/* One reader of a response in pieces; lies in the exchange's arena. */
struct cache_pieces;
/* first: the object with the head, lent until the end.  NULL: it cannot be read so. */
struct cache_pieces *cache_pieces(const struct visit *v, struct store_object *first,
                                  const struct cache_cut *cut);
/* Bytes from `offset` up to `end` will be read.  Waits until they are known to be of this version;
 * ERR_REFUSED: they are not; ERR_RESET: they cannot be had so. */
enum err cache_pieces_open(struct cache_pieces *p, uint64_t offset, uint64_t end);
enum err cache_pieces_next(struct cache_pieces *p, uint64_t offset, struct slice *chunk);
/* It will not wait for them. */
bool cache_pieces_ready(const struct cache_pieces *p, uint64_t offset);
void cache_pieces_end(struct cache_pieces *p);

/* Answers from the object, whose reference it takes over.  false: what is kept is of a version that
 * the origin has no more; nothing is answered but an error, and looking again finds another. */
bool cache_serve(struct visit *v, struct store_object *o, struct cache_filling *filling);
/* Cache-Status of an answer that goes through. */
void cache_serve_status(struct visit *v);

/* run(arg) on a fiber of its own, which the end of the process cancels; false: no memory. */
bool cache_behind(const char *name, fiber_run_f *run, void *arg);

/* Fetches v->found anew in the background, into v->fresh, which it takes over. */
void cache_refresh(struct visit *v);

/* A request to let go; answers it. */
bool cache_purge_wanted(const struct caching *c, const struct exchange *x);
void cache_purge(struct visit *v);
/* After an answer to an unsafe method. */
void cache_purge_after(struct visit *v);
/* The tag of all variants of a URI. */
uint64_t cache_purge_variants(struct store_key primary);
/* The tag of all that is kept of "host/path?query", by whatever key. */
uint64_t cache_purge_uri(struct slice uri);
/* The tag of a group of that host. */
uint64_t cache_purge_group(struct slice host, struct slice group);

/* NULL: no forms can be kept. */
struct variants *cache_forms(struct visit *v, struct store_object *o);

#endif
