/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/address.h - socket addresses and networks as text and as bytes.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* IPv4, IPv6 or Unix; .any.sa_family tells. */
union address {
    struct sockaddr     any;
    struct sockaddr_in  v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un  un;
};

/* Length for bind() and connect(). */
socklen_t address_length(const union address *a);
/* A numeric IPv4 or IPv6 address without port; IPv6 also in brackets. False: it is something
 * else. */
bool address_parse_ip(struct slice s, uint16_t port, union address *a);
/* "10.0.0.1:80", "[::1]:80", ":80" (all addresses, IPv6 with IPv4), "*:80", "unix:/path". False: it
 * is something else, such as a name, or the port is missing or not 1..65535. */
bool address_parse(struct slice s, union address *a);
/* Splits "name:port", "[::1]:port", "name" into host and port; port is default_port when absent;
 * host without brackets. False when malformed or there is no port at all (default_port 0 and none
 * given). */
bool address_split(struct slice s, uint16_t default_port, struct slice *host, uint16_t *port);

uint16_t address_port(const union address *a);
/* 127.0.0.0/8, ::1, or a Unix socket. */
bool address_is_loopback(const union address *a);
bool address_eq(const union address *a, const union address *b);
/* Same IP address (v4-mapped IPv6 equals IPv4), whatever the port. */
bool address_same_ip(const union address *a, const union address *b);
/* v4-mapped IPv6 becomes IPv4. */
void address_unmap(union address *a);

#define ADDRESS_TEXT_MAX 120
/* "10.0.0.1", "2001:db8::1", "unix:/path" ("unix:" when unnamed); without port; how many bytes, no
 * zero byte. */
size_t address_write_ip(const union address *a, char *out);
/* With port: "10.0.0.1:80", "[2001:db8::1]:80", "unix:/path". */
size_t address_write(const union address *a, char *out);

/* A network: an address and how many of its bits count. */
struct network {
    uint8_t bytes[16]; /* IPv4 as v4-mapped IPv6 */
    uint8_t bits;      /* 0..128, of the mapped form: 10.0.0.0/8 has 104; or NETWORK_UNIX */
};

#define NETWORK_UNIX 255 /* matches every Unix peer */

/* "10.0.0.0/8", "2001:db8::/32", a bare address (all bits), "unix" (matches Unix peers).  False:
 * not a network, or bits are set behind the prefix length. */
bool network_parse(struct slice s, struct network *n);
/* An IPv6 network wider than /96 (::/0) does not match IPv4 addresses. */
bool network_has(const struct network *n, const union address *a);

#endif
