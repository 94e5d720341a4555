/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/chars.c - the table behind chars.h.
 *
 * Hosts are narrower than RFC 3986's reg-name: a comma is what joining two Host fields leaves
 * behind, and a percent-encoded host is a name that two parsers may read differently.  DNS needs
 * neither.
 */
#include "http/chars.h"

#define ALPHANUMERIC (CHAR_TOKEN | CHAR_UNRESERVED | CHAR_PATH | CHAR_HOST)

const uint8_t char_classes[256] = {
    ['0' ... '9'] = ALPHANUMERIC,
    ['A' ... 'Z'] = ALPHANUMERIC,
    ['a' ... 'z'] = ALPHANUMERIC,
    ['-'] = CHAR_TOKEN | CHAR_UNRESERVED | CHAR_PATH | CHAR_HOST,
    ['.'] = CHAR_TOKEN | CHAR_UNRESERVED | CHAR_PATH | CHAR_HOST,
    ['_'] = CHAR_TOKEN | CHAR_UNRESERVED | CHAR_PATH | CHAR_HOST,
    ['~'] = CHAR_TOKEN | CHAR_UNRESERVED | CHAR_PATH | CHAR_HOST,
    ['!'] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['$'] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['&'] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['\''] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['*'] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['+'] = CHAR_TOKEN | CHAR_PATH | CHAR_HOST,
    ['('] = CHAR_PATH | CHAR_HOST,
    [')'] = CHAR_PATH | CHAR_HOST,
    [';'] = CHAR_PATH | CHAR_HOST,
    ['='] = CHAR_PATH | CHAR_HOST,
    [','] = CHAR_PATH,
    ['/'] = CHAR_PATH,
    [':'] = CHAR_PATH,
    ['@'] = CHAR_PATH,
    ['['] = CHAR_PATH,
    [']'] = CHAR_PATH,
    ['#'] = CHAR_TOKEN,
    ['%'] = CHAR_TOKEN,
    ['^'] = CHAR_TOKEN | CHAR_PATH_ENCODE,
    ['`'] = CHAR_TOKEN | CHAR_PATH_ENCODE,
    ['|'] = CHAR_TOKEN | CHAR_PATH_ENCODE,
    ['"'] = CHAR_PATH_ENCODE,
    ['<'] = CHAR_PATH_ENCODE,
    ['>'] = CHAR_PATH_ENCODE,
    ['{'] = CHAR_PATH_ENCODE,
    ['}'] = CHAR_PATH_ENCODE,
    [0x80 ... 0xFF] = CHAR_PATH_ENCODE,
};
