/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/admin.c - where the API is, and one question to it. */
#include "main/client/admin.h"

#include "config/config.h"
#include "http/uri.h"
#include "main/client/problem.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum {
    TOKEN_MAX = 4096,
    TOKEN_FILE_MAX = 8192,
    CA_FILE_MAX = 4 * 1024 * 1024,
    URL_MAX = 8192,
    ARENA_MAX = 256 * 1024 * 1024,
};

static const char preset_address[] = "unix:/run/maitred/admin.sock";

const struct command_option admin_options[] = {
    {"--admin", .value = "ADDRESS",
     .doc = "Where maitred's `admin` listens: unix:/path, http://host:port or https://host:port. "
            "Without it $MAITRED_ADMIN, else unix:/run/maitred/admin.sock."},
    {"--token-file", .value = "FILE",
     .doc = "The token to show, which a Unix socket does not ask for. Without it $MAITRED_TOKEN."},
    {"--ca", .value = "FILE", .doc = "Certificates (PEM) to trust with https, instead of the "
                                     "system's."},
    {NULL},
};

/* ------------------------------------------------------------------ whom to ask */

static const char *
or_environment(const char *value, const char *name)
{
    if (!value)
        value = getenv(name);
    return value && *value ? value : NULL;
}

static bool
read_file(struct admin *a, const char *path, size_t max_bytes, struct slice *out)
{
    struct text t;
    int error;

    text_init(&t, max_bytes);
    error = config_source_system.read(config_source_system.arg, path, &t);
    if (error)
        fprintf(stderr, "maitred %s: cannot read `%s`: %s\n", a->arguments->command->name, path,
                strerror(error));
    else
        *out = arena_copy(&a->arena, text_slice(&t));
    text_free(&t);
    return !error && out->at;
}

static bool
find_address(struct admin *a)
{
    const char *said = or_environment(arguments_value(a->arguments, "--admin"), "MAITRED_ADMIN");
    struct slice address, scheme, authority, rest;

    a->address = said ? said : preset_address;
    address = slice_str(a->address);
    if (slice_starts(address, SLICE("unix:/"))) {
        a->socket = a->address + strlen("unix:");
        a->base = SLICE("http://maitred");
        return true;
    }
    while (slice_ends(address, SLICE("/")))
        address.n--;
    a->base = address;
    if (target_split_absolute(address, &scheme, &authority, &rest) && rest.n == 0)
        return true;
    (void) command_usage(a->arguments->command,
                         "--admin takes unix:/path, http://host:port or https://host:port");
    return false;
}

static bool
find_token(struct admin *a)
{
    const char *file = arguments_value(a->arguments, "--token-file");
    struct slice token = slice_str(or_environment(NULL, "MAITRED_TOKEN"));

    if (file && !read_file(a, file, TOKEN_FILE_MAX, &token))
        return false;
    while (token.n && strchr(" \t\r\n", token.at[token.n - 1]))
        token.n--;
    if (token.n == 0)
        return true;
    if (token.n > TOKEN_MAX || !is_field_value(token)) {
        fprintf(stderr, "maitred %s: that is no token\n", a->arguments->command->name);
        return false;
    }
    a->bearer = arena_printf(&a->arena, "Bearer %.*s", SLICE_ARG(token));
    return a->bearer.at != NULL;
}

static bool
find_trust(struct admin *a)
{
    const char *file = arguments_value(a->arguments, "--ca");
    struct tls_client_options options = {.offer_h1 = true};
    char room[200];
    struct text why;

    if (!file)
        return true;
    if (!read_file(a, file, CA_FILE_MAX, &options.ca))
        return false;
    text_fixed(&why, room, sizeof(room));
    a->tls = tls_client_new(&options, &why);
    if (!a->tls)
        fprintf(stderr, "maitred %s: --ca %s: %.*s\n", a->arguments->command->name, file,
                SLICE_ARG(text_slice(&why)));
    return a->tls != NULL;
}

/* ------------------------------------------------------------------ running */

struct running {
    struct admin admin;
    int        (*body)(struct admin *a);
};

