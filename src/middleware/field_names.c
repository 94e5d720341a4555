/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/field_names.c - see field_names.h. */
#include "middleware/field_names.h"

#include "base/check.h"
#include "http/message.h"

enum { REQUEST = 1 << SIDE_REQUEST, RESPONSE = 1 << SIDE_RESPONSE, BOTH = REQUEST | RESPONSE };

static const struct objection {
    enum field_id id;
    unsigned      sides;
    const char   *why;
    const char   *hint;
} objections[] = {
    {FIELD_CONTENT_LENGTH, BOTH, "it says where the message ends, which only the proxy knows",
     "leave it out: maitred writes the right one"},
    {FIELD_TRANSFER_ENCODING, BOTH, "it says where the message ends, which only the proxy knows",
     "leave it out: maitred writes the right one"},
    {FIELD_TRAILER, BOTH, "it announces what comes behind the body, which only the sender knows",
     NULL},
    {FIELD_HOST, REQUEST, "the request would be sent to another site than the one that was matched",
     "`rewrite: {host: ...}` changes the Host that the server is asked for"},
    {FIELD_EXPECT, REQUEST,
     "it is a question to the next hop, which maitred answers or asks "
     "itself",
     NULL},
};

static const struct objection *
objection_to(enum field_id id, enum message_side side)
{
    for (size_t i = 0; i < countof(objections); i++)
        if (objections[i].id == id && objections[i].sides >> side & 1)
            return &objections[i];
    return NULL;
}

bool
field_name_check(struct config_bind *b, const void *where, struct slice name,
                 enum message_side side)
{
    enum field_id id = field_id_from(name);
    const struct objection *o = objection_to(id, side);

    if (!is_token(name))
        return config_bind_error(b, where,
                                 "a name is made of letters, digits and any of !#$%&'*+-.^_`|~",
                                 "`%.*s` is not the name of a field", SLICE_ARG(name));
    if (o)
        return config_bind_error(b, where, o->hint, "`%.*s` cannot be changed: %s", SLICE_ARG(name),
                                 o->why);
    if (id != FIELD_OTHER && field_is_hop_by_hop(id))
        return config_bind_error(b, where, "leave it out: maitred writes it where it is needed",
                                 "`%.*s` cannot be changed: it belongs to one connection, not to "
                                 "the message",
                                 SLICE_ARG(name));
    return true;
}
