/* SPDX-License-Identifier: Apache-2.0 */
/* http/h1_fault.c - what a fault means to the client and to the log. */
#include "base/check.h"
#include "http/h1.h"

static const struct {
    unsigned    status;
    const char *words;
} faults[] = {
#define FAULT_ROW(id, status, words) [id] = {status, words},
    H1_FAULT_TABLE(FAULT_ROW)
#undef FAULT_ROW
};

unsigned
h1_fault_status(enum h1_fault f)
{
    CHECK((size_t) f < countof(faults));
    return faults[f].status;
}

const char *
h1_fault_words(enum h1_fault f)
{
    CHECK((size_t) f < countof(faults));
    return faults[f].words;
}
