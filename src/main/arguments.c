/* SPDX-License-Identifier: Apache-2.0 */
/* main/arguments.c - options by their table. */
#include "main/arguments.h"

#include "base/slice.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ finding */

static bool
is_called(const struct command_option *o, struct slice name)
{
    return slice_eq(name, slice_str(o->name)) || (o->other && slice_eq(name, slice_str(o->other)));
}

static const struct command_option *
find(const struct command *c, struct slice name)
{
    const struct command_option *o;

    for (size_t i = 0; (o = command_option_at(c, i)); i++)
        if (is_called(o, name))
            return o;
    return NULL;
}

/* ------------------------------------------------------------------ reading */

static int
complain(const struct command *c, const struct command_option *o, const char *what)
{
    char text[200];

    snprintf(text, sizeof(text), "%s %s", o->name, what);
    return command_usage(c, text);
}

/* One that begins with a dash; moves *i past its value. */
static int
take_option(struct arguments *a, int argc, char **argv, int *i)
{
    struct slice value = slice_str(argv[*i]), name = slice_cut(&value, '=');
    const struct command_option *o = find(a->command, name);
    struct argument *given = &a->given[a->n_given];

    if (!o)
        return command_unknown(a->command, argv[*i]);
    given->option = o;
    given->value = value.at;
    if (!o->value && slice_is_present(value))
        return complain(a->command, o, "takes no value");
    if (o->value && !slice_is_present(value)) {
        if (*i + 1 == argc)
            return complain(a->command, o, "needs a value");
        given->value = argv[++*i];
    }
    a->n_given++;
    return 0;
}

static int
check_required(const struct arguments *a)
{
    const struct command_option *o;

    for (size_t i = 0; (o = command_option_at(a->command, i)); i++)
        if (o->required && !arguments_has(a, o->name))
            return complain(a->command, o, "is missing");
    return 0;
}

/* How many words the command takes at most. */
static size_t
words_most(const struct command *c)
{
    struct slice rest = slice_str(c->words);
    size_t n = 0;

    for (; slice_is_present(rest); n++)
        (void) slice_cut(&rest, ' ');
    return n;
}

int
arguments_read(struct arguments *a, const struct command *c, int argc, char **argv)
{
    bool only_words = false;
    int status;

    *a = (struct arguments){.command = c};
    if (argc > ARGUMENTS_MAX)
        return command_usage(c, "too many arguments");
    for (int i = 0; i < argc; i++) {
        bool is_option = !only_words && argv[i][0] == '-' && argv[i][1] != '\0';

        if (is_option && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (is_option) {
            if ((status = take_option(a, argc, argv, &i)))
                return status;
        } else {
            a->words[a->n_words++] = argv[i];
        }
    }
    if (a->n_words > words_most(c))
        return command_unknown(c, a->words[words_most(c)]);
    return check_required(a);
}

/* ------------------------------------------------------------------ looking */

const char *
arguments_value(const struct arguments *a, const char *name)
{
    for (size_t i = a->n_given; i-- > 0;)
        if (strcmp(a->given[i].option->name, name) == 0)
            return a->given[i].value;
    return NULL;
}

bool
arguments_has(const struct arguments *a, const char *name)
{
    for (size_t i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].option->name, name) == 0)
            return true;
    return false;
}

const char *
arguments_word(const struct arguments *a, size_t i)
{
    return i < a->n_words ? a->words[i] : NULL;
}
