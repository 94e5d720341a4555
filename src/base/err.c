/* SPDX-License-Identifier: Apache-2.0 */
/* base/err.c - names of errors, and what errno means in our terms. */
#include "base/err.h"

#include <errno.h>

static const struct {
    const char *name;
    const char *sentence;
} table[] = {
#define ERR_ROW(number, name, sentence) [number] = {name, sentence},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

const char *
err_name(enum err e)
{
    return table[e].name;
}

const char *
err_sentence(enum err e)
{
    return table[e].sentence;
}

enum err
err_from_errno(int number)
{
    switch (number) {
    case 0: return OK;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ECANCELED: return ERR_CANCELLED;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED: return ERR_RESET;
    case ECONNREFUSED: return ERR_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL: return ERR_UNREACHABLE;
    case ENOMEM:
    case ENOBUFS: return ERR_NO_MEMORY;
    case EMFILE:
    case ENFILE: return ERR_NO_DESCRIPTORS;
    case ENOENT: return ERR_NOT_FOUND;
    case EADDRINUSE: return ERR_IN_USE;
    case EACCES:
    case EPERM: return ERR_DENIED;
    default: return ERR_IO;
    }
}
