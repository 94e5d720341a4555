/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/parser.h - what a document says, one thing after the other.  Private to esi.
 *
 * Whatever depends on the request alone is decided here: conditions, variables, what is removed.
 * What is left are texts, fragments to fetch, and attempts, of which only whoever fetches knows
 * how they end.  The document comes in pieces that may be cut anywhere.
 */
#ifndef MIDDLEWARE_ESI_PARSER_H
#define MIDDLEWARE_ESI_PARSER_H

#include "base/list.h"
#include "exchange/exchange.h"
#include "middleware/esi/lexer.h"
#include "middleware/esi/tag.h"

enum {
    ESI_BLOCKS_MAX = 16,  /* inside of each other */
    ESI_SOURCES_MAX = 4,  /* inline fragments inside of each other */
    ESI_READS_MAX = 1000, /* of inline fragments, in all */
    ESI_KEPT_MAX = 256 * 1024, /* bytes of inline fragments, or of one `except` */
    ESI_REFERENCE_MAX = 64 * 1024,
};

enum esi_event_kind {
    ESI_EVENT_NONE,    /* all of the input was read */
    ESI_EVENT_TEXT,    /* text: goes out as it is */
    ESI_EVENT_FETCH,   /* src, alt, goes_on, wait_us */
    ESI_EVENT_TRY,     /* what follows is an attempt, until the end of it */
    ESI_EVENT_EXCEPT,  /* text: the source that takes the place of a failed attempt */
    ESI_EVENT_TRY_END,
    ESI_EVENT_FAILED,  /* problem: why the document cannot be understood */
};

/* Slices are lent until the next call; text may be a part of the input. */
struct esi_event {
    enum esi_event_kind kind;
    struct slice        text;
    struct slice        src, alt; /* references, encoded; alt is absent when there is none */
    bool                goes_on;  /* onerror="continue" */
    uint64_t            wait_us;  /* 0: nothing was said */
    const char         *problem;
};

/* Inline fragments of a document, by name.  Shared by all parsers that read parts of it. */
struct esi_inlines {
    struct list list;
    size_t      bytes;
    unsigned    reads; /* a few that include each other often make a lot of work */
};

void esi_inlines_init(struct esi_inlines *i);
void esi_inlines_free(struct esi_inlines *i);

struct esi_block {
    enum esi_name name;
    bool          live;   /* what is inside counts */
    bool          chosen; /* choose: one of its branches was; try: it has an `except` */
};

struct esi_source {
    struct slice rest;
    unsigned     blocks; /* that were open when it began */
};

struct esi_parser {
    struct esi_lexer       lexer;
    const struct exchange *x;
    struct esi_inlines    *inlines;
    struct arena           scratch;  /* of one event */
    struct text            expanded; /* of one event */
    struct esi_block       blocks[ESI_BLOCKS_MAX];
    unsigned               depth;
    struct esi_source      sources[ESI_SOURCES_MAX]; /* inline fragments being read */
    unsigned               nested;
    bool                   capturing; /* the innermost block's source is kept, not read */
    unsigned               inside;    /* blocks of the same name inside of that one */
    struct text            captured;
    struct slice           inline_name; /* of the one that is captured; owned */
    const char            *problem;
};

void esi_parser_init(struct esi_parser *p, const struct exchange *x, struct esi_inlines *inlines);
void esi_parser_free(struct esi_parser *p);
/* The next event; what was read is taken off the front of *input.  After FAILED, FAILED again. */
void esi_parser_next(struct esi_parser *p, struct slice *input, struct esi_event *event);
/* The same after the last of the input: NONE is the end of the document. */
void esi_parser_end(struct esi_parser *p, struct esi_event *event);

#endif
