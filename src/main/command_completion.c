/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/command_completion.c - what makes a shell complete commands, options and values, made of the
 * table of commands.
 *
 * Names in the table are letters, digits and dashes; only texts are quoted.
 */
#include "main/arguments.h"

#include "base/text.h"

enum { SCRIPT_MAX = 256 * 1024 };

/* ------------------------------------------------------------------ what can stand somewhere */

/* "a|b|c": words to choose from; "FILE" and the like are not. */
static bool
is_choice(const char *value)
{
    return value && value[0] >= 'a' && value[0] <= 'z';
}

static bool
is_file(const char *value)
{
    return value && (strcmp(value, "FILE") == 0 || strcmp(value, "SOCKET") == 0);
}

/* The words that may come first, separated; nothing when any may. */
static void
put_choices(struct text *out, const char *value, char separator)
{
    struct slice rest = slice_str(value), first;

    if (value && value[0] == '[')
        rest = slice_from(rest, 1);
    if (!is_choice(rest.at))
        return;
    first = slice_cut(&rest, ' ');
    if (slice_ends(first, SLICE("]")))
        first.n--;
    for (size_t i = 0; i < first.n; i++)
        text_byte(out, first.at[i] == '|' ? separator : first.at[i]);
}

/* Inside single quotes; `also` are bytes that a backslash must stand before. */
static void
put_quoted(struct text *out, const char *s, const char *quote, const char *also)
{
    for (; *s; s++) {
        if (*s == '\'') {
            text_put(out, slice_str(quote));
            continue;
        }
        if (strchr(also, *s))
            text_byte(out, '\\');
        text_byte(out, *s);
    }
}

/* ------------------------------------------------------------------ bash */

static const char bash_begin[] =
    "# bash completion for maitred: source <(maitred completion bash)\n"
    "_maitred_words() { COMPREPLY=($(compgen -W \"$1\" -- \"${COMP_WORDS[COMP_CWORD]}\")); }\n"
    "_maitred_files() { COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\")); }\n"
    "_maitred_first() {\n"
    "  if [[ -z $1 || ${COMP_WORDS[COMP_CWORD]} == -* ]]; then _maitred_words \"$2\"\n"
    "  else _maitred_words \"$1\"; fi\n"
    "}\n"
    "_maitred() {\n"
    "  local command=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "  COMPREPLY=()\n";

/* What follows an option that takes a value. */
static void
bash_value(const struct command *c, const struct command_option *o, struct text *out)
{
    text_printf(out, "    %s:%s", c->name, o->name);
    if (o->other)
        text_printf(out, "|%s:%s", c->name, o->other);
    text_literal(out, ") ");
    if (is_file(o->value)) {
        text_literal(out, "_maitred_files");
    } else {
        text_literal(out, "_maitred_words '");
        put_choices(out, o->value, ' ');
        text_byte(out, '\'');
    }
    text_literal(out, "; return ;;\n");
}

static void
bash_options(const struct command *c, struct text *out)
{
    const struct command_option *o;

    text_literal(out, " '--help");
    for (size_t i = 0; (o = command_option_at(c, i)); i++)
        text_printf(out, " %s%s%s", o->name, o->other ? " " : "", o->other ? o->other : "");
    text_literal(out, "' ;;\n");
}

/* The first word of a command, or its options. */
static void
bash_command(const struct command *c, struct text *out)
{
    text_printf(out, "    %s:2) _maitred_first '", c->name);
    put_choices(out, c->words, ' ');
    text_byte(out, '\'');
    bash_options(c, out);
    text_printf(out, "    %s:*) _maitred_words", c->name);
    bash_options(c, out);
}

static void
bash(struct text *out)
{
    const struct command_option *o;

    text_put(out, slice_str(bash_begin));
    text_literal(out, "  if ((COMP_CWORD == 1)); then\n    _maitred_words '");
    for (const struct command *c = command_list; c->name; c++)
        text_printf(out, "%s ", c->name);
    text_literal(out, "--help --version'\n    return\n  fi\n  case $command:$before in\n");
    for (const struct command *c = command_list; c->name; c++)
        for (size_t i = 0; (o = command_option_at(c, i)); i++)
            if (o->value)
                bash_value(c, o, out);
    text_literal(out, "  esac\n  case $command:$COMP_CWORD in\n");
    for (const struct command *c = command_list; c->name; c++)
        bash_command(c, out);
    text_literal(out, "  esac\n}\ncomplete -o filenames -F _maitred maitred\n");
}

/* ------------------------------------------------------------------ zsh */

