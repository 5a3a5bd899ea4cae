/* OpenSSL's memory: each block is as large as was asked for, whoever had it before. */

#include "stream/tls_memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>

enum { LARGEST = 24 * 1024, MANY = 1000 };

static bool has_shelves; /* not where sanitizers watch */

static void
test_every_size_holds_what_was_asked_for(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t size = 1; size <= LARGEST; size++) {
			unsigned char *block = OPENSSL_malloc(size);
			unsigned char *twin = OPENSSL_malloc(size);

			assert_non_null(block);
			assert_non_null(twin);
			memset(block, 1, size);
			memset(twin, 2, size);
			assert_int_equal(block[0], 1);
			assert_int_equal(block[size - 1], 1);
			OPENSSL_free(block);
			OPENSSL_free(twin);
		}
	}
}

static void
test_what_openssl_needs_often_is_taken_again(void **state)
{
	/* As callgrind tells of OpenSSL 3.0: four small ones, and a buffer each way;
	 * and for a handshake's messages one. */
	static const size_t sizes[] = {40, 40, 40, 56, 16712, 16472, 21848};

	(void)state;
	if (!has_shelves)
		skip();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		void *first = OPENSSL_malloc(sizes[i]);
		OPENSSL_free(first);
		void *second = OPENSSL_malloc(sizes[i]);
		assert_ptr_equal(first, second);
		OPENSSL_free(second);
	}
}

static void
test_more_than_a_shelf_takes(void **state)
{
	static unsigned char *blocks[MANY];
	static const size_t sizes[] = {100, 17000};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
		size_t size = sizes[i % 2];
		for (size_t j = 0; j < MANY; j++) {
			blocks[j] = OPENSSL_malloc(size);
			assert_non_null(blocks[j]);
			memset(blocks[j], (int)(j & 0xff), size);
		}
		for (size_t j = 0; j < MANY; j++) {
			assert_int_equal(blocks[j][0], j & 0xff);
			assert_int_equal(blocks[j][size - 1], j & 0xff);
			OPENSSL_free(blocks[j]);
		}
	}
}

static void
test_nothing(void **state)
{
	(void)state;
	assert_null(OPENSSL_malloc(0));
	OPENSSL_free(NULL);
}

static void
test_growing_keeps_the_content(void **state)
{
	unsigned char *block = OPENSSL_malloc(24);

	(void)state;
	assert_non_null(block);
	memset(block, 7, 24);
	for (size_t size = 25; size < LARGEST; size += 997) {
		block = OPENSSL_realloc(block, size);
		assert_non_null(block);
		assert_int_equal(block[0], 7);
		assert_int_equal(block[23], 7);
	}
	OPENSSL_free(block);
}

static void *
free_here(void *block)
{
	OPENSSL_free(block);
	/* And on its own shelf it is of use. */
	void *again = OPENSSL_malloc(200);
	OPENSSL_free(again);
	return NULL;
}

static void
test_another_thread_frees_it(void **state)
{
	pthread_t thread;
	unsigned char *block = OPENSSL_malloc(200);

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, free_here, block), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	block = OPENSSL_malloc(200);
	assert_non_null(block);
	memset(block, 3, 200);
	OPENSSL_free(block);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size_holds_what_was_asked_for),
		cmocka_unit_test(test_what_openssl_needs_often_is_taken_again),
		cmocka_unit_test(test_more_than_a_shelf_takes),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_growing_keeps_the_content),
		cmocka_unit_test(test_another_thread_frees_it),
	};

	has_shelves = tls_memory_use_shelves();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
