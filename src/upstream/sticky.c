/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/sticky.c - the signed cookie.
 *
 *     value     = base64url(payload signature)
 *     payload   = id (8 bytes) issued (5 bytes, seconds since 1970), big-endian
 *     signature = the first 16 bytes of HMAC-SHA-256(secret, "cookie" NUL upstream NUL payload)
 *     id        = the first 8 bytes of HMAC-SHA-256(secret, "server" NUL upstream NUL address)
 *
 * Names hold no zero byte, so no two of these texts are alike.
 */
#include "upstream/sticky.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/mac.h"
#include "base/map.h"

#include <pthread.h>

enum {
    ID_BYTES = 8,
    TIME_BYTES = 5,
    PAYLOAD_BYTES = ID_BYTES + TIME_BYTES,
    SIGNATURE_BYTES = 16,
    COOKIE_BYTES = PAYLOAD_BYTES + SIGNATURE_BYTES,
    COOKIE_LETTERS = BASE64_LETTERS(COOKIE_BYTES),
    SECRET_BYTES = 32,
    CLOCKS_DIFFER_S = 300, /* between proxies that share a secret */
};

enum secure { SECURE_AUTO, SECURE_ALWAYS, SECURE_NEVER };
enum same_site { SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE };

static const char *const secure_names[] = {"auto", "always", "never", NULL};
static const char *const same_site_names[] = {"lax", "strict", "none", NULL};

/* ------------------------------------------------------------------ options */

static const struct option sticky_options[] = {
    {"cookie", &option_string, offsetof(struct sticky_config, cookie),
     .doc = "The name of the cookie; by default `sticky_` and eight digits that differ from "
            "upstream to upstream."},
    {"secret", &option_string, offsetof(struct sticky_config, secret), .flags = OPTION_SECRET,
     .doc = "What the cookie is signed with, at least 16 bytes, such as `${file:sticky.key}`; "
            "absent, it is drawn at random when the process starts: then clients lose their "
            "server with a restart, and two proxies do not understand each other's cookies."},
    {"max_age", &option_duration, offsetof(struct sticky_config, max_age_us), .preset = "0",
     .min = 0, .max = 31536000000000,
     .doc = "How long a client that stays away keeps its server; 0 is until its browser ends."},
    {"secure", &option_choice, offsetof(struct sticky_config, secure), .preset = "auto",
     .choices = secure_names,
     .doc = "Whether browsers send the cookie over HTTPS only; `auto` says so to those that came "
            "over HTTPS."},
    {"same_site", &option_choice, offsetof(struct sticky_config, same_site), .preset = "lax",
     .choices = same_site_names,
     .doc = "Whether browsers send the cookie with requests that begin on other sites."},
    {NULL},
};

static bool
check_sticky(struct config_bind *b, void *object)
{
    const struct sticky_config *s = object;

    if (slice_is_present(s->cookie) && !is_token(s->cookie))
        return config_bind_error(b, &s->cookie, "letters, digits, `-` and `_`",
                                 "`%.*s` cannot be the name of a cookie", SLICE_ARG(s->cookie));
    if (slice_is_present(s->secret) && s->secret.n < 16)
        return config_bind_error(b, &s->secret, "`openssl rand -base64 32` makes one",
                                 "the secret has less than 16 bytes");
    if (s->max_age_us % 1000000)
        return config_bind_error(b, &s->max_age_us, NULL, "`max_age` must be whole seconds");
    if (s->same_site == SAME_SITE_NONE && s->secure == SECURE_NEVER)
        return config_bind_error(b, &s->secure, "leave out `secure: never`",
                                 "browsers take `same_site: none` with a secure cookie only");
    return true;
}

const struct option_object sticky_object = {
    .name = "sticky",
    .doc = "A client stays with the server that answered it first, as long as that one is "
           "usable, by a signed cookie that tells nothing of the server.",
    .size = sizeof(struct sticky_config),
    .options = sticky_options,
    .shorthand = "cookie",
    .check = check_sticky,
};

