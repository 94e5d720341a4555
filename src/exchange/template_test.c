/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "exchange/expr.h"
#include "exchange/testing.h"

static struct exchange *x;

static struct template *
compiled(const char *source)
{
    struct expr_error error;
    struct template *t = template_compile(&x->arena, slice_str(source), &error);

    if (!t)
        test_failed(__FILE__, __LINE__, "%s: at %zu: %s", source, error.offset, error.text);
    return t;
}

static struct slice
rendered(const char *source)
{
    struct template *t = compiled(source);
    struct slice s = t ? template_render(t, x) : SLICE("failed");

    template_release(t);
    return s;
}

static void
begin(void)
{
    x = testing_exchange("GET", "https://example.com/a?b=c", "X-Id", "7", NULL);
}

static void
end(void)
{
    testing_exchange_free(take(&x));
}

TEST(expressions_are_filled_in)
{
    begin();
    EXPECT_STR(rendered("${client.ip}:${scheme}"), "192.0.2.1:https");
    EXPECT_STR(rendered("https://${host}${uri}"), "https://example.com/a?b=c");
    EXPECT_STR(rendered("${header('x-id')}"), "7");
    EXPECT_STR(rendered("<${ header('x-none') }>"), "<>");
    EXPECT_STR(rendered("${header('x-none')}"), "");
    EXPECT_STR(rendered("${method == GET}"), "true");
    EXPECT_STR(rendered("${'}'}${\"'}\"}"), "}'}");
    EXPECT_STR(rendered("${header('x-none')}${header('x-none')}"), "");
    end();
}

TEST(plain_text_is_itself)
{
    begin();
    EXPECT_STR(rendered("hello"), "hello");
    EXPECT_STR(rendered(""), "");
    EXPECT_STR(rendered("a $ b } $x {y}"), "a $ b } $x {y}");
    EXPECT(template_is_constant(compiled("hello $${x}")));
    EXPECT(template_is_constant(compiled("")));
    EXPECT(!template_is_constant(compiled("${path}")));
    end();
}

TEST(a_dollar_in_front_escapes)
{
    begin();
    EXPECT_STR(rendered("$${path}"), "${path}");
    EXPECT_STR(rendered("a$${path}b${path}"), "a${path}b/a");
    EXPECT_STR(rendered("$$"), "$$");
    EXPECT_STR(rendered("$$${path}"), "$${path}");
    EXPECT_STR(rendered("${path}$${"), "/a${");
    end();
}

TEST(a_plain_text_is_not_copied)
{
    struct template *t;
    char *before;

    begin();
    t = compiled("hello $${you}");
    before = x->arena.at;
    EXPECT_STR(template_render(t, x), "hello ${you}");
    EXPECT(x->arena.at == before);
    end();
}

TEST(errors_tell_their_place_in_the_text)
{
    struct expr_error error;

    begin();
    EXPECT(!template_compile(&x->arena, SLICE("ab${path"), &error));
    EXPECT_EQ(error.offset, 2);
    EXPECT(!template_compile(&x->arena, SLICE("ab${pat}"), &error));
    EXPECT_EQ(error.offset, 4);
    EXPECT(!template_compile(&x->arena, SLICE("${path matches 'x'}${}"), &error));
    EXPECT_EQ(error.offset, 21);
    EXPECT(strstr(error.text, "empty") != NULL);
    end();
}

TEST(parts_are_bounded)
{
    struct expr_error error;
    char many[65 * 7 + 1];

    begin();
    for (size_t i = 0; i < 65; i++)
        memcpy(many + 7 * i, "${path}", 7);
    EXPECT(template_compile(&x->arena, slice_of(many, 64 * 7), &error) != NULL);
    EXPECT(!template_compile(&x->arena, slice_of(many, 65 * 7), &error));
    EXPECT(strstr(error.text, "64 parts") != NULL);
    end();
}

TEST(out_of_memory_is_absent)
{
    struct template *t;
    struct arena saved;

    begin();
    t = compiled("a${method}${path}");
    saved = x->arena;
    arena_init(&x->arena, NULL, 0, 0);
    EXPECT(!slice_is_present(template_render(t, x)));
    x->arena = saved;
    end();
}
