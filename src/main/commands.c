/* SPDX-License-Identifier: Apache-2.0 */
/* main/commands.c - the table of commands, and help made of it. */
#include "main/commands.h"

#include "base/text.h"
#include "main/client/admin.h"
#include "main/client/changes.h"

#include <string.h>

enum { DOC_COLUMN = 26, DOC_WIDTH = 72 };

/* ------------------------------------------------------------------ options */

static const struct command_option file_options[] = {
    {"-c", "--config", "FILE", "The configuration.", .required = true},
    {NULL},
};

static const struct command_option serve_options[] = {
    {"--io", .value = "epoll|auto", .doc = "How to wait for the kernel."},
    {"--workers", .value = "N", .doc = "How many threads serve; without it one for each core."},
    {"--pid-file", .value = "FILE", .doc = "Where the process that takes signals writes its "
                                           "number."},
    {"--control", .value = "SOCKET", .doc = "A Unix socket on which to take the orders of "
                                            "`maitred upgrade`."},
    {NULL},
};

static const struct command_option proxy_options[] = {
    {"--from", .value = "ADDRESS[,ADDRESS]", .doc = "Where to listen, such as :8080.",
     .required = true},
    {"--to", .value = "HOST:PORT[,HOST:PORT]", .doc = "The servers.", .required = true},
    {NULL},
};

static const struct command_option demo_options[] = {
    {"--from", .value = "ADDRESS", .doc = "Where to listen; without it :8080."},
    {NULL},
};

static const struct command_option explain_options[] = {
    {"-c", "--config", "FILE", "The configuration."},
    {"-H", .value = "'Name: value'", .doc = "A field of the request.", .repeats = true},
    {"--client", .value = "IP", .doc = "Who asks; without it 127.0.0.1."},
    {"--tls", .value = "NAME=VALUE", .doc = "What is known of the connection: resumed, or sni=, "
                                            "version=, cipher=, alpn=, ja4=, client.subject=, "
                                            "client.san=, client.fingerprint= with a value.",
     .repeats = true},
    {"--live", .value = "ID", .doc = "Instead of all that: what happened to an exchange that a "
                                     "running maitred has traced, by its request id or trace id."},
    {NULL},
};

static const struct command_option trust_options[] = {
    {"-c", "--config", "FILE", "The configuration that says where state is kept."},
    {"--install", .doc = "Have this machine trust it."},
    {NULL},
};

static const struct command_option upgrade_options[] = {
    {"--control", .value = "SOCKET", .doc = "What the running maitred was given as --control; "
                                            "without it the admin API is asked."},
    {"--within", .value = "SECONDS", .doc = "How long the new one has to get ready; without it "
                                            "30."},
    {NULL},
};

static const struct command_option json_options[] = {
    {"--json", .doc = "Print JSON."},
    {NULL},
};

static const struct command_option show_options[] = {
    {"--json", .doc = "Print what the API answers."},
    {"--sort", .value = "COLUMN", .doc = "Sort by the column of that title."},
    {NULL},
};

static const struct command_option top_options[] = {
    {"--once", .doc = "Print one screen and end; needs no terminal."},
    {"--page", .value = "routes|upstreams|servers|exchanges", .doc = "Which to begin with."},
    {NULL},
};

static const struct command_option config_options[] = {
    {"--file", .value = "FILE", .doc = "Where to write to (get, save), or what to read the value "
                                       "from (set, add, merge, patch); - is standard input."},
    {"--json", .doc = "Print JSON, not YAML."},
    {NULL},
};

static const struct command_option trace_options[] = {
    {"--route", .value = "NAME", .doc = "Only exchanges of this route."},
    {"--status", .value = "STATUS", .doc = "Only exchanges with this status."},
    {"--most", .value = "N", .doc = "How many to list."},
    {"--json", .doc = "Print what the API answers."},
    {NULL},
};

static const struct command_option revisions_options[] = {
    {"--diff", .value = "N", .doc = "What makes the revision into that one, as a JSON Patch."},
    {"--most", .value = "N", .doc = "How many to list."},
    {"--json", .doc = "Print what the API answers."},
    {NULL},
};

