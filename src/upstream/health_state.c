/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/health_state.c - up and down, by answers in a row; see the header. */
#include "upstream/health_state.h"

#define GOLDEN_RATIO_32 0x9E3779B9u /* its fraction, in 2^-32 */

unsigned
health_passes_needed(const struct health_state *s, unsigned rise)
{
    return s->proved ? rise << s->doublings : 1;
}

/* Remembers the change; is it one of too many? */
static bool
is_flapping(struct health_state *s, uint32_t window)
{
    uint32_t oldest = s->changed_at[(s->changes + 1) % HEALTH_FLAPS];

    s->changed_at[s->changes % HEALTH_FLAPS] = s->answers;
    s->changes++;
    return s->changes >= HEALTH_FLAPS && s->answers - oldest < window;
}

static enum health_change
change(struct health_state *s, uint32_t window)
{
    bool flapping = is_flapping(s, window);

    s->down = !s->down;
    s->row = 0;
    s->quiet_since = s->answers;
    if (!s->down)
        return HEALTH_WENT_UP;
    if (flapping && 1u << s->doublings < HEALTH_PATIENCE_MAX)
        s->doublings++;
    return HEALTH_WENT_DOWN;
}

enum health_change
health_note(struct health_state *s, unsigned rise, unsigned fall, bool passed)
{
    uint32_t window = 5 * (rise + fall);
    unsigned needed = s->down ? health_passes_needed(s, rise) : s->proved ? fall : 1;

    s->answers++;
    if (s->doublings && s->answers - s->quiet_since >= window) {
        s->doublings--;
        s->quiet_since = s->answers;
    }
    if (passed)
        s->proved = true;
    if (passed != s->down) {
        s->row = 0;
        return HEALTH_SAME;
    }
    return ++s->row >= needed ? change(s, window) : HEALTH_SAME;
}

uint64_t
health_phase_us(uint32_t number, uint64_t every_us)
{
    uint32_t fraction = number * GOLDEN_RATIO_32;

    /* In two steps, so that no interval overflows. */
    return (every_us >> 32) * fraction + ((every_us & UINT32_MAX) * fraction >> 32);
}
