/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_target.h - under which targets responses may be kept, and which others a change
 * concerns.
 *
 * Against deception: an attacker has a victim open `/account/x.css`, `/account;x.css` or
 * `/account%2Fx.css`; the origin serves the account, and a cache that looks at the end of the path
 * keeps it for everybody (Gil, "Web Cache Deception Attack", 2017; Mirheidari et al., "Cached and
 * Confused", USENIX Security 2020).
 */
#ifndef HTTP_CACHE_TARGET_H
#define HTTP_CACHE_TARGET_H

#include "http/cache_rules.h"
#include "http/uri.h"

/*
 * Only what is served as a success and ends like a static file (.css, .js, .png, ...) is judged.
 * CACHE_REFUSED_PATH: before that end stands ';' or an encoded separator ('/', '\\', ';', '?', '#',
 * '%', a control), so that origin and cache may disagree where the path ends.
 * CACHE_REFUSED_TYPE: the response is a document (HTML, JSON, XML).  content_type may be absent.
 */
enum cache_refusal cache_target_refuses(const struct target *target, unsigned status,
                                        struct slice content_type);

/* Whose URIs we speak of; host in lower case. */
struct cache_origin {
    struct slice scheme, host;
    uint16_t     port; /* 0: the scheme's own */
};

/*
 * What Location or Content-Location of an answer to `base` refers to, as "path?query" in normal
 * form (RFC 3986 5.2); absent when it is of another origin, no URI of ours, or the arena is full.
 */
struct slice cache_target_resolve(const struct cache_origin *origin, const struct target *base,
                                  struct slice reference, struct arena *arena);

#endif
