/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/api.h - the REST API: what an operation is, and how one plugs in.
 *
 * An operation is a method at a path, a right, and a function that answers.  Operations stand in
 * tables, one for each subject, listed in control/operations.c; dispatch, tokens, the description
 * (OpenAPI 3.1) and the command's help come from the tables.
 *
 *     static const struct api_operation log_operations[] = {
 *         {METHOD_GET, "/v1/log", API_READ, log_show, .summary = "The level of the log.",
 *          .answer = "LogLevel"},
 *         ...
 *         {0},
 *     };
 *
 * Everything runs on fibers of the control thread: a function may wait, and may touch what belongs
 * to that thread (upstreams, the configuration).  What blocks goes through offload().
 *
 * Errors are problems (RFC 9457): {"type", "title", "status", "detail", "errors": [{"pointer",
 * "file", "line", "column", "detail", "hint"}]}.
 */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include "exchange/exchange.h"

#include <jansson.h>

enum api_right { API_READ, API_OPERATE, API_ADMIN };
extern const char *const api_rights[]; /* "read", "operate", "admin"; ends with NULL */

enum { API_PARAMETERS_MAX = 4, API_QUERY_MAX = 6, API_BODY_MAX = 64 * 1024 * 1024 };

struct api_call;

struct api_parameter {
    const char *name;
    const char *type; /* of JSON Schema: "string", "integer", "boolean" */
    const char *doc;
};

struct api_operation {
    enum method    method;
    const char    *path; /* "/v1/upstreams/{upstream}/servers/{server}"; a last "{rest}" takes any
                          * number of segments, none too */
    enum api_right right;
    void         (*handle)(struct api_call *c);
    const char    *summary; /* one sentence */
    const char    *doc;     /* more, or NULL */
    struct api_parameter query[API_QUERY_MAX]; /* up to a name of NULL; a request that says
                                                * anything else is refused */
    const char    *body;    /* name of a schema (api_schemas), NULL: takes none */
    const char    *answer;  /* name of a schema; NULL: no content, or not JSON */
    const char    *type;    /* of the answer when it is not application/json */
    unsigned       success; /* its status; 0: 200, or 204 without content */
    bool           writes;  /* goes into the audit log */
};

/* Named parts of the description: JSON Schema texts.  Tables like those of operations. */
struct api_schema {
    const char *name;
    const char *json;
};

/* Who asks, and what he may. */
struct api_identity {
    struct slice   name; /* of the token, or "socket:UID" */
    enum api_right right;
};

struct api_call {
    struct exchange            *x;
    const struct api_operation *operation;
    struct api_identity         who;
    struct slice parameters[API_PARAMETERS_MAX]; /* those of the path, in order, percent-decoded;
                                                  * {rest}: as it came, with its leading "/", or
                                                  * empty */
    struct slice query[API_QUERY_MAX]; /* values of operation->query, decoded; absent: not said */
    struct slice body; /* read whole; absent when there was none */
};

/* Reads the query as the operation declares it.  False after answering 400. */
bool api_take_query(struct api_call *c);
/* A query parameter that the operation declares, decoded; absent when it is not there. */
struct slice api_query(const struct api_call *c, const char *name);
/* "1", "true", "yes", or without a value. */
bool api_query_flag(const struct api_call *c, const char *name);
/* One that is a number up to max; preset when it is absent.  False after answering 400. */
bool api_number(struct api_call *c, const char *name, uint64_t preset, uint64_t max,
                uint64_t *out);
/* The body as JSON; NULL after answering 400.  json_decref() it. */
json_t *api_json(struct api_call *c);
/* The body is an object without other keys than these, up to NULL.  False after answering 400. */
bool api_only_known(struct api_call *c, json_t *body, const char *const *known);

/* A JSON string; an absent slice is an empty one. */
json_t *api_text(struct slice s);
/* Takes text over (it is emptied); JSON unless the operation says otherwise. */
void api_answer(struct api_call *c, unsigned status, struct text *text);
/* Takes the reference. */
void api_answer_json(struct api_call *c, unsigned status, json_t *value);
void api_answer_empty(struct api_call *c, unsigned status);
/* type: a word such as "conflict"; the URI is "urn:maitred:problem:conflict". */
void api_problem(struct api_call *c, unsigned status, const char *type, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with everything that a report complains about, in "errors", and as the command line
 * prints it in "text". */
void api_problem_report(struct api_call *c, unsigned status, const struct config_report *report,
                        const char *type, const char *detail);
/* What a report says, as a list of objects; least: CONFIG_ERROR leaves warnings out. */
json_t *api_complaints(const struct config_report *report, enum config_severity least);
/* If-Match and If-None-Match against a hash (RFC 9110 13.1).  False after answering 412, or 304 to
 * who only reads. */
bool api_match(struct api_call *c, uint64_t hash);
/* Adds ETag. */
void api_tag(struct api_call *c, uint64_t hash);

#endif
