/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_config.c - `maitred config`: the configuration in force, looked at and
 * changed piece by piece. */
#include "main/client/changes.h"
#include "main/client/editor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 8192 };

static const char yaml_type[] = "application/yaml";

/* What the words after the first mean. */
struct config_request {
    struct slice pointer;
    struct slice value;  /* absent: none */
    const char  *source; /* what complaints call it: its file */
};

struct config_action {
    const char *name;
    int       (*run)(struct admin *a, const struct config_action *action,
                     const struct config_request *r);
    enum method method;
    const char *type;
    bool        takes_value;
    bool        needs_pointer;
};

/* ------------------------------------------------------------------ paths */

/* "/v1/config/routes/0?comment=..."; NULL after a complaint.  Free it. */
static char *
path_of(struct admin *a, const char *place, struct slice pointer, bool changes)
{
    struct text t;

    text_init(&t, PATH_MAX_BYTES);
    text_put(&t, slice_str(place));
    admin_put_pointer(&t, pointer);
    if (changes)
        changes_put_query(a->arguments, &t);
    text_byte(&t, '\0');
    if (!t.full)
        return t.at;
    text_free(&t);
    a->status = command_usage(a->arguments->command, "the pointer or the comment is too long");
    return NULL;
}

/* ------------------------------------------------------------------ looking */

/* Asks for a place; the answer is the caller's to free.  False after a complaint. */
static bool
look(struct admin *a, struct slice pointer, bool json, struct admin_call *call)
{
    char *path = path_of(a, "/v1/config", pointer, false);
    bool good;

    *call = (struct admin_call){.method = METHOD_GET, .path = path,
                                .accept = json ? NULL : yaml_type};
    good = path && admin_ask(a, call);
    free(path);
    return good;
}

/* Next to the old one first, so that there is never half a file; readable by its owner only. */
static bool
write_file(const char *path, struct slice content)
{
    char fresh[4096];
    int fd, error = 0;

    if (snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path) >= (int) sizeof(fresh)) {
        errno = ENAMETOOLONG;
        return false;
    }
    fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return false;
    for (size_t done = 0; done < content.n && !error;) {
        ssize_t n = write(fd, content.at + done, content.n - done);

        if (n < 0 && errno != EINTR)
            error = errno;
        done += n > 0 ? (size_t) n : 0;
    }
    if (!error && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    if (!error && rename(fresh, path) != 0)
        error = errno;
    if (error)
        unlink(fresh);
    errno = error;
    return error == 0;
}

static int
deliver(struct admin *a, struct slice content)
{
    const char *path = arguments_value(a->arguments, "--file");

    if (!path || strcmp(path, "-") == 0) {
        fwrite(content.at, 1, content.n, stdout);
        return 0;
    }
    if (write_file(path, content))
        return 0;
    fprintf(stderr, "maitred config: cannot write `%s`: %s\n", path, strerror(errno));
    return 1;
}

static int
get(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    struct admin_call call;
    int status;

    (void) action;
    status = look(a, r->pointer, arguments_has(a->arguments, "--json"), &call)
                 ? deliver(a, call.answer.body)
                 : a->status;
    admin_call_free(&call);
    return status;
}

static int
save(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    struct admin_call call;
    int status;

    (void) action;
    if (r->pointer.n)
        return command_usage(a->arguments->command, "save takes no pointer: it is the whole");
    if (!look(a, r->pointer, arguments_has(a->arguments, "--json"), &call)) {
        status = a->status;
    } else {
        status = deliver(a, call.answer.body);
        if (slice_search(call.answer.body, SLICE("***")) != SLICE_NOT_FOUND)
            fputs("warning: secrets are written as ***: put them back, or ${file:...} in their "
                  "place\n", stderr);
    }
    admin_call_free(&call);
    return status;
}

