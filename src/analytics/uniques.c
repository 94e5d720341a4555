/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/uniques.c - counting what HyperLogLog saw. */
#include "analytics/uniques.h"

#include <math.h>
#include <stddef.h>

void
uniques_merge(struct uniques *into, const struct uniques *u)
{
    for (size_t i = 0; i < UNIQUES_REGISTERS; i++)
        if (u->registers[i] > into->registers[i])
            into->registers[i] = u->registers[i];
}

/* Ertl's sigma: what registers that are still 0 say.  Converges within a few dozen rounds, for x is
 * at most 1 - 2^-14. */
static double
sigma(double x)
{
    double before, y = 1, z = x;

    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

/* Ertl's tau: what registers at their limit say. */
static double
tau(double x)
{
    double before, y = 1, z = 1 - x;

    if (x <= 0 || x >= 1)
        return 0;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

uint64_t
uniques_count(const struct uniques *u)
{
    const double m = UNIQUES_REGISTERS;
    unsigned with[UNIQUES_RANK_MAX + 1] = {0};
    double z;

    for (size_t i = 0; i < UNIQUES_REGISTERS; i++)
        with[u->registers[i] <= UNIQUES_RANK_MAX ? u->registers[i] : UNIQUES_RANK_MAX]++;
    if (with[0] == UNIQUES_REGISTERS)
        return 0;
    z = m * tau(1 - with[UNIQUES_RANK_MAX] / m);
    for (unsigned k = UNIQUES_RANK_MAX - 1; k >= 1; k--)
        z = 0.5 * (z + with[k]);
    z += m * sigma(with[0] / m);
    return (uint64_t) llround(m * m / (2 * 0.6931471805599453 * z));
}
