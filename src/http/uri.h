/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/uri.h - request targets, hosts and their normal form (RFC 3986, RFC 9112 3.2).
 *
 * A target is normalised once, for matching; it is forwarded as it came unless a rewrite asks
 * otherwise.
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct target {
    struct slice raw;       /* as it came */
    struct slice scheme;    /* absolute form only, as it came, else absent */
    struct slice authority; /* absolute form and CONNECT only, else absent */
    struct slice raw_path;  /* as it came, without query; "*" for
                             * OPTIONS *; "/" when the URI has none */
    struct slice path;      /* normal form; equals raw_path (same
                             * pointer) when it was normal already */
    struct slice query;     /* after '?', as it came; absent when there is no '?' */
};

/*
 * Splits and normalises.  Normal path: percent-encoded unreserved characters decoded, other
 * encodings in upper-case hex, dot segments resolved (also encoded ones), duplicate slashes joined,
 * always starting with '/'.  %2F stays encoded: it is data, not a separator.
 * ERR_MALFORMED: empty, does not start with '/', a bad percent-encoding, %00, a fragment, a byte
 * that is not a URI character (controls, space, '"', '<', '>', '\\', '^', '`', '{', '|', '}' and
 * bytes above 0x7E in the path are accepted raw only where listed: '"', '<', '>', '^', '`', '{',
 * '|', '}' and bytes above 0x7E occur in the wild, and are percent-encoded in the normal form;
 * controls, DEL, space and backslash are refused), dot segments above the root (RFC 3986 would
 * clamp them; an attack does them), userinfo in an absolute form's authority, a scheme other than
 * http or https.  The query stays as it came, so there only controls, DEL, space and '#' are
 * refused.  ERR_NO_MEMORY: the arena is full.
 * is_connect: only authority form (host:port) is accepted then, and both paths are empty;
 * is_options: "*" is accepted too.
 */
enum err target_parse(struct slice raw, bool is_connect, bool is_options, struct arena *arena,
                      struct target *t);

/* A Host or authority: host in lower case without the trailing dot, port 0 when absent. */
struct authority {
    struct slice host; /* reg-name in lower case, IPv4, or IPv6 without brackets */
    uint16_t     port;
    bool         ipv6;
};

/* ERR_MALFORMED for anything that is not host[:port]; an empty host is malformed. The host points
 * into `text` when it was in lower case already, else into the arena. */
enum err authority_parse(struct slice text, struct arena *arena, struct authority *a);

/* Would authority_parse() accept it?  Needs no memory. */
bool authority_is_valid(struct slice text);
/* The same, and it names a port, as CONNECT's target must (RFC 9112 3.2.3). */
bool authority_has_port(struct slice text);
/* Splits "http://host:port/path?query", the scheme in any case: rest begins with '/', '?' or '#' or
 * is empty.  False when it is no absolute form, has another scheme, or its authority is not
 * valid. */
bool target_split_absolute(struct slice raw, struct slice *scheme, struct slice *authority,
                           struct slice *rest);

/* Decodes %XX into out (which needs raw.n bytes at most); ERR_MALFORMED for bad encodings.
 * plus_is_space: as in form data and query parameters. */
enum err percent_decode(struct slice raw, bool plus_is_space, char *out, size_t *n);

/* The decoded value of the first query parameter of that name (names compare decoded); absent when
 * there is none or it cannot be decoded; present and empty for "name" or "name=". */
struct slice query_value(struct slice query, struct slice name, struct arena *arena);

#endif