static const struct command_option purge_options[] = {
    {"--tag", .value = "TAG", .doc = "What has this tag."},
    {"--url", .value = "URL", .doc = "What is kept of this URL."},
    {"--prefix", .value = "URL", .doc = "What is kept of URLs that begin so."},
    {"--host", .value = "HOST", .doc = "What is kept of this host."},
    {"--all", .doc = "Everything."},
    {"--store", .value = "NAME", .doc = "In this store only."},
    {"--soft", .doc = "Only make it stale: it may be served while it is fetched anew."},
    {NULL},
};

/* ------------------------------------------------------------------ the table */

const struct command command_list[] = {
    {"run", NULL, "Serve as FILE says.", command_run, {file_options, serve_options},
     .heading = "Serve, or look at a file:"},
    {"check", NULL, "Say what is wrong with FILE, if anything.", command_check, {file_options}},
    {"proxy", NULL, "Serve without a file.", command_proxy,
     {proxy_options, serve_options}},
    {"demo", NULL, "Serve two small servers that are brought along.", command_demo,
     {demo_options, serve_options}},
    {"explain", "[METHOD URL]",
     "Say which route, middleware and server a request would meet, and why.", command_explain,
     {explain_options, admin_options}},
    {"trust", NULL,
     "Say where the authority for localhost is, or have this machine trust it.", command_trust,
     {trust_options}},
    {"schema", NULL, "Print the JSON Schema of configuration files, for editors.", command_schema},
    {"reference", NULL, "Print the reference of all options, in Markdown.", command_reference},
    {"completion", "bash|zsh|fish", "Print what makes a shell complete these commands.",
     command_completion},
    {"version", NULL, "Print the version.", command_version},

    {"status", NULL, "Say on one page how a running maitred is.", command_status,
     {json_options, admin_options}, .heading = "Ask a running maitred:"},
    {"top", NULL, "Watch a running maitred: routes, upstreams, servers, exchanges.", command_top,
     {top_options, admin_options}},
    {"show", "routes|upstreams|servers|exchanges|connections|listeners|certificates|caches|stores"
             "|traces|revisions|audit",
     "List what a running maitred has.", command_show, {show_options, admin_options}},
    {"trace", "[ID]", "List traced exchanges, or say what happened to one.", command_trace,
     {trace_options, admin_options}},
    {"config", "get|set|add|merge|patch|remove|edit|save|changes|reset [POINTER] [VALUE]",
     "Look at the configuration in force, or change it.", command_config,
     {config_options, changes_options, admin_options},
     "  get [POINTER]            print it, or what a JSON Pointer names: /routes/shop/to\n"
     "  set POINTER VALUE        put a value there, in YAML or JSON\n"
     "  add POINTER VALUE        append an item to a list\n"
     "  merge [POINTER] VALUE    a merge patch (RFC 7396): null removes\n"
     "  patch [POINTER] --file F a JSON Patch (RFC 6902)\n"
     "  remove POINTER           take it away\n"
     "  edit [POINTER]           in $VISUAL or $EDITOR\n"
     "  save                     the whole, as a file\n"
     "  changes                  what was changed over the files\n"
     "  reset                    drop these changes: the files alone\n"},
    {"plan", NULL, "Say what FILE would change, before it does.", command_plan,
     {file_options, json_options, admin_options}},
    {"apply", NULL, "Have a running maitred serve as FILE says.", command_apply,
     {file_options, changes_options, admin_options}},
    {"confirm", NULL, "Keep the configuration that is on trial.", command_confirm,
     {admin_options}},
    {"abort", NULL, "End the trial: back to the configuration before it.", command_abort,
     {admin_options}},
    {"rollback", "[N]", "Go back to the revision before, or to revision N.", command_rollback,
     {changes_options, admin_options}},
    {"revisions", "[N]", "List the configurations that were served, or print one.",
     command_revisions, {revisions_options, admin_options}},
    {"reload", NULL, "Read the configuration's files again.", command_reload,
     {changes_options, admin_options}},
    {"server", "drain|ready|maintenance|weight|add|remove|forget UPSTREAM ADDRESS [WEIGHT]",
     "Take a server out, put it back, weigh it, add or remove one.", command_server,
     {admin_options},
     "  drain        no new work; what it does is finished\n"
     "  maintenance  out of use\n"
     "  ready        in use again\n"
     "  weight N     its share of the work\n"
     "  add          one that the configuration does not name\n"
     "  remove       it finishes what it serves\n"
     "  forget       again as the configuration says\n"},
    {"purge", NULL, "Remove what caches keep.", command_purge, {purge_options, admin_options}},
    {"log-level", "[error|warning|info|debug]", "Print the level of the message log, or set it.",
     command_log_level, {admin_options}},
    {"upgrade", NULL, "Replace a running maitred by the program as it is on disk now.",
     command_upgrade, {upgrade_options, admin_options}},
    {NULL},
};

