/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_plan.c - `maitred plan`: what another configuration would change, as the
 * running maitred says, which knows what it serves and what was asked for lately. */
#include "control/plan.h"
#include "main/client/changes.h"

enum { PRINTED_MAX = 64 * 1024 * 1024 };

static int
print(const struct admin *a, const struct admin_call *call)
{
    struct text t;
    bool good = true;

    text_init(&t, PRINTED_MAX);
    if (arguments_has(a->arguments, "--json"))
        text_put(&t, call->answer.body);
    else
        good = plan_print(call->answer.body, call->source, &t);
    command_print(&t, stdout);
    if (!good || t.full)
        fprintf(stderr, "maitred plan: the answer of %s cannot be shown; try --json\n", a->address);
    text_free(&t);
    return good ? 0 : 1;
}

static int
plan(struct admin *a)
{
    struct admin_call call = {.method = METHOD_POST, .path = "/v1/plan",
                              .type = "application/yaml"};
    int status;

    if (!changes_read_configuration(a, arguments_value(a->arguments, "-c"), &call))
        return 2;
    status = admin_ask(a, &call) ? print(a, &call) : a->status;
    admin_call_free(&call);
    return status;
}

int
command_plan(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, plan);
}
