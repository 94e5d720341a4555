/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/tickets.c - the keys of session tickets (RFC 5077, RFC 8446 4.6.1).
 *
 * They belong to the process: a ticket is good for every worker, every listener and the next
 * configuration, and the supervisor keeps a copy for the next worker process.  They are random,
 * never written to a disk, and replaced every eight hours; those
 * before are kept as long as tickets live, then overwritten, and with them goes what could decrypt
 * recorded TLS 1.2 sessions.  A worker has a copy and looks at one number to see that it is
 * current, so that nobody waits for a lock in a handshake.
 */
#include "tls/worker.h"

#include "base/clock.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define ROTATE_US (UINT64_C(8) * 3600 * 1000000)

static struct {
    pthread_mutex_t        lock;
    struct tls_ticket_ring ring;
    _Atomic uint64_t       generation;
    _Atomic uint64_t       next_us;
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
fill(struct tls_ticket_key *key)
{
    random_bytes(key, sizeof(*key));
}

/* With the lock. */
static void
rotate(void)
{
    struct tls_ticket_ring *ring = &process.ring;

    if (ring->generation == 0) {
        /* Keys that nobody has: nothing to decrypt yet. */
        for (size_t i = 0; i < TLS_TICKET_KEYS; i++)
            fill(&ring->keys[i]);
    } else {
        for (size_t i = TLS_TICKET_KEYS - 1; i > 0; i--)
            ring->keys[i] = ring->keys[i - 1];
        fill(&ring->keys[0]);
    }
    ring->generation++;
    atomic_store(&process.generation, ring->generation);
}

void
tls_tickets_refresh(struct tls_ticket_ring *ring, uint64_t now_us)
{
    if (now_us < atomic_load_explicit(&process.next_us, memory_order_relaxed) &&
        ring->generation == atomic_load_explicit(&process.generation, memory_order_acquire))
        return;
    pthread_mutex_lock(&process.lock);
    if (now_us >= atomic_load(&process.next_us)) {
        rotate();
        atomic_store(&process.next_us, now_us + ROTATE_US);
    }
    *ring = process.ring;
    pthread_mutex_unlock(&process.lock);
}

void
tls_tickets_save(struct tls_tickets *out)
{
    struct tls_ticket_ring ring = {0};

    tls_tickets_refresh(&ring, clock_monotonic_us());
    *out = (struct tls_tickets){.generation = ring.generation,
                                .next_us = atomic_load(&process.next_us)};
    _Static_assert(sizeof(out->keys) == sizeof(ring.keys), "TLS_TICKETS_BYTES");
    memcpy(out->keys, ring.keys, sizeof(out->keys));
    OPENSSL_cleanse(&ring, sizeof(ring));
}

void
tls_tickets_restore(const struct tls_tickets *saved)
{
    if (saved->generation == 0)
        return;
    pthread_mutex_lock(&process.lock);
    memcpy(process.ring.keys, saved->keys, sizeof(saved->keys));
    process.ring.generation = saved->generation;
    atomic_store(&process.next_us, saved->next_us);
    atomic_store(&process.generation, saved->generation);
    pthread_mutex_unlock(&process.lock);
}

uint32_t
tls_tickets_lifetime_s(void)
{
    return (uint32_t) (ROTATE_US / 1000000 * (TLS_TICKET_KEYS - 1));
}

void
tls_tickets_rotate(void)
{
    pthread_mutex_lock(&process.lock);
    rotate();
    pthread_mutex_unlock(&process.lock);
}
