/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/parser_test.c - documents, and what is to be done for them; cut anywhere. */
#include "middleware/esi/parser.h"

#include "base/test.h"
#include "exchange/testing.h"

enum { OUT_MAX = 1024 * 1024 };

/* The events as text: what is to be fetched in brackets, attempts in braces. */
static void
put_event(struct text *out, const struct esi_event *e)
{
    switch (e->kind) {
    case ESI_EVENT_NONE: break;
    case ESI_EVENT_TEXT: text_put(out, e->text); break;
    case ESI_EVENT_FETCH:
        text_printf(out, "[%.*s", SLICE_ARG(e->src));
        if (slice_is_present(e->alt))
            text_printf(out, " or %.*s", SLICE_ARG(e->alt));
        text_printf(out, "%s", e->goes_on ? " or nothing" : "");
        if (e->wait_us)
            text_printf(out, " in %llu", (unsigned long long) e->wait_us);
        text_literal(out, "]");
        break;
    case ESI_EVENT_TRY: text_literal(out, "{"); break;
    case ESI_EVENT_EXCEPT: text_printf(out, "} except {%.*s", SLICE_ARG(e->text)); break;
    case ESI_EVENT_TRY_END: text_literal(out, "}"); break;
    case ESI_EVENT_FAILED: text_printf(out, "!%s", e->problem); break;
    }
}

/* In pieces of so many bytes. */
static void
parse(struct exchange *x, struct slice document, size_t step, struct text *out)
{
    struct esi_inlines inlines;
    struct esi_parser p;
    struct esi_event e = {.kind = ESI_EVENT_NONE};

    esi_inlines_init(&inlines);
    esi_parser_init(&p, x, &inlines);
    while (document.n && e.kind != ESI_EVENT_FAILED) {
        struct slice piece = slice_first(document, step);

        document = slice_from(document, step);
        do {
            esi_parser_next(&p, &piece, &e);
            put_event(out, &e);
        } while (e.kind != ESI_EVENT_NONE && e.kind != ESI_EVENT_FAILED);
    }
    while (e.kind != ESI_EVENT_FAILED) {
        esi_parser_end(&p, &e);
        put_event(out, &e);
        if (e.kind == ESI_EVENT_NONE)
            break;
    }
    esi_parser_free(&p);
    esi_inlines_free(&inlines);
}

static struct exchange *
visitor(void)
{
    return testing_exchange("GET", "http://example.com/p?q=a%3Cb%3E&page=12&n=x", "Cookie",
                            "id=7; name=\"; group=Advanced", "Accept-Language",
                            "de, en-gb;q=0.5", "User-Agent",
                            "Mozilla/5.0 (X11; Linux x86_64)", NULL);
}

/* Whole, byte by byte, and in pieces of three. */
static bool
says(const char *document, const char *wanted)
{
    static const size_t steps[] = {SIZE_MAX, 1, 3};
    struct exchange *x = visitor();
    bool good = true;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct text out;

        text_init(&out, OUT_MAX);
        parse(x, slice_str(document), steps[i], &out);
        if (!slice_eq(text_slice(&out), slice_str(wanted))) {
            test_failed(__FILE__, __LINE__, "step %zu: \"%.*s\", expected \"%s\"", steps[i],
                        SLICE_ARG(text_slice(&out)), wanted);
            good = false;
        }
        text_free(&out);
    }
    testing_exchange_free(x);
    return good;
}

TEST(text_passes)
{
    EXPECT(says("", ""));
    EXPECT(says("<html><b>x</b> < esi: <es <esx:a> $(HTTP_HOST) --> $</html>",
                "<html><b>x</b> < esi: <es <esx:a> $(HTTP_HOST) --> $</html>"));
    EXPECT(says("<<<esi:comment text=\"<>\"/>esi:<", "<<esi:<"));
}

TEST(an_include_is_fetched)
{
    EXPECT(says("a<esi:include src=\"/x\"/>b", "a[/x]b"));
    EXPECT(says("<esi:include src='/x?a=1&amp;b=2' alt=\"/y\" onerror='continue'/>",
                "[/x?a=1&b=2 or /y or nothing]"));
    EXPECT(says("<esi:include\n src = \"/x>\" maxwait=\"250\" ></esi:include>", "[/x> in 250000]"));
    EXPECT(says("<esi:include src=\"/u/$(HTTP_COOKIE{id})?q=$(QUERY_STRING{q})\"/>",
                "[/u/7?q=a%3Cb%3E]"));
    EXPECT(says("<esi:include src=\"http://$(HTTP_HOST)/x?$(QUERY_STRING)\"/>",
                "[http://example.com/x?q=a%3Cb%3E&page=12&n=x]"));
}