/* ------------------------------------------------------------------ signing */

static char secret_of_process[SECRET_BYTES];

static void
draw_secret(void)
{
    random_bytes(secret_of_process, sizeof(secret_of_process));
}

static struct slice
key_of(struct slice secret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (slice_is_present(secret))
        return secret;
    pthread_once(&once, draw_secret);
    return slice_of(secret_of_process, sizeof(secret_of_process));
}

/* kind: the whole word with the zero byte behind it. */
static bool
sign(struct slice secret, struct slice kind, struct slice upstream, struct slice text,
     uint8_t out[MAC_BYTES])
{
    const struct slice parts[] = {kind, upstream, SLICE("\0"), text};

    return mac_sha256(key_of(secret), parts, countof(parts), out);
}

static uint64_t
read_number(const uint8_t *at, size_t n)
{
    uint64_t value = 0;

    while (n--)
        value = value << 8 | *at++;
    return value;
}

static void
write_number(uint8_t *at, size_t n, uint64_t value)
{
    for (; n; value >>= 8)
        at[--n] = (uint8_t) value;
}

uint64_t
sticky_id(struct slice secret, struct slice upstream, struct slice server)
{
    uint8_t mac[MAC_BYTES];
    uint64_t id;

    if (!sign(secret, SLICE("server\0"), upstream, server, mac))
        return 0;
    id = read_number(mac, ID_BYTES);
    return id ? id : 1;
}

/* ------------------------------------------------------------------ reading */

/* Two upstreams of one site must not overwrite each other's cookies. */
static struct slice
cookie_name(const struct sticky_config *config, struct slice upstream, char memory[32])
{
    struct text t;

    if (slice_is_present(config->cookie))
        return config->cookie;
    text_fixed(&t, memory, 32);
    text_printf(&t, "sticky_%08x", (uint32_t) hash_stable(upstream));
    return text_slice(&t);
}

static bool
is_valid_then(const struct sticky_config *config, uint64_t issued_s, uint64_t now_s)
{
    return issued_s <= now_s + CLOCKS_DIFFER_S &&
           (config->max_age_us == 0 || now_s <= issued_s + config->max_age_us / 1000000);
}

bool
sticky_read(const struct sticky_config *config, struct slice upstream, const struct exchange *x,
            uint64_t now_s, struct sticky_seen *seen)
{
    char memory[32];
    struct slice value =
        fields_cookie(&x->request.fields, cookie_name(config, upstream, memory));
    uint8_t cookie[COOKIE_BYTES], mac[MAC_BYTES];

    *seen = (struct sticky_seen){0};
    if (value.n != COOKIE_LETTERS || !base64_decode(value, cookie) ||
        !sign(config->secret, SLICE("cookie\0"), upstream,
              slice_of((const char *) cookie, PAYLOAD_BYTES), mac) ||
        !mac_equal(mac, cookie + PAYLOAD_BYTES, SIGNATURE_BYTES) ||
        !is_valid_then(config, read_number(cookie + ID_BYTES, TIME_BYTES), now_s))
        return false;
    seen->id = read_number(cookie, ID_BYTES);
    seen->issued_s = read_number(cookie + ID_BYTES, TIME_BYTES);
    return true;
}

/* ------------------------------------------------------------------ taking it out */

static bool
is_cookie(struct slice pair, struct slice name)
{
    size_t equals = slice_find(pair, '=');

    return equals != SLICE_NOT_FOUND && slice_eq(slice_trim(slice_first(pair, equals)), name);
}

static bool
has_cookie(struct slice value, struct slice name)
{
    while (slice_is_present(value))
        if (is_cookie(slice_cut(&value, ';'), name))
            return true;
    return false;
}

/* The field's value without it; absent when out of memory. */
static struct slice
without_cookie(struct arena *arena, struct slice value, struct slice name)
{
    char *memory = arena_alloc(arena, value.n + 1); /* one more `;` than there was, in front */
    struct text t;

    if (!memory)
        return (struct slice){NULL, 0};
    text_fixed(&t, memory, value.n + 1);
    while (slice_is_present(value)) {
        struct slice pair = slice_cut(&value, ';');

        if (is_cookie(pair, name))
            continue;
        text_byte(&t, ';');
        text_put(&t, pair);
    }
    return slice_trim(slice_from(text_slice(&t), 1));
}

