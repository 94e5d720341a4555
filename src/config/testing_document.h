/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/testing_document.h - documents with the sample tables, and what comes out of them.
 */
#ifndef CONFIG_TESTING_DOCUMENT_H
#define CONFIG_TESTING_DOCUMENT_H

#include "config/document.h"
#include "config/testing.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

SAMPLE struct sample_world world;
SAMPLE struct config_source source = {
    .read = sample_read, .env = sample_env, .match = sample_match, .arg = &world};
SAMPLE struct config_report report;

/* A document of a text; NULL after printing what is wrong. */
SAMPLE struct config_document *
open_text(const char *text)
{
    config_report_free(&report);
    return config_document_open(NULL, "c.yaml", slice_str(text), &sample_root_object, &source,
                                &report);
}

SAMPLE enum config_edit_fault
edit(struct config_document *d, enum config_edit how, const char *pointer, const char *text)
{
    config_report_free(&report);
    return config_document_edit(d, how, slice_str(pointer), "request body", slice_str(text),
                                &report);
}

/* What stands at a pointer, in one of some buffers that are used in turn; "(nothing)". */
SAMPLE struct slice
written_as(const struct config_document *d, const char *pointer, enum config_format format,
           bool mask)
{
    static struct text buffers[8];
    static unsigned turn;
    struct text *out = &buffers[turn++ % 8];
    const struct config_node *node = config_document_find(d, slice_str(pointer));

    text_free(out);
    text_init(out, 1 << 26);
    if (!node)
        return SLICE("(nothing)");
    config_document_write(d, node, format, mask, out);
    if (out->n && out->at[out->n - 1] == '\n')
        return slice_of(out->at, out->n - 1);
    return text_slice(out);
}

SAMPLE struct slice
yaml_at(const struct config_document *d, const char *pointer)
{
    return written_as(d, pointer, CONFIG_YAML, false);
}

/* JSON without line breaks and their indentation. */
SAMPLE struct slice
json_at(const struct config_document *d, const char *pointer)
{
    struct slice s = written_as(d, pointer, CONFIG_JSON, false);
    char *out = (char *) s.at;
    size_t n = 0;

    if (slice_eq(s, SLICE("(nothing)")))
        return s;
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] == '\n')
            while (i + 1 < s.n && s.at[i + 1] == ' ')
                i++;
        else
            out[n++] = s.at[i];
    }
    return slice_of(out, n);
}

/* The first message of the last edit, with its place; empty: there is none. */
SAMPLE struct slice
complaint(void)
{
    static char memory[2048];
    const struct config_message *m = report.messages;
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    if (!m)
        return SLICE("");
    if (m->mark.line)
        text_printf(&out, "%s:%u:%u: ", report.files[m->mark.file].path.at, m->mark.line,
                    m->mark.column);
    text_put(&out, m->text);
    if (m->hint.n)
        text_printf(&out, "; hint: %.*s", SLICE_ARG(m->hint));
    return text_slice(&out);
}

SAMPLE uint64_t
hash_of(const struct config_document *d)
{
    return config_document_hash(d, config_document_find(d, SLICE("")));
}

/* The patch, in one of some buffers. */
SAMPLE struct slice
difference(const struct config_document *from, const struct config_document *to)
{
    static struct text buffers[4];
    static unsigned turn;
    struct text *out = &buffers[turn++ % 4];

    text_free(out);
    text_init(out, 1 << 26);
    if (!config_document_diff(from, to, false, out))
        return SLICE("(out of memory)");
    return text_slice(out);
}

#endif
