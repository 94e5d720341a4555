/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/testing.c - see testing.h. */
#include "middleware/testing.h"

#include "base/check.h"

#include <stdio.h>

enum { MESSAGES_MAX = 64 * 1024, YAML_MAX = 8 * 1024 };

struct root {
    struct option_variant use;
};

static void
type_make(struct trial *t, const struct middleware_ops *ops)
{
    t->variants[0] = &ops->options;
    t->options[0] = (struct option){
        .name = "use",
        .kind = &option_variants,
        .offset = offsetof(struct root, use),
        .variants = t->variants,
        .flags = OPTION_REQUIRED,
        .doc = "The middleware on trial.",
    };
    t->type = (struct option_object){
        .name = "trial",
        .doc = "A configuration of one middleware.",
        .size = sizeof(struct root),
        .options = t->options,
    };
}

void
trial_load(struct trial *t, const struct middleware_ops *ops, const char *item)
{
    char yaml[YAML_MAX];
    int n = snprintf(yaml, sizeof yaml, "use:\n  %s\n", item);
    const struct root *root;

    CHECK(n > 0 && (size_t) n < sizeof yaml);
    *t = (struct trial){0};
    type_make(t, ops);
    text_init(&t->messages, MESSAGES_MAX);
    config_report_init(&t->report);
    t->config = config_load_text("trial.yaml", slice_of(yaml, (size_t) n), &t->type,
                                 &config_source_system, &t->report);
    config_report_print(&t->report, &t->messages);
    if (!t->config)
        return;
    root = t->config->root;
    CHECK(root->use.object == &ops->options);
    t->chain[0] = (struct middleware){ops, root->use.value};
}

void
trial_free(struct trial *t)
{
    if (t->config)
        config_free(take(&t->config));
    config_report_free(&t->report);
    text_free(&t->messages);
}

bool
trial_complains(const struct trial *t, const char *part)
{
    bool found = slice_search(text_slice(&t->messages), slice_str(part)) != SLICE_NOT_FOUND;

    if (t->config || !found)
        printf("# %s: %.*s\n", t->config ? "taken" : "refused otherwise",
               SLICE_ARG(text_slice(&t->messages)));
    return !t->config && found;
}

bool
is_refused(const struct middleware_ops *ops, const char *item, const char *part)
{
    struct trial t;
    bool refused;

    trial_load(&t, ops, item);
    refused = trial_complains(&t, part);
    trial_free(&t);
    return refused;
}

void
trial_run(struct trial *t, struct exchange *x, const struct middleware_ops *terminal)
{
    t->chain[1] = (struct middleware){terminal, NULL};
    testing_run(x, t->chain, countof(t->chain));
}
