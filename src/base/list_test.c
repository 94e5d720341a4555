/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"
#include "base/test.h"

struct item {
    char        name;
    struct list link;
};

static struct item a = {'a', {NULL, NULL}}, b = {'b', {NULL, NULL}}, c = {'c', {NULL, NULL}};
static char text[8];

static struct slice
names(struct list *head)
{
    size_t n = 0;

    list_each (link, head)
        text[n++] = list_entry(link, struct item, link)->name;
    return slice_of(text, n);
}

TEST(a_new_list_is_empty)
{
    struct list head;

    list_init(&head);
    EXPECT(list_is_empty(&head));
    EXPECT(list_pop(&head) == NULL);
    EXPECT(list_pop_last(&head) == NULL);
    EXPECT_STR(names(&head), "");
}

TEST(queues_and_stacks)
{
    struct list head;

    list_init(&head);
    list_append(&head, &b.link);
    list_append(&head, &c.link);
    list_push(&head, &a.link);
    EXPECT_STR(names(&head), "abc");
    EXPECT(list_pop(&head) == &a.link);
    EXPECT(list_pop_last(&head) == &c.link);
    EXPECT_STR(names(&head), "b");
}

TEST(a_member_can_be_removed_twice)
{
    struct list head;

    list_init(&head);
    list_append(&head, &a.link);
    list_append(&head, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    EXPECT_STR(names(&head), "b");
    list_remove(&b.link);
    EXPECT(list_is_empty(&head));
}

TEST(members_may_be_removed_while_walking)
{
    struct list head;

    list_init(&head);
    list_append(&head, &a.link);
    list_append(&head, &b.link);
    list_append(&head, &c.link);
    list_each (link, &head)
        if (list_entry(link, struct item, link)->name != 'b')
            list_remove(link);
    EXPECT_STR(names(&head), "b");
}

TEST(splicing_moves_all)
{
    struct list one, two;

    list_init(&one);
    list_init(&two);
    list_splice(&one, &two);
    EXPECT(list_is_empty(&one));
    list_append(&one, &a.link);
    list_append(&two, &b.link);
    list_append(&two, &c.link);
    list_splice(&one, &two);
    EXPECT_STR(names(&one), "abc");
    EXPECT(list_is_empty(&two));
    EXPECT(one.prev == &c.link);
}
