/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/err.h - errors are values.
 *
 * One table gives each error its number, its stable name and its sentence.  A function that can
 * fail returns enum err; OK is 0.  Faults on an exchange (whose fault, may it be retried) are made
 * of these in exchange/reason.h.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TABLE(X)                                                                              \
    X(OK, "ok", "no error")                                                                       \
    X(ERR_END, "end", "the peer has finished sending")                                            \
    X(ERR_TIMEOUT, "timeout", "the deadline has passed")                                          \
    X(ERR_CANCELLED, "cancelled", "nobody waits for the result any more")                         \
    X(ERR_RESET, "reset", "the peer reset the connection")                                        \
    X(ERR_REFUSED, "refused", "the peer refused the connection")                                  \
    X(ERR_UNREACHABLE, "unreachable", "there is no way to the peer")                              \
    X(ERR_NO_MEMORY, "no_memory", "out of memory")                                                \
    X(ERR_NO_DESCRIPTORS, "no_descriptors", "out of file descriptors")                            \
    X(ERR_LIMIT, "limit", "a configured limit was reached")                                       \
    X(ERR_MALFORMED, "malformed", "the message breaks its protocol")                              \
    X(ERR_UNSUPPORTED, "unsupported", "not supported")                                            \
    X(ERR_NOT_FOUND, "not_found", "there is no such thing")                                       \
    X(ERR_IN_USE, "in_use", "the address is in use")                                              \
    X(ERR_DENIED, "denied", "permission denied")                                                  \
    X(ERR_IO, "io", "input or output failed")

enum err {
#define ERR_ENUM(number, name, sentence) number,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* Stable identifier, such as "timeout". */
const char *err_name(enum err e);
/* For a person, such as "the deadline has passed". */
const char *err_sentence(enum err e);
/* The error that best describes an errno value; ERR_IO when none fits. */
enum err err_from_errno(int number);

#endif
