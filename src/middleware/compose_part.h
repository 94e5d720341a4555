/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compose_part.h - the parts of one document, fetched at the same time.  Private to
 * compose.
 *
 *     compose.c       what the configuration says, and the answer
 *     compose_part.c  one request of our own for each part
 *     compose_json.c  what came, checked
 *     compose_url.c   where to ask
 */
#ifndef MIDDLEWARE_COMPOSE_PART_H
#define MIDDLEWARE_COMPOSE_PART_H

#include "middleware/compose_request.h"
#include "middleware/compose_url.h"
#include "runtime/fiber.h"
#include "runtime/timer.h"

enum { COMPOSE_PARTS_MAX = 32, COMPOSE_DEPTH_MAX = 2, COMPOSE_TREE_MAX = 1000 };

enum compose_shape { COMPOSE_KEYED, COMPOSE_FLAT };

struct compose_part {
    struct slice        name;
    struct compose_url *url;
    bool                optional;
    uint64_t            timeout_us;
    struct option_list  fields; /* of struct slice: of its answer, that are passed on */
};

struct compose {
    struct option_list       parts; /* of struct compose_part */
    int                      shape; /* enum compose_shape */
    uint64_t                 bytes; /* of all parts together */
    int                      credentials; /* enum compose_credentials */
    struct middleware_keeper keeper; /* when it is linked */
};

/* What happened; only its worker touches it. */
struct compose_counts {
    uint64_t answers, parts;
    uint64_t failed; /* of the parts, optional ones included */
    uint64_t refused; /* of the answers: a part was missing */
};

struct compose_counts *compose_counts(unsigned worker);

struct compose_work;

/* One part under way. */
struct compose_fetch {
    const struct compose_part *part;
    struct compose_work       *work;
    struct fiber              *fiber; /* NULL: it is over */
    struct timer               timer;
    struct exchange           *child; /* once it is over: its response's fields */
    struct text                json;
    bool                       good, late;
    unsigned                   status;  /* of a failed one; 0: none */
    const char                *problem; /* of a failed one */
};

struct compose_work {
    struct exchange      *x;
    const struct compose *config;
    struct compose_fetch *fetches; /* one for each part */
    size_t                running;
    uint64_t              bytes;
    struct fiber         *waiter;
};

/* Fetches all parts and waits for them, or until one fails that is not optional.  ERR_CANCELLED:
 * nobody waits for the answer. */
enum err compose_fetch_all(struct compose_work *w);
void compose_work_free(struct compose_work *w);
/* The first that failed and is not optional; NULL: none. */
const struct compose_fetch *compose_missing(const struct compose_work *w);

#endif
