/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "base/text.h"
#include "exchange/expr.h"

#include <stdio.h>

TEST(every_variable_has_a_getter_and_a_sentence)
{
    for (const struct expr_variable *v = expr_variables; v->name; v++) {
        EXPECT(v->get != NULL);
        EXPECT(v->doc != NULL && v->doc[strlen(v->doc) - 1] == '.');
        EXPECT(!v->fold_arg || v->takes_name);
    }
}

TEST(names_are_unique)
{
    for (const struct expr_variable *v = expr_variables; v->name; v++)
        for (const struct expr_variable *w = expr_variables; w != v; w++)
            EXPECT(strcmp(v->name, w->name) != 0 || v->takes_name != w->takes_name);
}

/* The guide, found from where this file was compiled; nothing when it is not there. */
static struct slice
read_guide(char *room, size_t n)
{
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');
    FILE *file;

    snprintf(path, sizeof(path), "%.*s/../../docs/guide/expressions.md",
             slash ? (int) (slash - __FILE__) : 1, slash ? __FILE__ : ".");
    file = fopen(path, "r");
    if (!file)
        return SLICE("");
    n = fread(room, 1, n, file);
    fclose(file);
    return slice_of(room, n);
}

/* The line of the table as the guide has it. */
static void
put_line(struct text *out, const struct expr_variable *v)
{
    static const char *const types[] = {"condition", "number", "string", "address"};

    text_printf(out, "| `%s%s` | %s%s | %s |\n", v->name, v->takes_name ? "('name')" : "",
                types[v->type], v->of_response ? ", *response*" : "", v->doc);
}

TEST(the_guide_lists_every_variable)
{
    static char room[64 * 1024];
    struct slice guide = read_guide(room, sizeof(room));

    for (const struct expr_variable *v = expr_variables; v->name && guide.n; v++) {
        char line[512];
        struct text t;

        text_fixed(&t, line, sizeof(line));
        put_line(&t, v);
        if (slice_search(guide, text_slice(&t)) == SLICE_NOT_FOUND)
            test_failed(__FILE__, __LINE__, "docs/guide/expressions.md lacks: %.*s",
                        SLICE_ARG(text_slice(&t)));
    }
    if (!guide.n)
        printf("# skipped: the guide is not here\n");
}
