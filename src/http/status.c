/* SPDX-License-Identifier: Apache-2.0 */
/* http/status.c - reason phrases, from the IANA registry of status codes. */
#include "http/message.h"

#include "base/check.h"

enum { FIRST = 100 };

static const struct slice phrases[] = {
    [100 - FIRST] = SLICE_INIT("Continue"),
    [101 - FIRST] = SLICE_INIT("Switching Protocols"),
    [102 - FIRST] = SLICE_INIT("Processing"),
    [103 - FIRST] = SLICE_INIT("Early Hints"),
    [200 - FIRST] = SLICE_INIT("OK"),
    [201 - FIRST] = SLICE_INIT("Created"),
    [202 - FIRST] = SLICE_INIT("Accepted"),
    [203 - FIRST] = SLICE_INIT("Non-Authoritative Information"),
    [204 - FIRST] = SLICE_INIT("No Content"),
    [205 - FIRST] = SLICE_INIT("Reset Content"),
    [206 - FIRST] = SLICE_INIT("Partial Content"),
    [207 - FIRST] = SLICE_INIT("Multi-Status"),
    [208 - FIRST] = SLICE_INIT("Already Reported"),
    [226 - FIRST] = SLICE_INIT("IM Used"),
    [300 - FIRST] = SLICE_INIT("Multiple Choices"),
    [301 - FIRST] = SLICE_INIT("Moved Permanently"),
    [302 - FIRST] = SLICE_INIT("Found"),
    [303 - FIRST] = SLICE_INIT("See Other"),
    [304 - FIRST] = SLICE_INIT("Not Modified"),
    [305 - FIRST] = SLICE_INIT("Use Proxy"),
    [307 - FIRST] = SLICE_INIT("Temporary Redirect"),
    [308 - FIRST] = SLICE_INIT("Permanent Redirect"),
    [400 - FIRST] = SLICE_INIT("Bad Request"),
    [401 - FIRST] = SLICE_INIT("Unauthorized"),
    [402 - FIRST] = SLICE_INIT("Payment Required"),
    [403 - FIRST] = SLICE_INIT("Forbidden"),
    [404 - FIRST] = SLICE_INIT("Not Found"),
    [405 - FIRST] = SLICE_INIT("Method Not Allowed"),
    [406 - FIRST] = SLICE_INIT("Not Acceptable"),
    [407 - FIRST] = SLICE_INIT("Proxy Authentication Required"),
    [408 - FIRST] = SLICE_INIT("Request Timeout"),
    [409 - FIRST] = SLICE_INIT("Conflict"),
    [410 - FIRST] = SLICE_INIT("Gone"),
    [411 - FIRST] = SLICE_INIT("Length Required"),
    [412 - FIRST] = SLICE_INIT("Precondition Failed"),
    [413 - FIRST] = SLICE_INIT("Content Too Large"),
    [414 - FIRST] = SLICE_INIT("URI Too Long"),
    [415 - FIRST] = SLICE_INIT("Unsupported Media Type"),
    [416 - FIRST] = SLICE_INIT("Range Not Satisfiable"),
    [417 - FIRST] = SLICE_INIT("Expectation Failed"),
    [421 - FIRST] = SLICE_INIT("Misdirected Request"),
    [422 - FIRST] = SLICE_INIT("Unprocessable Content"),
    [423 - FIRST] = SLICE_INIT("Locked"),
    [424 - FIRST] = SLICE_INIT("Failed Dependency"),
    [425 - FIRST] = SLICE_INIT("Too Early"),
    [426 - FIRST] = SLICE_INIT("Upgrade Required"),
    [428 - FIRST] = SLICE_INIT("Precondition Required"),
    [429 - FIRST] = SLICE_INIT("Too Many Requests"),
    [431 - FIRST] = SLICE_INIT("Request Header Fields Too Large"),
    [451 - FIRST] = SLICE_INIT("Unavailable For Legal Reasons"),
    [500 - FIRST] = SLICE_INIT("Internal Server Error"),
    [501 - FIRST] = SLICE_INIT("Not Implemented"),
    [502 - FIRST] = SLICE_INIT("Bad Gateway"),
    [503 - FIRST] = SLICE_INIT("Service Unavailable"),
    [504 - FIRST] = SLICE_INIT("Gateway Timeout"),
    [505 - FIRST] = SLICE_INIT("HTTP Version Not Supported"),
    [506 - FIRST] = SLICE_INIT("Variant Also Negotiates"),
    [507 - FIRST] = SLICE_INIT("Insufficient Storage"),
    [508 - FIRST] = SLICE_INIT("Loop Detected"),
    [511 - FIRST] = SLICE_INIT("Network Authentication Required"),
};

struct slice
status_phrase(unsigned status)
{
    if (status < FIRST || status - FIRST >= countof(phrases) || !phrases[status - FIRST].n)
        return SLICE("Unknown");
    return phrases[status - FIRST];
}

bool
status_has_no_body(unsigned status)
{
    return (status >= 100 && status < 200) || status == 204 || status == 304;
}
