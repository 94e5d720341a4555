/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "tls/worker.h"

static bool
same(const struct tls_ticket_key *a, const struct tls_ticket_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

TEST(keys_rotate_and_old_ones_decrypt_for_a_while)
{
    struct tls_ticket_ring before = {0}, now = {0};
    uint64_t at_us = 1000;

    tls_tickets_refresh(&before, at_us);
    EXPECT(before.generation > 0);
    EXPECT(!same(&before.keys[0], &before.keys[1]));
    now = before;
    tls_tickets_refresh(&now, at_us + 1);
    EXPECT(same(&now.keys[0], &before.keys[0]));
    for (size_t age = 1; age < TLS_TICKET_KEYS; age++) {
        at_us += UINT64_C(8) * 3600 * 1000000;
        tls_tickets_refresh(&now, at_us);
        EXPECT(!same(&now.keys[0], &before.keys[0]));
        EXPECT(same(&now.keys[age], &before.keys[0]));
    }
    at_us += UINT64_C(8) * 3600 * 1000000;
    tls_tickets_refresh(&now, at_us);
    for (size_t i = 0; i < TLS_TICKET_KEYS; i++)
        EXPECT(!same(&now.keys[i], &before.keys[0]));
}

TEST(every_worker_has_the_same_keys)
{
    struct tls_ticket_ring one = {0}, two = {0};

    tls_tickets_refresh(&one, 1);
    tls_tickets_rotate();
    tls_tickets_refresh(&one, 2);
    tls_tickets_refresh(&two, 3);
    EXPECT_EQ(one.generation, two.generation);
    EXPECT(same(&one.keys[0], &two.keys[0]));
    EXPECT(same(&one.keys[2], &two.keys[2]));
}

TEST(the_next_process_goes_on_with_the_same_keys)
{
    struct tls_ticket_ring before = {0}, after = {0};
    struct tls_tickets saved, none = {0};

    tls_tickets_save(&saved);
    tls_tickets_refresh(&before, saved.next_us - 1);
    tls_tickets_rotate();
    tls_tickets_restore(&none);
    tls_tickets_refresh(&after, saved.next_us - 1);
    EXPECT(!same(&after.keys[0], &before.keys[0]));
    tls_tickets_restore(&saved);
    tls_tickets_refresh(&after, saved.next_us - 1);
    EXPECT(same(&after.keys[0], &before.keys[0]));
    EXPECT(same(&after.keys[2], &before.keys[2]));
    EXPECT_EQ(after.generation, saved.generation);
}