static void
zsh_value(const char *value, struct text *out)
{
    if (!value)
        return;
    text_byte(out, ':');
    put_quoted(out, value, "'\\''", ":\\");
    text_byte(out, ':');
    if (is_file(value)) {
        text_literal(out, "_files");
    } else if (is_choice(value)) {
        text_byte(out, '(');
        put_choices(out, value, ' ');
        text_byte(out, ')');
    }
}

static void
zsh_option(const struct command_option *o, struct text *out)
{
    const char *names[] = {o->name, o->other};

    for (size_t i = 0; i < countof(names) && names[i]; i++) {
        text_printf(out, " \\\n      '%s%s[", o->repeats ? "*" : "", names[i]);
        put_quoted(out, o->doc, "'\\''", "[]:\\");
        text_byte(out, ']');
        zsh_value(o->value, out);
        text_byte(out, '\'');
    }
}

static void
zsh(struct text *out)
{
    const struct command_option *o;

    text_literal(out, "#compdef maitred\n# zsh completion for maitred: maitred completion zsh > a "
                      "folder of $fpath, as _maitred\n_maitred() {\n  local -a commands=(\n");
    for (const struct command *c = command_list; c->name; c++) {
        text_printf(out, "    '%s:", c->name);
        put_quoted(out, c->summary, "'\\''", ":\\");
        text_literal(out, "'\n");
    }
    text_literal(out,
                 "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n"
                 "  fi\n  shift words\n  ((CURRENT--))\n  case $words[1] in\n");
    for (const struct command *c = command_list; c->name; c++) {
        text_printf(out, "    %s) _arguments '--help[Say how it is used.]'", c->name);
        for (size_t i = 0; (o = command_option_at(c, i)); i++)
            zsh_option(o, out);
        if (c->words) {
            text_literal(out, " \\\n      '1: :(");
            put_choices(out, c->words, ' ');
            text_literal(out, ")'");
        }
        text_literal(out, " ;;\n");
    }
    text_literal(out, "  esac\n}\n_maitred \"$@\"\n");
}

/* ------------------------------------------------------------------ fish */

static void
fish_option(const struct command *c, const struct command_option *o, struct text *out)
{
    const char *names[] = {o->name, o->other};

    text_printf(out, "complete -c maitred -n '__fish_seen_subcommand_from %s'", c->name);
    for (size_t i = 0; i < countof(names) && names[i]; i++)
        text_printf(out, names[i][1] == '-' ? " -l %s" : " -s %s",
                    names[i] + (names[i][1] == '-' ? 2 : 1));
    if (is_file(o->value)) {
        text_literal(out, " -r -F");
    } else if (o->value) {
        text_literal(out, " -x -a '");
        put_choices(out, o->value, ' ');
        text_byte(out, '\'');
    }
    text_literal(out, " -d '");
    put_quoted(out, o->doc, "\\'", "\\");
    text_literal(out, "'\n");
}

static void
fish(struct text *out)
{
    const struct command_option *o;

    text_literal(out, "# fish completion for maitred: maitred completion fish > "
                      "~/.config/fish/completions/maitred.fish\ncomplete -c maitred -f\n");
    for (const struct command *c = command_list; c->name; c++) {
        text_printf(out, "complete -c maitred -n __fish_use_subcommand -a %s -d '", c->name);
        put_quoted(out, c->summary, "\\'", "\\");
        text_literal(out, "'\n");
        if (c->words) {
            text_printf(out, "complete -c maitred -n '__fish_seen_subcommand_from %s; and test "
                             "(count (commandline -opc)) -eq 2' -a '", c->name);
            put_choices(out, c->words, ' ');
            text_literal(out, "'\n");
        }
        for (size_t i = 0; (o = command_option_at(c, i)); i++)
            fish_option(c, o, out);
    }
}

/* ------------------------------------------------------------------ the command */

int
command_completion(const struct command *self, int argc, char **argv)
{
    static const struct {
        const char *name;
        void      (*write)(struct text *out);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    struct arguments arguments;
    int status = arguments_read(&arguments, self, argc, argv);
    struct text t;

    if (status)
        return status;
    for (size_t i = 0; arguments.n_words && i < countof(shells); i++) {
        if (strcmp(arguments.words[0], shells[i].name) != 0)
            continue;
        text_init(&t, SCRIPT_MAX);
        shells[i].write(&t);
        command_print(&t, stdout);
        text_free(&t);
        return 0;
    }
    return command_usage(self, "say for which shell: bash, zsh or fish");
}
