/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/origin.h - what in a response names the server behind us, and what a client should
 * read there.
 *
 * A server that was asked at 10.0.0.1:8080 likes to say so: in redirects, and in the domain of its
 * cookies.  Its names are the address that it was reached at, the Host that it was sent where that
 * is not the client's, and what the configuration calls the servers of its upstream.  Its addresses
 * are its alone with the port it listens on: http://10.0.0.1:9000/ may be another service that is
 * meant to be reached directly.
 */
#ifndef MIDDLEWARE_ORIGIN_H
#define MIDDLEWARE_ORIGIN_H

#include "base/slice.h"

struct exchange;

/* A URI reference as the client should see it: the same slice where it names no server of ours;
 * absent when out of memory.  Only http and https, and references that start with "//", are looked
 * at. */
struct slice origin_publish_uri(struct exchange *x, struct slice uri);

/* The value of a Refresh field ("5; url=http://10.0.0.1:8080/"), likewise. */
struct slice origin_publish_refresh(struct exchange *x, struct slice value);

/* The value of a Set-Cookie field without a Domain that names the server, likewise.  A browser
 * would refuse such a cookie; without the attribute it belongs to the host that the client
 * asked. */
struct slice origin_publish_cookie(struct exchange *x, struct slice value);

#endif