TEST(what_is_removed_or_a_comment_is_gone)
{
    EXPECT(says("a<esi:remove>b<esi:include src=\"/x\"/><b></esi:remove>c", "ac"));
    EXPECT(says("a<esi:comment text=\"b\"/>c", "ac"));
    EXPECT(says("a<!--esi b<esi:include src=\"/x\"/>--->c-->", "a b[/x]-c-->"));
    EXPECT(says("a<!-- b --><!--esi-->c", "a<!-- b -->c"));
}

TEST(variables_are_escaped_and_only_in_vars)
{
    EXPECT(says("$(HTTP_HOST)<esi:vars>$(HTTP_HOST) $(QUERY_STRING{q})</esi:vars>$(HTTP_HOST)",
                "$(HTTP_HOST)example.com a&lt;b&gt;$(HTTP_HOST)"));
    EXPECT(says("<esi:vars>$(HTTP_COOKIE{no|none}) $(HTTP_COOKIE{no}|'a b') $(NOSUCH)!</esi:vars>",
                "none a b !"));
    EXPECT(says("<esi:vars>$(document).ready() $5 $(</esi:vars>", "$(document).ready() $5 $("));
    EXPECT(says("<esi:vars>$(HTTP_USER_AGENT{browser}) $(HTTP_USER_AGENT{version}) "
                "$(HTTP_USER_AGENT{os}) $(HTTP_ACCEPT_LANGUAGE{en-GB})</esi:vars>",
                "MOZILLA 5.0 UNIX true"));
}

TEST(the_first_true_branch_is_chosen)
{
    EXPECT(says("<esi:choose> <esi:when test=\"$(HTTP_COOKIE{group})=='Basic'\">B</esi:when> x "
                "<esi:when test=\"$(HTTP_COOKIE{group})=='Advanced'\">A<esi:include src='/a'/>"
                "</esi:when><esi:when test='true'>T</esi:when>"
                "<esi:otherwise>O<esi:include src='/o'/></esi:otherwise></esi:choose>.",
                "A[/a]."));
    EXPECT(says("<esi:choose><esi:when test='1>2'>B</esi:when><esi:otherwise>O</esi:otherwise>"
                "</esi:choose>",
                "O"));
}

TEST(attempts_have_sources_for_failure)
{
    EXPECT(says("a<esi:try> <esi:attempt>b<esi:include src='/x'/></esi:attempt> "
                "<esi:except>c<esi:include src='/y'/></esi:except></esi:try>d",
                "a{b[/x]} except {c<esi:include src='/y'/>}d"));
    EXPECT(says("<esi:try><esi:attempt>1</esi:attempt><esi:except><esi:try><esi:attempt>2"
                "</esi:attempt><esi:except>3</esi:except></esi:try></esi:except></esi:try>",
                "{1} except {<esi:try><esi:attempt>2</esi:attempt><esi:except>3</esi:except>"
                "</esi:try>}"));
}

TEST(inline_fragments_are_read_where_they_are_included)
{
    EXPECT(says("<esi:inline name=\"/i\" fetchable='no'>i<esi:include src='/x'/></esi:inline>"
                "a<esi:include src=\"/i\"/>b<esi:include src=\"/i\"/>",
                "ai[/x]bi[/x]"));
    EXPECT(says("<esi:inline name=\"/i\"><esi:include src='/i'/></esi:inline>"
                "<esi:include src=\"/i\"/>",
                "!inline fragments include each other too often"));
}

TEST(what_does_not_fit_together_is_malformed)
{
    EXPECT(says("a<esi:include/>", "a!an include without src"));
    EXPECT(says("a<esi:nosuch/>", "a!a malformed tag"));
    EXPECT(says("a<esi:include src=/x/>", "a!a malformed tag"));
    EXPECT(says("a<esi:remove>", "a!a tag is not closed"));
    EXPECT(says("a<esi:remo", "a!a tag that does not end, or is too long"));
    EXPECT(says("a</esi:vars>", "a!a tag closes what is not open"));
    EXPECT(says("<esi:when test='true'>", "!a tag stands where it may not"));
    EXPECT(says("<esi:choose><esi:when test='=='>", "!the test of a `when` is no expression"));
    EXPECT(says("<esi:include src='/x' maxwait='soon'/>", "!maxwait is no number of milliseconds"));
    EXPECT(says("<esi:try/>", "!an empty `try`"));
}

TEST(a_tag_has_a_bound)
{
    struct exchange *x = visitor();
    struct text document, out;

    text_init(&document, OUT_MAX);
    text_init(&out, OUT_MAX);
    text_literal(&document, "<esi:include src='/");
    for (size_t i = 0; i < ESI_TAG_MAX; i++)
        text_byte(&document, 'x');
    text_literal(&document, "'/>");
    parse(x, text_slice(&document), 1000, &out);
    EXPECT_STR(text_slice(&out), "!a tag that does not end, or is too long");
    text_free(&document);
    text_free(&out);
    testing_exchange_free(x);
}
