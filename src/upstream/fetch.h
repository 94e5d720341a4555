/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/fetch.h - the client for what maitred itself wants to know: certificates, key sets,
 * permissions.
 *
 * One request over HTTP/1.1, one answer, read whole.  It is for conversations that are rare beside
 * those of clients: each has a connection of its own, so that nothing is left to look after.
 * Redirections are not followed; who wants that sees the status and asks again.
 */
#ifndef UPSTREAM_FETCH_H
#define UPSTREAM_FETCH_H

#include "base/err.h"
#include "base/text.h"
#include "http/message.h"
#include "tls/tls.h"

struct fetch_answer;

/* The next bytes of the answer's body; status and fields are known.  False: that is enough. */
typedef bool fetch_receive_f(void *arg, const struct fetch_answer *a, struct slice bytes);

struct fetch {
    struct slice        url;     /* http://host[:port][/path[?query]], or https: */
    const char         *socket;  /* a Unix socket to connect to, whatever host the URL names;
                                  * NULL: that host */
    enum method         method;  /* METHOD_OTHER: GET, or POST when there is a body */
    const struct field *fields;  /* beside Host, User-Agent, Connection and Content-Length */
    size_t              n_fields;
    struct slice        body;    /* absent: none */
    struct tls_client  *tls;     /* for https; NULL: whom the system trusts */
    uint64_t            deadline_us; /* monotonic, of everything together */
    size_t              max_bytes;   /* of the answer's body */
    fetch_receive_f       *receive;      /* gets the body as it comes, however long: it is not kept
                                      * then.  NULL: it is kept */
    void               *receive_arg;
};

struct fetch_answer {
    unsigned      status;
    struct fields fields;
    struct slice  body;
    char          why[200]; /* one line for the operator, when there is no answer */
    /* Where all that lies: */
    struct arena  arena;
    struct text   head, content;
};

/*
 * On a fiber of any loop; waits.  OK: there is a final answer, whatever its status.  Else `why`
 * says what happened: ERR_MALFORMED (the URL, or the answer breaks HTTP), ERR_NOT_FOUND (no such
 * host), ERR_LIMIT (the answer is longer than max_bytes), ERR_DENIED (TLS: not whom we trust), or
 * what the network said.  Call fetch_answer_free() in either case.
 */
enum err http_fetch(const struct fetch *f, struct fetch_answer *a);
void fetch_answer_free(struct fetch_answer *a);

#endif