const struct command *
command_find(const char *name)
{
    for (const struct command *c = command_list; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

const struct command_option *
command_option_at(const struct command *c, size_t i)
{
    for (size_t group = 0; group < COMMAND_GROUPS && c->options[group]; group++)
        for (const struct command_option *o = c->options[group]; o->name; o++)
            if (i-- == 0)
                return o;
    return NULL;
}

/* ------------------------------------------------------------------ help */

static void
print_usage(const struct command *c, FILE *out)
{
    const struct command_option *o;

    fprintf(out, "usage: maitred %s%s%s", c->name, c->words ? " " : "", c->words ? c->words : "");
    for (size_t i = 0; (o = command_option_at(c, i)); i++)
        fprintf(out, " %s%s%s%s%s%s", o->required ? "" : "[", o->name, o->value ? " " : "",
                o->value ? o->value : "", o->required ? "" : "]", o->repeats ? "..." : "");
    fputc('\n', out);
}

/* Words from a column on, in lines that are no longer than a terminal's. */
static void
print_wrapped(const char *text, FILE *out)
{
    struct slice rest = slice_str(text);
    int column = 0;

    while (slice_is_present(rest)) {
        struct slice word = slice_cut(&rest, ' ');

        if (column && column + 1 + (int) word.n > DOC_WIDTH - DOC_COLUMN) {
            fprintf(out, "\n%*s", DOC_COLUMN, "");
            column = 0;
        }
        fprintf(out, "%s%.*s", column ? " " : "", SLICE_ARG(word));
        column += (int) word.n + 1;
    }
    fputc('\n', out);
}

static void
print_option(const struct command_option *o, FILE *out)
{
    int n = fprintf(out, "  %s%s%s%s%s", o->name, o->other ? ", " : "", o->other ? o->other : "",
                    o->value ? " " : "", o->value ? o->value : "");

    if (n >= DOC_COLUMN)
        fprintf(out, "\n%*s", DOC_COLUMN, "");
    else
        fprintf(out, "%*s", DOC_COLUMN - n, "");
    print_wrapped(o->doc, out);
}

void
command_print_help_of(const struct command *c, FILE *out)
{
    const struct command_option *o;

    print_usage(c, out);
    fprintf(out, "\n%s\n", c->summary);
    if (c->doc)
        fprintf(out, "\n%s", c->doc);
    for (size_t i = 0; (o = command_option_at(c, i)); i++) {
        if (i == 0)
            fputc('\n', out);
        print_option(o, out);
    }
}

void
command_print_help(FILE *out)
{
    fputs("maitred - a reverse proxy\n\nUsage: maitred COMMAND [OPTIONS]\n\n", out);
    for (const struct command *c = command_list; c->name; c++) {
        if (c->heading)
            fprintf(out, "%s%s\n", c == command_list ? "" : "\n", c->heading);
        fprintf(out, "  %-10s %s\n", c->name, c->summary);
    }
    fputs("\n`maitred COMMAND --help` tells the options of a command.\n", out);
}

int
command_usage(const struct command *c, const char *wrong)
{
    fprintf(stderr, "maitred %s: %s\n", c->name, wrong);
    print_usage(c, stderr);
    return 2;
}

int
command_unknown(const struct command *c, const char *argument)
{
    fprintf(stderr, "maitred %s: unknown argument `%s`\n", c->name, argument);
    print_usage(c, stderr);
    return 2;
}
