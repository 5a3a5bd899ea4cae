#include "base/list.h"

#include "base/attributes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
	int number;
	struct list link;
};

static void
elements_keep_their_order(void **state ATTR_UNUSED)
{
	struct list list;
	struct item items[3] = {{.number = 2}, {.number = 3}, {.number = 1}};
	int expected = 1;

	list_init(&list);
	assert_true(list_is_empty(&list));
	list_append(&list, &items[0].link);
	list_append(&list, &items[1].link);
	list_prepend(&list, &items[2].link);
	for (struct list *link = list.next; link != &list; link = link->next)
		assert_int_equal(LIST_ITEM(link, struct item, link)->number, expected++);
	assert_int_equal(expected, 4);
}

static void
removing_twice_is_harmless(void **state ATTR_UNUSED)
{
	struct list list;
	struct item item = {.number = 1};

	list_init(&list);
	list_append(&list, &item.link);
	list_remove(&item.link);
	assert_true(list_is_empty(&list));
	list_remove(&item.link);
	assert_true(list_is_empty(&list));
	assert_true(list_is_empty(&item.link));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_keep_their_order),
		cmocka_unit_test(removing_twice_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