static int
run(void *arg)
{
    struct running *r = arg;
    int status = 2;

    if (find_address(&r->admin) && find_token(&r->admin) && find_trust(&r->admin))
        status = r->body(&r->admin);
    if (r->admin.tls)
        tls_client_release(r->admin.tls);
    return status;
}

int
admin_run(const struct command *self, int argc, char **argv, int (*body)(struct admin *a))
{
    struct arguments arguments;
    struct running r = {.admin = {.arguments = &arguments}, .body = body};
    int status = arguments_read(&arguments, self, argc, argv);

    if (status)
        return status;
    arena_init(&r.admin.arena, NULL, 0, ARENA_MAX);
    status = command_with_loop(run, &r);
    arena_free(&r.admin.arena);
    return status;
}

/* ------------------------------------------------------------------ asking */

static size_t
put_fields(struct admin_call *c)
{
    size_t n = 0;

    c->fields[n++] = (struct field){
        .name = SLICE("Accept"),
        .value = slice_str(c->accept ? c->accept : "application/json")};
    if (slice_is_present(c->admin->bearer))
        c->fields[n++] = (struct field){.name = SLICE("Authorization"), .value = c->admin->bearer};
    if (slice_is_present(c->body))
        c->fields[n++] = (struct field){
            .name = SLICE("Content-Type"),
            .value = slice_str(c->type ? c->type : "application/json")};
    if (slice_is_present(c->if_match))
        c->fields[n++] = (struct field){.name = SLICE("If-Match"), .value = c->if_match};
    return n;
}

static void
call(void *arg)
{
    struct admin_call *c = arg;
    uint64_t within_us = c->within_us ? c->within_us : ADMIN_WITHIN_US;
    struct fetch f = {
        .url = text_slice(&c->url),
        .socket = c->admin->socket,
        .method = c->method,
        .fields = c->fields,
        .n_fields = put_fields(c),
        .body = c->body,
        .tls = c->admin->tls,
        .deadline_us = within_us == TIMER_NEVER ? within_us : loop_now_us() + within_us,
        .max_bytes = ADMIN_ANSWER_MAX,
        .receive = c->receive,
        .receive_arg = c->receive_arg,
    };

    c->e = http_fetch(&f, &c->answer);
    c->fiber = NULL;
    c->done = true;
}

bool
admin_start(struct admin *a, struct admin_call *c)
{
    c->admin = a;
    text_init(&c->url, URL_MAX);
    text_put(&c->url, a->base);
    text_put(&c->url, slice_str(c->path));
    c->fiber = c->url.full ? NULL : fiber_start("admin", call, c);
    c->done = c->fiber == NULL;
    c->e = c->done ? ERR_NO_MEMORY : OK;
    return !c->done;
}

bool
admin_ask(struct admin *a, struct admin_call *c)
{
    (void) admin_start(a, c);
    while (!c->done)
        loop_once(loop_self(), clock_monotonic_us() + 1000000);
    if (c->e == OK && c->answer.status >= 200 && c->answer.status < 300)
        return true;
    admin_complain(a, c);
    return false;
}

void
admin_call_free(struct admin_call *c)
{
    if (c->fiber)
        fiber_cancel(c->fiber, ERR_CANCELLED);
    while (c->fiber)
        loop_once(loop_self(), clock_monotonic_us() + 10000);
    fetch_answer_free(&c->answer);
    text_free(&c->url);
}

/* ------------------------------------------------------------------ complaints */

static void
complain_of_line(const struct admin *a, const struct admin_call *c)
{
    const char *name = a->arguments->command->name;

    fprintf(stderr, "maitred %s: %s\n", name, c->e == ERR_NO_MEMORY ? err_sentence(c->e)
                                                                   : c->answer.why);
    if (c->e == ERR_NOT_FOUND || c->e == ERR_REFUSED)
        fprintf(stderr,
                "hint: is maitred running, with `admin` in its configuration?  --admin says "
                "where else to ask\n");
    else if (c->e == ERR_DENIED && a->socket)
        fprintf(stderr, "hint: the socket belongs to the user that maitred runs as; try sudo\n");
}

