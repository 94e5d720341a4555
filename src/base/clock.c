/* SPDX-License-Identifier: Apache-2.0 */
/* base/clock.c - clocks and random numbers. */
#include "base/clock.h"

#include "base/check.h"

#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

static _Atomic uint64_t frozen_monotonic_us;
static _Atomic uint64_t frozen_wall_us;

static uint64_t
read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

uint64_t
clock_monotonic_us(void)
{
    uint64_t frozen = atomic_load_explicit(&frozen_monotonic_us, memory_order_relaxed);

    return frozen ? frozen : read_clock(CLOCK_MONOTONIC);
}

uint64_t
clock_wall_us(void)
{
    uint64_t frozen = atomic_load_explicit(&frozen_wall_us, memory_order_relaxed);

    return frozen ? frozen : read_clock(CLOCK_REALTIME);
}

void
clock_freeze(uint64_t monotonic_us, uint64_t wall_us)
{
    atomic_store(&frozen_monotonic_us, monotonic_us);
    atomic_store(&frozen_wall_us, wall_us);
}

void
random_bytes(void *out, uint64_t n)
{
    char *p = out;

    while (n) {
        ssize_t got = getrandom(p, n, 0);

        CHECK(got > 0);
        p += got;
        n -= (uint64_t) got;
    }
}

uint64_t
random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

/* splitmix64 spreads a seed over the state. */
void
dice_init(struct dice *d, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9E3779B97F4A7C15u);

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        d->s[i] = z ^ (z >> 31);
    }
}

static uint64_t
rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t
dice_next(struct dice *d)
{
    uint64_t result = rotl(d->s[1] * 5, 7) * 9;
    uint64_t t = d->s[1] << 17;

    d->s[2] ^= d->s[0];
    d->s[3] ^= d->s[1];
    d->s[1] ^= d->s[2];
    d->s[0] ^= d->s[3];
    d->s[2] ^= t;
    d->s[3] = rotl(d->s[3], 45);
    return result;
}
