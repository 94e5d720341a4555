/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/country.c - libmaxminddb, with a memory in front. */
#include "analytics/country.h"

#include "base/map.h"

#include <errno.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { REMEMBERED = 4096 }; /* a power of two */

struct remembered {
    uint8_t address[16];
    uint8_t n;          /* of the address; 0: nothing is remembered here */
    char    country[2]; /* zero bytes: not known */
};

struct countries {
    MMDB_s            db;
    struct remembered cache[REMEMBERED];
};

struct countries *
countries_open(const char *path, const char **why)
{
    struct countries *c = calloc(1, sizeof(*c));
    int status;

    if (!c) {
        *why = strerror(ENOMEM);
        return NULL;
    }
    errno = 0;
    status = MMDB_open(path, MMDB_MODE_MMAP, &c->db);
    if (status == MMDB_SUCCESS)
        return c;
    *why = status == MMDB_FILE_OPEN_ERROR && errno ? strerror(errno) : MMDB_strerror(status);
    free(c);
    return NULL;
}

void
countries_close(struct countries *c)
{
    if (!c)
        return;
    MMDB_close(&c->db);
    free(c);
}

static MMDB_lookup_result_s
look_up(const struct countries *c, struct slice address, int *status)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (address.n == 4) {
        memcpy(&v4.sin_addr, address.at, 4);
        return MMDB_lookup_sockaddr(&c->db, (const struct sockaddr *) &v4, status);
    }
    memcpy(&v6.sin6_addr, address.at, 16);
    return MMDB_lookup_sockaddr(&c->db, (const struct sockaddr *) &v6, status);
}

static bool
read_code(MMDB_entry_s *entry, const char *of, char out[2])
{
    const char *const path[] = {of, "iso_code", NULL};
    MMDB_entry_data_s data;

    if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data ||
        data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size != 2)
        return false;
    memcpy(out, data.utf8_string, 2);
    return true;
}

struct slice
countries_find(struct countries *c, struct slice address)
{
    struct remembered *r = &c->cache[hash_bytes(address) & (REMEMBERED - 1)];
    MMDB_lookup_result_s found;
    int status;

    if (address.n != 4 && address.n != 16)
        return SLICE("");
    if (!slice_eq(slice_of((const char *) r->address, r->n), address)) {
        *r = (struct remembered){.n = (uint8_t) address.n};
        memcpy(r->address, address.at, address.n);
        found = look_up(c, address, &status);
        /* Where an address is, or else where its network is registered. */
        if (status == MMDB_SUCCESS && found.found_entry &&
            !read_code(&found.entry, "country", r->country))
            (void) read_code(&found.entry, "registered_country", r->country);
    }
    return slice_of(r->country, r->country[0] ? 2 : 0);
}
