/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_revisions.c - `maitred revisions`: which configurations were served, and what
 * one of them says. */
#include "main/client/lists.h"

enum { PATH_ROOM = 100, SHOWN_MAX = 64 * 1024 * 1024, MOST_DEFAULT = 20, MOST_MAX = 10000 };

static int
list(struct admin *a, uint64_t most)
{
    const struct list_kind *kind = lists_find("revisions");
    const struct table_view all = {0};
    char path[PATH_ROOM];
    json_t *answer, *rows;
    struct text t;

    snprintf(path, sizeof(path), "%s?most=%llu", kind->path, (unsigned long long) most);
    answer = admin_get(a, path);
    if (!answer)
        return a->status;
    rows = lists_rows(kind, answer);
    text_init(&t, SHOWN_MAX);
    table_write(kind->columns, rows, &all, "\n", &t);
    command_print(&t, stdout);
    text_free(&t);
    json_decref(rows);
    json_decref(answer);
    return 0;
}

/* The member that people ask for: a text as it is, anything else as JSON. */
static int
print_member(struct admin *a, const char *path, const char *member)
{
    bool whole = arguments_has(a->arguments, "--json");
    json_t *answer = admin_get(a, path);
    const json_t *shown = whole ? answer : json_object_get(answer, member);

    if (!answer)
        return a->status;
    if (json_is_string(shown)) {
        fputs(json_string_value(shown), stdout);
    } else {
        json_dumpf(shown ? shown : answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        fputc('\n', stdout);
    }
    json_decref(answer);
    return 0;
}

static int
revisions(struct admin *a)
{
    const char *number = arguments_word(a->arguments, 0);
    const char *other = arguments_value(a->arguments, "--diff");
    const char *said = arguments_value(a->arguments, "--most");
    uint64_t one = 0, two = 0, most = MOST_DEFAULT;
    char path[PATH_ROOM];

    if ((number && !slice_to_u64(slice_str(number), INT64_MAX, &one)) ||
        (other && !slice_to_u64(slice_str(other), INT64_MAX, &two)))
        return command_usage(a->arguments->command, "N is the number of a revision");
    if (said && !slice_to_u64(slice_str(said), MOST_MAX, &most))
        return command_usage(a->arguments->command, "--most takes a number up to 10000");
    if (other && !number)
        return command_usage(a->arguments->command, "--diff compares with revision N");
    if (other)
        snprintf(path, sizeof(path), "/v1/revisions/%llu/diff?to=%llu", (unsigned long long) one,
                 (unsigned long long) two);
    else if (number)
        snprintf(path, sizeof(path), "/v1/revisions/%llu", (unsigned long long) one);
    else if (arguments_has(a->arguments, "--json"))
        snprintf(path, sizeof(path), "/v1/revisions?most=%llu", (unsigned long long) most);
    else
        return list(a, most);
    return print_member(a, path, other ? "patch" : "text");
}

int
command_revisions(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, revisions);
}