void
sticky_strip(const struct sticky_config *config, struct slice upstream, struct exchange *x)
{
    char memory[32];
    struct slice name = cookie_name(config, upstream, memory);
    struct fields *f = &x->request.fields;
    size_t kept = 0;

    if (!fields_has(f, FIELD_COOKIE))
        return;
    for (size_t i = 0; i < f->n; i++) {
        struct field field = f->at[i];

        if (field.id == FIELD_COOKIE && has_cookie(field.value, name)) {
            struct slice rest = without_cookie(&x->arena, field.value, name);

            if (slice_is_present(rest) && rest.n == 0)
                continue;
            if (slice_is_present(rest))
                field.value = rest;
        }
        f->at[kept++] = field;
    }
    f->n = (uint32_t) kept;
}

/* ------------------------------------------------------------------ giving it */

static bool
is_fresh(const struct sticky_config *config, const struct sticky_seen *seen, uint64_t id,
         uint64_t now_s)
{
    return seen->id == id &&
           (config->max_age_us == 0 || now_s < seen->issued_s + config->max_age_us / 2000000);
}

static bool
write_value(const struct sticky_config *config, struct slice upstream, uint64_t id, uint64_t now_s,
            char letters[COOKIE_LETTERS])
{
    uint8_t cookie[COOKIE_BYTES], mac[MAC_BYTES];
    struct slice payload = slice_of((const char *) cookie, PAYLOAD_BYTES);

    write_number(cookie, ID_BYTES, id);
    write_number(cookie + ID_BYTES, TIME_BYTES, now_s);
    if (!sign(config->secret, SLICE("cookie\0"), upstream, payload, mac))
        return false;
    memcpy(cookie + PAYLOAD_BYTES, mac, SIGNATURE_BYTES);
    base64_encode(slice_of((const char *) cookie, sizeof(cookie)), letters);
    return true;
}

static bool
is_secure(const struct sticky_config *config, const struct exchange *x)
{
    switch ((enum secure) config->secure) {
    case SECURE_AUTO:
        return config->same_site == SAME_SITE_NONE || slice_eq(x->scheme, SLICE("https"));
    case SECURE_ALWAYS: return true;
    case SECURE_NEVER: return false;
    }
    UNREACHABLE();
}

static const char *
same_site_words(const struct sticky_config *config)
{
    switch ((enum same_site) config->same_site) {
    case SAME_SITE_LAX: return "; SameSite=Lax";
    case SAME_SITE_STRICT: return "; SameSite=Strict";
    case SAME_SITE_NONE: return "; SameSite=None";
    }
    UNREACHABLE();
}

void
sticky_write(const struct sticky_config *config, struct slice upstream,
             const struct sticky_seen *seen, uint64_t id, struct exchange *x, uint64_t now_s)
{
    char memory[32], letters[COOKIE_LETTERS], age[40] = "";
    struct slice name = cookie_name(config, upstream, memory), field;

    if (id == 0 || is_fresh(config, seen, id, now_s) ||
        !write_value(config, upstream, id, now_s, letters))
        return;
    if (config->max_age_us)
        snprintf(age, sizeof(age), "; Max-Age=%llu",
                 (unsigned long long) (config->max_age_us / 1000000));
    field = arena_printf(&x->arena, "%.*s=%.*s; Path=/; HttpOnly%s%s%s", SLICE_ARG(name),
                         COOKIE_LETTERS, letters, same_site_words(config), age,
                         is_secure(config, x) ? "; Secure" : "");
    /* Without memory the client is balanced anew next time: no reason to fail this exchange. */
    if (slice_is_present(field))
        fields_add(&x->response.fields, FIELD_SET_COOKIE, field);
}
