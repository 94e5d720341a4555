/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/admin.h - asks a running maitred by its REST API (docs/guide/api.md), for the
 * commands that do.
 *
 * A command runs on its thread's own stack, not on a fiber: each call is made on a fiber of its
 * own, and admin_ask() turns the loop until that is done.  What cannot be done is said on standard
 * error, the complaints of a configuration as `maitred check` prints them.
 */
#ifndef MAIN_CLIENT_ADMIN_H
#define MAIN_CLIENT_ADMIN_H

#include "main/arguments.h"
#include "upstream/fetch.h"

#include <jansson.h>

struct fiber;

/* --admin, --token-file, --ca: the options of all of them. */
extern const struct command_option admin_options[];

/* Whom to ask. */
struct admin {
    const struct arguments *arguments;
    const char             *address; /* as it was said, for messages */
    const char             *socket;  /* path; NULL: by TCP */
    struct slice            base;    /* "http://host:port" */
    struct slice            bearer;  /* "Bearer TOKEN"; absent: none */
    struct tls_client      *tls;     /* NULL: whom the system trusts */
    struct arena            arena;
    int                     status;  /* exit status after a complaint */
};

/* Reads the arguments and runs body(a) where it can ask; the exit status. */
int admin_run(const struct command *self, int argc, char **argv, int (*body)(struct admin *a));

/* One question; zero it, and fill in the first part. */
struct admin_call {
    enum method   method;
    const char   *path;     /* "/v1/routes?most=10", encoded */
    const char   *accept;   /* NULL: JSON */
    struct slice  body;     /* absent: none */
    const char   *type;     /* of the body; NULL: JSON */
    const char   *source;   /* the file that the body came from, for complaints; NULL: none */
    struct slice  if_match; /* absent: none */
    uint64_t      within_us; /* 0: ADMIN_WITHIN_US; TIMER_NEVER */
    fetch_receive_f *receive;   /* for streams */
    void         *receive_arg;
    /* Its own, and the result: */
    struct admin       *admin;
    struct text         url;
    struct field        fields[4];
    struct fetch_answer answer;
    enum err            e;
    bool                done;
    struct fiber       *fiber;
};

enum { ADMIN_WITHIN_US = 30000000, ADMIN_ANSWER_MAX = 256 * 1024 * 1024 };

/* Asks and waits.  True: a status of 2xx, and call->answer has it.  False after a complaint.  Call
 * admin_call_free() in either case. */
bool admin_ask(struct admin *a, struct admin_call *call);
/* As admin_ask(), but only begins: call->done says when it is over. */
bool admin_start(struct admin *a, struct admin_call *call);
/* Says on standard error why it is no success. */
void admin_complain(struct admin *a, struct admin_call *call);
/* Ends it first when it is not done. */
void admin_call_free(struct admin_call *call);

/* GET, as JSON; NULL after a complaint. */
json_t *admin_get(struct admin *a, const char *path);
/* GET, as JSON; absent things (404) are no complaint: NULL with a->status 0. */
json_t *admin_get_if_there(struct admin *a, const char *path);
/* Any method and a body of JSON (NULL: none), as JSON; a new reference, json_null() when there is
 * no content; NULL after a complaint. */
json_t *admin_change(struct admin *a, enum method method, const char *path, struct slice body);

/* A segment of a path or a value of a query, percent-encoded. */
void admin_put_segment(struct text *out, struct slice segment);
/* The same for a JSON Pointer, whose slashes stay. */
void admin_put_pointer(struct text *out, struct slice pointer);
/* For a terminal: no control bytes, no broken characters. */
void admin_put_clean(struct text *out, struct slice s);

/* A member that is a string; empty when it is something else. */
struct slice admin_string(const json_t *object, const char *key);

#endif
