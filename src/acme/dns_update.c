/* SPDX-License-Identifier: Apache-2.0 */
/* acme/dns_update.c - the wire of the DNS, as far as it is needed here. */
#include "acme/dns_update.h"

#include "base/check.h"

enum {
    HEADER_BYTES = 12,
    LABEL_MAX = 63,
    NAME_MAX_BYTES = 255,
    TYPE_SOA = 6,
    TYPE_TXT = 16,
    TYPE_TSIG = 250,
    CLASS_IN = 1,
    CLASS_NONE = 254,
    CLASS_ANY = 255,
    OPCODE_UPDATE = 5,
    FLAG_ANSWER = 0x8000,
    FLAG_TRUNCATED = 0x0200,
    FLAG_RECURSE = 0x0100,
    RCODE_NOTIMP = 4,
    RCODE_REFUSED = 5,
    RCODE_NOTAUTH = 9,
    FUDGE_S = 300,
    RECORDS_MAX = 1000,
    JUMPS_MAX = 20,
    SIGNED_MAX = 4096, /* of an answer to an update: it has no records */
    VARIABLES_MAX = 2 * NAME_MAX_BYTES + 32,
};

static const char algorithm[] = "hmac-sha256";

/* ------------------------------------------------------------------ writing */

static void
put_16(struct text *t, unsigned value)
{
    text_byte(t, (char) (value >> 8));
    text_byte(t, (char) value);
}

static void
put_32(struct text *t, uint32_t value)
{
    put_16(t, value >> 16);
    put_16(t, value & 0xFFFF);
}

static void
put_48(struct text *t, uint64_t value)
{
    put_16(t, (unsigned) (value >> 32) & 0xFFFF);
    put_32(t, (uint32_t) value);
}

/* Lower case, as signatures want it; a final dot may be there. */
static bool
put_name(struct text *t, struct slice name)
{
    size_t start = t->n;

    if (slice_ends(name, SLICE(".")))
        name.n--;
    while (name.n) {
        size_t n = slice_find(name, '.') < name.n ? slice_find(name, '.') : name.n;

        if (n == 0 || n > LABEL_MAX)
            return false;
        text_byte(t, (char) n);
        for (size_t i = 0; i < n; i++)
            text_byte(t, ascii_lower(name.at[i]));
        name = slice_from(name, n + 1);
    }
    text_byte(t, 0);
    return t->n - start > 1 && t->n - start <= NAME_MAX_BYTES;
}

static void
put_header(struct text *t, uint16_t id, unsigned flags, unsigned second)
{
    put_16(t, id);
    put_16(t, flags);
    put_16(t, 1);      /* questions, or the zone */
    put_16(t, 0);      /* answers, or prerequisites */
    put_16(t, second); /* authority, or updates */
    put_16(t, 0);
}

bool
acme_dns_write_question(struct text *out, uint16_t id, struct slice name)
{
    bool good;

    put_header(out, id, FLAG_RECURSE, 0);
    good = put_name(out, name);
    put_16(out, TYPE_TXT);
    put_16(out, CLASS_IN);
    return good && !out->full;
}

/* RFC 2136 2.4, 2.5.1 and 2.5.4. */
bool
acme_dns_write_update(struct text *out, uint16_t id, const struct acme_dns_change *change)
{
    bool good;

    if (change->value.n > ACME_TXT_MAX)
        return false;
    put_header(out, id, OPCODE_UPDATE << 11, 1);
    good = put_name(out, change->zone);
    put_16(out, TYPE_SOA);
    put_16(out, CLASS_IN);
    good = good && put_name(out, change->name);
    put_16(out, TYPE_TXT);
    put_16(out, change->add ? CLASS_IN : CLASS_NONE);
    put_32(out, change->add ? change->ttl_s : 0);
    put_16(out, (unsigned) change->value.n + 1);
    text_byte(out, (char) change->value.n);
    text_put(out, change->value);
    return good && !out->full;
}

/* ------------------------------------------------------------------ signatures */

/* What is signed of a TSIG record beside the message (RFC 8945 4.3.3). */
struct tsig {
    uint64_t     time_s;
    unsigned     fudge_s, error;
    struct slice other;
};

static bool
put_variables(struct text *t, struct slice key_name, const struct tsig *s)
{
    bool good = put_name(t, key_name);

    put_16(t, CLASS_ANY);
    put_32(t, 0);
    good = good && put_name(t, slice_str(algorithm));
    put_48(t, s->time_s);
    put_16(t, s->fudge_s);
    put_16(t, s->error);
    put_16(t, (unsigned) s->other.n);
    text_put(t, s->other);
    return good && !t->full;
}

