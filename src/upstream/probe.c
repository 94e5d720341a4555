/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/probe.c - the list of kinds of probes, and what their answers can be. */
#include "upstream/probe.h"

#include <stdio.h>

/* One line each: the name in the configuration. */
#define PROBE_TABLE(X)                                                                            \
    X(http)                                                                                       \
    X(grpc)                                                                                       \
    X(tcp)                                                                                        \
    X(ftp)                                                                                        \
    X(command)                                                                                    \
    X(agent)

#define PROBE_KIND(name) &probe_##name,
const struct probe_kind *const probe_kinds[] = {PROBE_TABLE(PROBE_KIND) NULL};

#define PROBE_NAME(name) #name,
const char *const probe_names[] = {PROBE_TABLE(PROBE_NAME) NULL};

void
probe_pass(struct probe_answer *answer)
{
    answer->passed = true;
    answer->undecided = false;
}

void
probe_fail(struct probe_answer *answer, const char *format, ...)
{
    va_list args;

    answer->passed = answer->undecided = false;
    va_start(args, format);
    vsnprintf(answer->why, sizeof(answer->why), format, args);
    va_end(args);
}

void
probe_fail_with(struct probe_answer *answer, const char *while_doing, enum err e)
{
    probe_fail(answer, "%s: %s", while_doing, err_sentence(e));
    answer->undecided = e == ERR_NO_MEMORY || e == ERR_NO_DESCRIPTORS || e == ERR_CANCELLED;
}
