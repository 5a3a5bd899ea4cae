#include "config/role.h"

#include "base/attributes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum role
role_of(const char *first, const char *second)
{
	struct address items[2] = {{.host = (char *)(size_t)first},
				   {.host = (char *)(size_t)second}};
	const struct address_list list = {.items = items, .count = second != NULL ? 2 : 1};

	return role_guess(&list);
}

static void
names_of_elasticache_tell_the_role(void **state ATTR_UNUSED)
{
	assert_int_equal(role_of("master.demo.abc123.use1.cache.amazonaws.com", NULL),
			 ROLE_PRIMARY);
	assert_int_equal(role_of("Primary.demo.abc123.use1.cache.AmazonAWS.com", NULL),
			 ROLE_PRIMARY);
	assert_int_equal(role_of("demo.abc123.ng.0001.use1.cache.amazonaws.com", NULL),
			 ROLE_PRIMARY);
	assert_int_equal(role_of("master.demo.abc123.cnn1.cache.amazonaws.com.cn", NULL),
			 ROLE_PRIMARY);
	assert_int_equal(role_of("replica.demo.abc123.use1.cache.amazonaws.com", NULL),
			 ROLE_REPLICA);
	assert_int_equal(role_of("demo-ro.abc123.ng.0001.use1.cache.amazonaws.com", NULL),
			 ROLE_REPLICA);
}

static void
other_names_tell_nothing(void **state ATTR_UNUSED)
{
	assert_int_equal(role_of("demo-001.demo.abc123.use1.cache.amazonaws.com", NULL), ROLE_ANY);
	assert_int_equal(role_of("clustercfg.demo.abc123.use1.cache.amazonaws.com", NULL),
			 ROLE_ANY);
	assert_int_equal(role_of("demo-abcdef.serverless.use1.cache.amazonaws.com", NULL),
			 ROLE_ANY);
	assert_int_equal(role_of("master.example.org", NULL), ROLE_ANY);
	assert_int_equal(role_of("10.0.0.1", NULL), ROLE_ANY);
	assert_int_equal(role_of(NULL, NULL), ROLE_ANY);
}

static void
several_endpoints_must_agree(void **state ATTR_UNUSED)
{
	assert_int_equal(role_of("master.a.abc123.use1.cache.amazonaws.com",
				 "master.b.abc123.use1.cache.amazonaws.com"),
			 ROLE_PRIMARY);
	assert_int_equal(role_of("master.a.abc123.use1.cache.amazonaws.com",
				 "replica.a.abc123.use1.cache.amazonaws.com"),
			 ROLE_ANY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_elasticache_tell_the_role),
		cmocka_unit_test(other_names_tell_nothing),
		cmocka_unit_test(several_endpoints_must_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
