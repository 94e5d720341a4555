/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/sip.h - SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", 2012).
 *
 * Two requests whose keys collide would get each other's answers, so that the hash must be one that
 * nobody can find collisions of who does not know the secret.  Fast hashes (XXH3) do not promise
 * that.
 */
#ifndef STORE_SIP_H
#define STORE_SIP_H

#include <stddef.h>
#include <stdint.h>

struct sip_secret {
    uint64_t k0, k1;
};

void sip_hash(const struct sip_secret *secret, const void *bytes, size_t n, uint64_t out[2]);

#endif
