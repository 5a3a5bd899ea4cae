#include "config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DESCRIPTOR = 200 };

const char config_text_name[] = "descriptor 200";

struct config *
load_text(const char *text, struct report *report)
{
	FILE *stream = tmpfile();

	assert_non_null(stream);
	assert_int_equal(fwrite(text, 1, strlen(text), stream), strlen(text));
	rewind(stream);
	assert_int_equal(dup2(fileno(stream), DESCRIPTOR), DESCRIPTOR);
	(void)fclose(stream);
	assert_int_equal(lseek(DESCRIPTOR, 0, SEEK_SET), 0);

	struct config *config = config_load_fd(DESCRIPTOR, report);
	if (report_count(report, REPORT_ERROR) == 0)
		return config;
	config_unref(config);
	return NULL;
}

struct loaded
load(const char *text)
{
	struct loaded loaded = {.report = report_new()};

	loaded.config = load_text(text, loaded.report);
	if (loaded.config == NULL)
		fail_msg("%s", report_get(loaded.report, 0)->text);
	return loaded;
}

void
unload(struct loaded *loaded)
{
	config_unref(loaded->config);
	report_free(loaded->report);
}

bool
report_has(const struct report *report, enum report_level level, const char *fragment)
{
	const struct report_entry *entry;

	for (size_t i = 0; (entry = report_get(report, i)) != NULL; i++) {
		if (entry->level == level && strstr(entry->text, fragment) != NULL)
			return true;
	}
	return false;
}

static void
check(const char *text, bool loads, enum report_level level, const char *fragment)
{
	struct report *report = report_new();
	struct config *config = load_text(text, report);
	bool is_good = (config != NULL) == loads &&
		       (fragment == NULL || report_has(report, level, fragment));

	if (!is_good) {
		print_error("The text:\n%s\nThe report:\n", text);
		for (size_t i = 0; report_get(report, i) != NULL; i++)
			print_error("%d %s\n", (int)report_get(report, i)->level,
				    report_get(report, i)->text);
		print_error("Expected to %s, with: %s\n", loads ? "load" : "fail",
			    fragment != NULL ? fragment : "anything");
	}
	config_unref(config);
	report_free(report);
	assert_true(is_good);
}

void
assert_loads(const char *text, enum report_level level, const char *fragment)
{
	check(text, true, level, fragment);
}

void
assert_fails(const char *text, const char *fragment)
{
	check(text, false, REPORT_ERROR, fragment);
}
