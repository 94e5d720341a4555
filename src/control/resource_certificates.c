/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_certificates.c - what listeners show, and names that authorities are asked
 * for. */
#include "acme/acme.h"
#include "control/operations.h"
#include "control/room.h"
#include "edge/certificates.h"

static json_t *
names(const struct tls_identity *id)
{
    json_t *all = json_array();
    struct slice name;

    for (size_t i = 0; slice_is_present(name = tls_identity_name(id, i)); i++)
        json_array_append_new(all, api_text(name));
    return all;
}

static void
add_certificate(void *arg, const struct edge_certificate *c)
{
    struct tls_identity_facts facts;

    if (!tls_identity_describe(c->identity, &facts))
        return;
    json_array_append_new(
        arg, json_pack("{s:o, s:s, s:s, s:I, s:I, s:s, s:o, s:o, s:b}", "names",
                       names(c->identity), "issuer", facts.issuer, "key",
                       facts.rsa ? "rsa" : "ecdsa", "not_before", (json_int_t) facts.not_before_s,
                       "not_after", (json_int_t) facts.not_after_s, "source",
                       c->acme ? "acme" : "file", "file", api_text(c->file), "listener",
                       api_text(c->listener->name), "stapled", facts.stapled));
}

static void
add_name(void *arg, const struct acme_name *n)
{
    json_array_append_new(
        arg, json_pack("{s:o, s:o, s:o, s:i, s:I, s:b, s:b}", "name", api_text(n->name),
                       "directory", api_text(n->directory), "error", api_text(n->why), "failures",
                       (int) n->failures, "next", (json_int_t) n->next_s, "issued", n->has_one,
                       "on_demand", n->on_demand));
}

static void
certificates_get(struct api_call *c)
{
    json_t *all = json_array(), *acme = json_array();

    edge_certificates_each(control_host()->snapshot(control_host()->current()), add_certificate,
                           all);
    acme_each(add_name, acme);
    api_answer_json(c, 200, json_pack("{s:o, s:o}", "certificates", all, "acme", acme));
}

const struct api_operation operations_certificate[] = {
    {METHOD_GET, "/v1/certificates", API_READ, certificates_get,
     .summary = "What listeners show, and the names that authorities are asked for.",
     .answer = "Certificates"},
    {0},
};

const struct api_schema schemas_certificate[] = {
    {"Certificate",
     "{\"type\":\"object\",\"required\":[\"names\",\"issuer\",\"key\",\"not_before\","
     "\"not_after\",\"source\",\"file\",\"listener\",\"stapled\"],\"properties\":{\"names\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"issuer\":{\"type\":\"string\"},"
     "\"key\":{\"type\":\"string\"},\"not_before\":{\"type\":\"integer\"},\"not_after\":{"
     "\"type\":\"integer\"},\"source\":{\"type\":\"string\"},\"file\":{\"type\":\"string\"},"
     "\"listener\":{\"type\":\"string\"},\"stapled\":{\"type\":\"boolean\"}}}"},
    {"Certificates",
     "{\"type\":\"object\",\"required\":[\"certificates\",\"acme\"],\"properties\":{"
     "\"certificates\":{\"type\":\"array\",\"items\":{\"$ref\":"
     "\"#/components/schemas/Certificate\"}},\"acme\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"object\",\"required\":[\"name\",\"directory\",\"error\",\"failures\",\"next\","
     "\"issued\",\"on_demand\"],\"properties\":{\"name\":{\"type\":\"string\"},\"directory\":{"
     "\"type\":\"string\"},\"error\":{\"type\":\"string\"},\"failures\":{\"type\":\"integer\"},"
     "\"next\":{\"type\":\"integer\"},\"issued\":{\"type\":\"boolean\"},\"on_demand\":{\"type\":"
     "\"boolean\"}}}}}}"},
    {0},
};