/* before: of the question, when it is an answer that is signed; NULL: none. */
static bool
compute(const struct acme_dns_key *key, struct slice message, const struct tsig *s,
        const uint8_t *before, uint8_t out[MAC_BYTES])
{
    static const char length[2] = {0, MAC_BYTES};
    char room[VARIABLES_MAX];
    struct slice parts[4];
    struct text variables;
    size_t n = 0;

    text_fixed(&variables, room, sizeof(room));
    if (!put_variables(&variables, key->name, s))
        return false;
    if (before) {
        parts[n++] = slice_of(length, sizeof(length));
        parts[n++] = slice_of((const char *) before, MAC_BYTES);
    }
    parts[n++] = message;
    parts[n++] = text_slice(&variables);
    return mac_sha256(key->secret, parts, n, out);
}

static void
put_tsig(struct text *out, const struct acme_dns_key *key, const struct tsig *s,
         const uint8_t mac[MAC_BYTES])
{
    size_t length_at;

    (void) put_name(out, key->name);
    put_16(out, TYPE_TSIG);
    put_16(out, CLASS_ANY);
    put_32(out, 0);
    length_at = out->n;
    put_16(out, 0);
    (void) put_name(out, slice_str(algorithm));
    put_48(out, s->time_s);
    put_16(out, s->fudge_s);
    put_16(out, MAC_BYTES);
    text_put(out, slice_of((const char *) mac, MAC_BYTES));
    text_put(out, slice_of(out->at, 2)); /* the message's number */
    put_16(out, 0);
    put_16(out, 0);
    if (out->full)
        return;
    out->at[length_at] = (char) ((out->n - length_at - 2) >> 8);
    out->at[length_at + 1] = (char) (out->n - length_at - 2);
}

bool
acme_dns_sign(struct text *message, const struct acme_dns_key *key, uint64_t now_s,
              uint8_t mac[MAC_BYTES])
{
    struct tsig s = {.time_s = now_s, .fudge_s = FUDGE_S};

    if (message->n < HEADER_BYTES || !compute(key, text_slice(message), &s, NULL, mac))
        return false;
    put_tsig(message, key, &s, mac);
    message->at[11] = 1; /* one additional record */
    return !message->full;
}

/* ------------------------------------------------------------------ reading */

/* A message that is read from its start to its end. */
struct reader {
    struct slice whole;
    size_t       at;
    bool         bad;
};

static unsigned
get_16(struct reader *r)
{
    const unsigned char *p = (const unsigned char *) r->whole.at + r->at;

    if (r->bad || r->whole.n - r->at < 2) {
        r->bad = true;
        return 0;
    }
    r->at += 2;
    return (unsigned) p[0] << 8 | p[1];
}

static uint64_t
get_48(struct reader *r)
{
    uint64_t high = get_16(r), middle = get_16(r);

    return high << 32 | middle << 16 | get_16(r);
}

static struct slice
get_bytes(struct reader *r, size_t n)
{
    if (r->bad || r->whole.n - r->at < n) {
        r->bad = true;
        return (struct slice){NULL, 0};
    }
    r->at += n;
    return slice_of(r->whole.at + r->at - n, n);
}

/* Into out (NAME_MAX_BYTES) as labels in lower case, without compression; how many bytes. */
static size_t
get_name(struct reader *r, char *out)
{
    size_t n = 0, at = r->at, jumps = 0;

    while (!r->bad) {
        unsigned length;

        if (at >= r->whole.n)
            break;
        length = (unsigned char) r->whole.at[at++];
        if ((length & 0xC0) == 0xC0) {
            if (at >= r->whole.n || ++jumps > JUMPS_MAX)
                break;
            if (jumps == 1)
                r->at = at + 1;
            at = (length & 0x3F) << 8 | (unsigned char) r->whole.at[at];
            continue;
        }
        if (length > LABEL_MAX || r->whole.n - at < length || n + length + 1 > NAME_MAX_BYTES)
            break;
        out[n++] = (char) length;
        for (size_t i = 0; i < length; i++)
            out[n++] = ascii_lower(r->whole.at[at++]);
        if (length > 0)
            continue;
        if (jumps == 0)
            r->at = at;
        return n;
    }
    r->bad = true;
    return 0;
}

struct record {
    char         name[NAME_MAX_BYTES];
    size_t       name_n;
    unsigned     type, class;
    uint32_t     ttl_s;
    struct slice data;
    size_t       data_at;
};

static void
get_record(struct reader *r, struct record *record)
{
    record->name_n = get_name(r, record->name);
    record->type = get_16(r);
    record->class = get_16(r);
    record->ttl_s = (uint32_t) get_16(r) << 16;
    record->ttl_s |= get_16(r);
    record->data = get_bytes(r, get_16(r));
    record->data_at = r->at - record->data.n;
}

static bool
is_name(const char *wire, size_t n, struct slice name)
{
    char room[NAME_MAX_BYTES + 1];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    return put_name(&t, name) && slice_eq(text_slice(&t), slice_of(wire, n));
}

