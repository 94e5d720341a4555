/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/proxy_protocol.h - the PROXY protocol, versions 1 and 2, without I/O.
 *
 * Source: "The PROXY protocol, versions 1 & 2", Willy Tarreau, HAProxy Technologies, 2020/03/05.
 * Version 2's CRC32c TLV is verified when present.
 */
#ifndef HTTP_PROXY_PROTOCOL_H
#define HTTP_PROXY_PROTOCOL_H

#include "base/slice.h"
#include "http/h1.h"

#include <sys/socket.h>

struct proxy_header {
    bool                    local; /* LOCAL or UNKNOWN: use the connection's own addresses */
    struct sockaddr_storage source, destination; /* AF_UNSPEC when local; AF_UNIX possible in v2 */
    struct slice            authority; /* PP2_TYPE_AUTHORITY, into the bytes; absent when none */
    struct slice            alpn;
};

/* what we accept: v1 is at most 107, v2 16 + 520 (addresses and TLVs) */
#define PROXY_HEADER_MAX 536

/* H1_DONE: *used bytes belong to the header.  H1_MORE: not yet whole (never asks for more than
 * PROXY_HEADER_MAX).  H1_BAD: not a PROXY header, or longer than PROXY_HEADER_MAX. */
enum h1_result proxy_header_parse(struct slice bytes, struct proxy_header *h, size_t *used);

/* Writes a header into out (PROXY_HEADER_MAX bytes); how many bytes.  version 1 or 2.  Families
 * other than IPv4 and IPv6 are announced as UNKNOWN (1) or LOCAL (2). */
size_t proxy_header_write(char *out, int version, const struct sockaddr *source,
                          const struct sockaddr *destination);

#endif
