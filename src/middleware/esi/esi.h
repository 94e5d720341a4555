/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/esi.h - pages made of fragments, on their way through.  Private to esi.
 *
 *     lexer, tag      bytes to marks
 *     expression,
 *     variables       what depends on the request
 *     parser          marks to what is to be done
 *     fragment        one request of our own, on a fiber of its own
 *     part, page      the body: puts all of it together, in order
 *     esi             which documents, and what their heads say afterwards
 */
#ifndef MIDDLEWARE_ESI_ESI_H
#define MIDDLEWARE_ESI_ESI_H

#include "exchange/exchange.h"
#include "middleware/compose_request.h"
#include "middleware/esi/parser.h"
#include "middleware/esi/queue.h"
#include "runtime/fiber.h"
#include "runtime/timer.h"

struct esi {
    bool               always;
    struct option_list types;          /* of struct slice, lower case */
    int64_t            parallel;       /* fragments on their way at a time, of one document */
    int64_t            most;           /* fragments of a page, those of its fragments included */
    int64_t            depth;
    uint64_t           ahead;          /* bytes read ahead of what is sent */
    uint64_t           fragment_bytes; /* of one fragment */
    uint64_t           page_bytes;     /* of all fragments of a page */
    uint64_t           timeout_us;
    int                credentials;    /* enum compose_credentials */
    struct slice       on_error;       /* absent: the page breaks off */
    struct middleware_keeper keeper;   /* when it is linked */
};

/* What happened; only its worker touches it. */
struct esi_counts {
    uint64_t pages;     /* documents that were read, fragments' own included */
    uint64_t fragments; /* asked for */
    uint64_t failed;    /* of those, `late` included */
    uint64_t late;
    uint64_t broken;    /* pages that broke off */
};

struct esi_counts *esi_counts(unsigned worker);

/* ------------------------------------------------------------------ a page and its fragments */

struct esi_fragment;

struct esi_page {
    struct body          body;
    struct exchange     *x;
    const struct esi    *config;
    struct compose_tree *tree;
    /* The document: */
    struct body         *inner;
    struct slice         input;   /* of the inner body's chunk, not read yet */
    struct esi_parser    parser;
    struct esi_inlines   inlines;
    bool                 inner_ended, ended;
    enum err             failed;  /* once `ended`: why, unless it is complete */
    /* What it consists of, as far as it was read and is not sent: */
    struct list          parts;
    struct esi_part     *open;    /* the innermost attempt that is being read */
    struct esi_chunk    *spent;   /* what was given out last */
    size_t               held;    /* memory in parts */
    /* Who works for it: */
    struct list          queued;  /* fragments that wait for others */
    unsigned             active;  /* fragments that were asked for and may yet fail */
    unsigned             running; /* fibers */
    struct fiber        *reader;  /* reads ahead while the page's own waits */
    struct fiber        *waiter;
};

/* Takes the document over; NULL when out of memory. */
struct body *esi_page(const struct esi *config, struct exchange *x, struct body *document);

/* ------------------------------------------------------------------ one fragment */

/* Of one fragment, before it goes out as it comes. */
enum { ESI_HOLD_MAX = 64 * 1024 };

enum esi_fragment_state {
    ESI_FRAGMENT_ASKED,  /* it may yet fail, or be something else */
    ESI_FRAGMENT_GOOD,   /* it is here, or so much of it that it goes out */
    ESI_FRAGMENT_FAILED,
};

struct esi_fragment {
    struct list             link; /* in page.queued */
    struct esi_page        *page;
    enum esi_fragment_state state;
    struct text             src, alt;
    uint64_t                wait_us;
    struct fiber           *fiber;   /* NULL: queued, or over */
    struct timer            timer;
    struct esi_queue        queue;
    uint64_t                bytes;   /* all that came */
    bool                    late;    /* time is up */
    bool                    stalled; /* waits until some of the queue was taken */
    bool                    done, broken;
    bool                    dropped; /* nobody wants it: its fiber frees it */
    unsigned                status;  /* of a failed one: what the answer was, 0: none */
    const char             *problem; /* in words */
};

/* Asks for it, at once or when others have come.  NULL: out of memory. */
struct esi_fragment *esi_fragment_new(struct esi_page *page, const struct esi_event *event);
/* Those that wait for others, as far as may be. */
void esi_fragments_start(struct esi_page *p);
/* The next of what came; NULL: nothing yet, or no more (done). */
struct esi_chunk *esi_fragment_take(struct esi_fragment *f);
void esi_fragment_drop(struct esi_fragment *f);

/* Somebody works no more, or has something: the page's fiber looks again. */
void esi_page_wake(struct esi_page *p);

#endif
