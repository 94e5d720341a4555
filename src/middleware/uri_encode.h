/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/uri_encode.h - text that somebody wrote, made fit for a URI.
 *
 * Templates and replacements mix what is encoded already (a path in normal form) with what is not
 * (a decoded query value, a title with spaces).  What may stand is kept, so is a complete %XX;
 * every other byte is percent-encoded.  CR and LF cannot survive that: a rendered target never
 * splits a message.
 */
#ifndef MIDDLEWARE_URI_ENCODE_H
#define MIDDLEWARE_URI_ENCODE_H

#include "base/arena.h"

enum uri_part {
    URI_PATH,  /* a '?' or '#' is data */
    URI_QUERY, /* a '#' is data */
    URI_WHOLE,
};

/* The text itself when nothing has to change; absent when out of memory. */
struct slice uri_encode(struct slice text, enum uri_part part, struct arena *arena);

/* True when a segment of the path is "." or "..", also when its dots are encoded. */
bool uri_has_dot_segment(struct slice path);

#endif
