#include "config/config.h"
#include "config/reader.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Bytes of an attacker's choice as a configuration: first to the reader alone, then to the whole
 * of it. Findings do not matter; crashes, leaks and places that are none do. */

enum { INPUT_SIZE_MAX = 32 * 1024 }; /* fits into a pipe that nobody empties yet */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

/* Real folders would make a run depend on the machine's disk. */
static bool
includes_a_folder(const uint8_t *data, size_t size)
{
	static const char word[] = "include";

	for (size_t i = 0; i + sizeof word - 1 <= size; i++) {
		if (strncasecmp((const char *)data + i, word, sizeof word - 1) == 0)
			return true;
	}
	return false;
}

static int
open_input(const uint8_t *data, size_t size)
{
	int ends[2];

	expect(pipe(ends) == 0);
	expect(write(ends[1], data, size) == (ssize_t)size);
	(void)close(ends[1]);
	return ends[0];
}

static void
check_place(unsigned *last_line, struct location at)
{
	expect(strcmp(at.file, "input") == 0);
	expect(at.line > *last_line);
	*last_line = at.line;
}

static void
on_section(void *arg, const char *name, struct location at)
{
	check_place(arg, at);
	expect(strchr(name, '\n') == NULL);
}

static void
on_option(void *arg, const char *name, const char *value, struct location at)
{
	check_place(arg, at);
	expect(*name != '\0' && strpbrk(name, "=:;[] \n") == NULL);
	expect(strlen(value) < READER_LINE_SIZE && strpbrk(value, "\r\n") == NULL);
}

static void
on_error(void *arg, struct location at, const char *text)
{
	check_place(arg, at);
	expect(*text != '\0');
}

static void
try_reader(const uint8_t *data, size_t size)
{
	static const struct reader_events events = {on_section, on_option, on_error};
	unsigned last_line = 0;
	struct err err;
	FILE *stream = fdopen(open_input(data, size), "r");

	expect(stream != NULL);
	expect(reader_read(stream, "input", &events, &last_line, &err));
	(void)fclose(stream);
}

/* Every way ends, whatever the file says. */
static void
check_bastion(const struct config *config, size_t index, bool is_good)
{
	const struct bastion *bastion = config->bastions[index];
	size_t hops = 0;

	expect(bastion->index == index);
	expect(!is_good || bastion->options.host != NULL);
	for (const struct bastion *hop = bastion; hop != NULL; hop = hop->via)
		expect(hops++ < config->bastion_count);
}

static void
try_config(const uint8_t *data, size_t size)
{
	struct report *report = report_new();
	struct config *config = config_load_fd(open_input(data, size), report);
	const struct report_entry *entry;

	expect(config != NULL);
	bool is_good = report_count(report, REPORT_ERROR) == 0;
	for (size_t i = 0; (entry = report_get(report, i)) != NULL; i++) {
		for (const char *letter = entry->text; *letter != '\0'; letter++)
			expect(*letter >= ' ' && *letter <= '~');
	}
	for (size_t i = 0; i < config->bastion_count; i++)
		check_bastion(config, i, is_good);
	for (size_t i = 0; is_good && i < config->service_count; i++) {
		const struct service *service = config->services[i];
		expect(service->index == i);
		expect((service->bastion != NULL) == (service->options.bastion != NULL));
		expect(service->options.accept.count > 0 && service->options.connect.count > 0);
		expect(service->options.client || service->options.plain);
	}
	config_unref(config);
	report_free(report);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_SIZE_MAX || includes_a_folder(data, size))
		return 0;
	/* No program is run: an alias is an error here. What is read does not depend on whose
	 * home this is. */
	expect(setenv("CACHETUNNEL_SSH", "/no/such/program", 1) == 0);
	expect(setenv("HOME", "/home/fuzzer", 1) == 0);
	try_reader(data, size);
	try_config(data, size);
	return 0;
}