/* The patch over the files alone. */
static int
changes(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    json_t *answer;
    const json_t *shown;

    (void) action;
    (void) r;
    answer = admin_get(a, "/v1/config-sources");
    if (!answer)
        return a->status;
    shown = arguments_has(a->arguments, "--json") ? answer : json_object_get(answer, "patch");
    json_dumpf(shown ? shown : answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', stdout);
    json_decref(answer);
    return 0;
}

/* ------------------------------------------------------------------ changing */

static int
change_at(struct admin *a, const struct config_action *action, const struct config_request *r,
          struct slice if_match)
{
    struct admin_call call = {.method = action->method,
                              .type = action->type,
                              .body = r->value,
                              .source = r->source,
                              .if_match = if_match};
    char *path = path_of(a, "/v1/config", r->pointer, true);
    int status;

    if (!path)
        return a->status;
    call.path = path;
    status = changes_ask(a, &call);
    free(path);
    return status;
}

static int
change(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    return change_at(a, action, r, (struct slice){NULL, 0});
}

static int
reset(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    struct admin_call call = {.method = METHOD_POST};
    char *path = path_of(a, "/v1/reset", SLICE(""), true);
    int status;

    (void) action;
    (void) r;
    if (!path)
        return a->status;
    call.path = path;
    status = changes_ask(a, &call);
    free(path);
    return status;
}

/* The text as it came from an editor, put back if nobody else has changed it meanwhile. */
static int
put_edited(struct admin *a, const struct config_action *action, const struct config_request *r,
           const struct admin_call *before)
{
    const struct field *tag = fields_find(&before->answer.fields, SLICE("etag"));
    struct config_request edited = *r;
    struct text after;
    char file[EDITOR_PATH_ROOM];
    int status;

    text_init(&after, 64 * 1024 * 1024);
    if (!editor_run(a->arguments->command->name, before->answer.body, file, &after)) {
        status = 1;
    } else if (slice_eq(text_slice(&after), before->answer.body)) {
        puts("nothing was changed");
        unlink(file);
        status = 0;
    } else {
        edited.value = text_slice(&after);
        edited.source = file;
        status = change_at(a, action, &edited, tag ? tag->value : (struct slice){NULL, 0});
        if (status == 0)
            unlink(file);
        else
            fprintf(stderr, "hint: your text is kept in %s\n", file);
    }
    text_free(&after);
    return status;
}

static int
edit(struct admin *a, const struct config_action *action, const struct config_request *r)
{
    struct admin_call before;
    int status = look(a, r->pointer, false, &before) ? put_edited(a, action, r, &before)
                                                     : a->status;

    admin_call_free(&before);
    return status;
}

/* ------------------------------------------------------------------ the command */

static const struct config_action actions[] = {
    {"get", get},
    {"set", change, METHOD_PUT, yaml_type, .takes_value = true, .needs_pointer = true},
    {"add", change, METHOD_POST, yaml_type, .takes_value = true, .needs_pointer = true},
    {"merge", change, METHOD_PATCH, "application/merge-patch+json", .takes_value = true},
    {"patch", change, METHOD_PATCH, "application/json-patch+json", .takes_value = true},
    {"remove", change, METHOD_DELETE, NULL, .needs_pointer = true},
    {"edit", edit, METHOD_PUT, yaml_type},
    {"save", save},
    {"changes", changes},
    {"reset", reset},
};

static const struct config_action *
find_action(const char *name)
{
    for (size_t i = 0; name && i < countof(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* A pointer begins with a slash; the value is a word, or in a file.  0, or the exit status. */
static int
take_words(struct admin *a, const struct config_action *action, struct config_request *r)
{
    const struct command *self = a->arguments->command;
    const char *word = arguments_word(a->arguments, 1), *file;
    size_t next = 1;

    *r = (struct config_request){.pointer = SLICE("")};
    if (word && (word[0] == '/' || word[0] == '\0')) {
        r->pointer = slice_str(word);
        next++;
    }
    word = arguments_word(a->arguments, next);
    file = action->takes_value ? arguments_value(a->arguments, "--file") : NULL;
    if (action->needs_pointer && next == 1)
        return command_usage(self, "a JSON Pointer such as /routes/0/to is needed");
    if (word && (!action->takes_value || file))
        return command_unknown(self, word);
    if (arguments_word(a->arguments, next + 1))
        return command_unknown(self, arguments_word(a->arguments, next + 1));
    if (action->takes_value && !word && !file)
        return command_usage(self, "a value is needed, or --file FILE");
    if (word)
        r->value = slice_str(word);
    r->source = file ? file : "value";
    return file && !changes_read_file(a, file, &r->value) ? 2 : 0;
}

static int
config(struct admin *a)
{
    const struct config_action *action = find_action(arguments_word(a->arguments, 0));
    struct config_request request;
    int status;

    if (!action)
        return command_usage(a->arguments->command, "say what to do, such as get");
    status = take_words(a, action, &request);
    return status ? status : action->run(a, action, &request);
}

int
command_config(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, config);
}