static void
complain_of_answer(struct admin *a, const struct admin_call *c)
{
    struct problem_source source = {c->source, c->body, a->socket != NULL};
    struct text places, sentence;

    text_init(&places, 4 * 1024 * 1024);
    text_init(&sentence, 4096);
    if (!problem_print(c->answer.body, &source, &places, &sentence))
        text_printf(&sentence, "the answer on %s is %u", a->address, c->answer.status);
    command_print(&places, stderr);
    fprintf(stderr, "maitred %s: %.*s\n", a->arguments->command->name,
            SLICE_ARG(text_slice(&sentence)));
    if (c->answer.status == 401)
        fprintf(stderr, "hint: %s--token-file FILE, or MAITRED_TOKEN in the environment, shows a "
                        "token of `admin: tokens`\n", a->socket ? "try sudo; " : "");
    text_free(&places);
    text_free(&sentence);
}

void
admin_complain(struct admin *a, struct admin_call *c)
{
    bool wrong = c->e == OK && (c->answer.status == 400 || c->answer.status == 422);

    a->status = wrong ? 2 : 1;
    if (c->e != OK)
        complain_of_line(a, c);
    else
        complain_of_answer(a, c);
}

/* ------------------------------------------------------------------ as JSON */

static json_t *
as_json(struct admin *a, const struct admin_call *c)
{
    json_t *value;

    if (c->answer.body.n == 0)
        return json_null();
    value = json_loadb(c->answer.body.at, c->answer.body.n, JSON_DECODE_ANY, NULL);
    if (!value) {
        fprintf(stderr, "maitred %s: what answers on %s is not maitred's API\n",
                a->arguments->command->name, a->address);
        a->status = 1;
    }
    return value;
}

json_t *
admin_get(struct admin *a, const char *path)
{
    return admin_change(a, METHOD_GET, path, (struct slice){NULL, 0});
}

json_t *
admin_get_if_there(struct admin *a, const char *path)
{
    struct admin_call c = {.method = METHOD_GET, .path = path};
    json_t *value = NULL;

    a->status = 0;
    (void) admin_start(a, &c);
    while (!c.done)
        loop_once(loop_self(), clock_monotonic_us() + 1000000);
    if (c.e == OK && c.answer.status == 200)
        value = as_json(a, &c);
    else if (c.e != OK || c.answer.status != 404)
        admin_complain(a, &c);
    admin_call_free(&c);
    return value;
}

json_t *
admin_change(struct admin *a, enum method method, const char *path, struct slice body)
{
    struct admin_call c = {.method = method, .path = path, .body = body};
    json_t *value = admin_ask(a, &c) ? as_json(a, &c) : NULL;

    admin_call_free(&c);
    return value;
}

struct slice
admin_string(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return slice_of(json_string_value(value), json_string_length(value));
}

/* ------------------------------------------------------------------ writing */

static void
put_encoded(struct text *out, struct slice s, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];

        if (ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr(also, c)))
            text_byte(out, c);
        else
            text_printf(out, "%%%02X", (unsigned) (unsigned char) c);
    }
}

void
admin_put_segment(struct text *out, struct slice segment)
{
    put_encoded(out, segment, "-._~:@");
}

void
admin_put_pointer(struct text *out, struct slice pointer)
{
    put_encoded(out, pointer, "-._~:@/");
}

/* How many bytes at the start a terminal may get; 0: the first is not one of them. */
static size_t
clean_length(struct slice s)
{
    unsigned char first = (unsigned char) s.at[0];

    if (first < 0x80)
        return first >= 0x20 && first != 0x7F;
    /* U+0080 to U+009F are control characters too. */
    if (first == 0xC2 && s.n > 1 && (unsigned char) s.at[1] < 0xA0)
        return 0;
    return text_utf8_length(s);
}

void
admin_put_clean(struct text *out, struct slice s)
{
    while (s.n) {
        size_t n = clean_length(s), whole = text_utf8_length(s);

        if (n)
            text_put(out, slice_first(s, n));
        else
            text_byte(out, s.at[0] == '\t' || s.at[0] == '\n' ? ' ' : '?');
        s = slice_from(s, whole ? whole : 1);
    }
}