/* A TXT record is a sequence of strings; ours is one. */
static bool
is_text(const struct record *record, struct slice value)
{
    return record->type == TYPE_TXT && slice_is_present(value) &&
           record->data.n == value.n + 1 && (unsigned char) record->data.at[0] == value.n &&
           slice_eq(slice_from(record->data, 1), value);
}

/* Is the record, which ends the message at `start`, a good signature of what stands before? */
static enum err
check_tsig(struct slice message, size_t start, const struct record *record,
           const struct acme_dns_key *key, const uint8_t *before, uint64_t now_s,
           struct acme_dns_answer *answer)
{
    struct reader r = {.whole = message, .at = record->data_at};
    char name[NAME_MAX_BYTES], copy[SIGNED_MAX];
    size_t name_n = get_name(&r, name);
    uint8_t expected[MAC_BYTES];
    struct slice mac;
    struct tsig s;
    unsigned id;

    s.time_s = get_48(&r);
    s.fudge_s = get_16(&r);
    mac = get_bytes(&r, get_16(&r));
    id = get_16(&r);
    s.error = get_16(&r);
    s.other = get_bytes(&r, get_16(&r));
    if (r.bad || r.at != record->data_at + record->data.n || record->class != CLASS_ANY ||
        record->ttl_s != 0 || !is_name(name, name_n, slice_str(algorithm)) ||
        !is_name(record->name, record->name_n, key->name) || start > sizeof(copy) || s.other.n > 6)
        return ERR_MALFORMED;
    answer->tsig_error = s.error;
    if (mac.n != MAC_BYTES)
        return ERR_DENIED;
    /* As it was before the signature: one record less, and the number that it was signed with. */
    memcpy(copy, message.at, start);
    copy[0] = (char) (id >> 8);
    copy[1] = (char) id;
    copy[11]--;
    if (!compute(key, slice_of(copy, start), &s, before, expected))
        return ERR_NO_MEMORY;
    if (!mac_equal(expected, mac.at, MAC_BYTES))
        return ERR_DENIED;
    return now_s + s.fudge_s < s.time_s || s.time_s + s.fudge_s < now_s ? ERR_DENIED : OK;
}

/* All records; *signed_at is where the signature begins, which `last` is then; 0: there is none. */
static void
read_records(struct reader *r, size_t n, struct slice value, struct record *last,
             size_t *signed_at, struct acme_dns_answer *answer)
{
    *signed_at = 0;
    for (size_t i = 0; i < n && !r->bad; i++) {
        size_t start = r->at;

        get_record(r, last);
        if (!r->bad && is_text(last, value))
            answer->has_value = true;
        if (!r->bad && last->type == TYPE_TSIG) {
            *signed_at = start;
            r->bad = i + 1 != n; /* it must be the last */
        }
    }
}

enum err
acme_dns_read(struct slice message, uint16_t id, const struct acme_dns_key *key,
              const uint8_t mac[MAC_BYTES], uint64_t now_s, struct slice value,
              struct acme_dns_answer *answer)
{
    struct reader r = {.whole = message};
    unsigned got_id = get_16(&r), flags = get_16(&r), questions = get_16(&r);
    size_t n = get_16(&r), signed_at;
    struct record last = {.type = 0};

    *answer = (struct acme_dns_answer){.rcode = flags & 15, .truncated = flags & FLAG_TRUNCATED};
    n += get_16(&r);
    n += get_16(&r);
    if (r.bad || got_id != id || !(flags & FLAG_ANSWER) || n > RECORDS_MAX || questions > 1)
        return ERR_MALFORMED;
    if (questions == 1) {
        (void) get_name(&r, last.name);
        (void) get_bytes(&r, 4);
    }
    read_records(&r, n, value, &last, &signed_at, answer);
    if (r.bad)
        return ERR_MALFORMED;
    if (!key)
        return OK;
    return signed_at ? check_tsig(message, signed_at, &last, key, mac, now_s, answer) : ERR_DENIED;
}

bool
acme_dns_is_refusal(unsigned rcode)
{
    return rcode == RCODE_NOTIMP || rcode == RCODE_REFUSED || rcode == RCODE_NOTAUTH;
}

const char *
acme_dns_rcode_name(unsigned rcode)
{
    static const char *const names[] = {
        [0] = "NOERROR", [1] = "FORMERR",  [2] = "SERVFAIL", [3] = "NXDOMAIN", [4] = "NOTIMP",
        [5] = "REFUSED", [6] = "YXDOMAIN", [7] = "YXRRSET",  [8] = "NXRRSET",  [9] = "NOTAUTH",
        [10] = "NOTZONE", [16] = "BADSIG", [17] = "BADKEY",  [18] = "BADTIME",
    };

    return rcode < countof(names) && names[rcode] ? names[rcode] : "?";
}
