#include "control/doctor_report.h"

#include "base/memory.h"
#include "base/terminal.h"
#include "base/text.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* For people: a line for each finding, its advice below. On a terminal the lines are wrapped. */

enum {
	INDENT = 31, /* where texts begin: after verdict, title and time */
	DEFAULT_COLUMNS = 80,
	FEWEST_COLUMNS = 60, /* a narrower terminal wraps by itself */
	MOST_COLUMNS = 110,  /* longer lines are hard to read */
};

struct text_writer {
	struct doctor_writer writer; /* first, so that the two can be cast */
	bool is_terminal;
	bool has_colours;
	size_t columns;
};

static struct text_writer *
from_writer(struct doctor_writer *writer)
{
	return (struct text_writer *)(void *)writer;
}

static const char *
colour(const struct text_writer *text, const char *code)
{
	return text->has_colours ? code : "";
}

/* Prints words from the present column (INDENT) on. */
static void
print_wrapped(const struct text_writer *text, const char *words)
{
	size_t column = INDENT;

	while (*words != '\0') {
		size_t length = strcspn(words, " ");
		if (text->is_terminal && column > INDENT && column + 1 + length > text->columns) {
			(void)printf("\n%*s", INDENT, "");
			column = INDENT;
		} else if (column > INDENT) {
			(void)putchar(' ');
			column++;
		}
		(void)printf("%.*s", (int)length, words);
		column += length;
		words += length;
		words += strspn(words, " ");
	}
	(void)putchar('\n');
}

static void
format_span(int64_t span_us, char *out, size_t size)
{
	if (span_us < 0)
		(void)snprintf(out, size, "%s", "");
	else if (span_us < 100000)
		(void)snprintf(out, size, "%.1f ms", (double)span_us / 1e3);
	else
		(void)snprintf(out, size, "%.1f s", (double)span_us / 1e6);
}

static void
begin_service(struct doctor_writer *writer, const struct service *service)
{
	const struct text_writer *text = from_writer(writer);
	char name[DOCTOR_TEXT_SIZE];

	(void)text_escape(name, sizeof name, service->name);
	(void)printf("\n%s[%s]%s\n", colour(text, "\033[1m"), name, colour(text, "\033[0m"));
}

static void
begin_endpoint(struct doctor_writer *writer ATTR_UNUSED, const struct address *endpoint)
{
	char raw[DOCTOR_TEXT_SIZE];
	char shown[DOCTOR_TEXT_SIZE];

	(void)address_format(endpoint, raw, sizeof raw);
	(void)printf("  to %s\n", text_escape(shown, sizeof shown, raw));
}

static void
add(struct doctor_writer *writer, const struct doctor_finding *finding)
{
	static const struct {
		const char *word;
		const char *colour;
	} verdicts[] = {
		[DOCTOR_OK] = {"ok", "\033[32m"},
		[DOCTOR_NOTE] = {"note", "\033[33m"},
		[DOCTOR_FAILED] = {"FAIL", "\033[1;31m"},
	};
	const struct text_writer *text = from_writer(writer);
	char span[24];
	char shown[DOCTOR_TEXT_SIZE];

	format_span(finding->took_us, span, sizeof span);
	(void)printf("  %s%-4s%s  %-12s %8s  ", colour(text, verdicts[finding->verdict].colour),
		     verdicts[finding->verdict].word, colour(text, "\033[0m"), finding->title,
		     span);
	print_wrapped(text, text_escape(shown, sizeof shown, finding->text));
	if (finding->advice != NULL) {
		(void)printf("%*s", INDENT, "-> ");
		print_wrapped(text, text_escape(shown, sizeof shown, finding->advice));
	}
	(void)fflush(stdout);
}

static void
finish(struct doctor_writer *writer, int status, size_t failed, size_t count)
{
	const struct text_writer *text = from_writer(writer);

	if (status == 0)
		(void)printf("\n%sAll is well%s: %zu service(s).\n", colour(text, "\033[32m"),
			     colour(text, "\033[0m"), count);
	else if (count == 0)
		(void)printf("\n%sThe configuration cannot be used%s (exit status %d).\n",
			     colour(text, "\033[1;31m"), colour(text, "\033[0m"), status);
	else
		(void)printf("\n%s%zu of %zu service(s) failed%s; first at: %s (exit status %d).\n",
			     colour(text, "\033[1;31m"), failed, count, colour(text, "\033[0m"),
			     doctor_layer_name((enum doctor_layer)status), status);
}

static void
free_writer(struct doctor_writer *writer)
{
	free(from_writer(writer));
}

static const struct doctor_writer_ops ops = {
	.begin_service = begin_service,
	.begin_endpoint = begin_endpoint,
	.add = add,
	.finish = finish,
	.free = free_writer,
};

static size_t
terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < FEWEST_COLUMNS)
		return DEFAULT_COLUMNS;
	return size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS;
}

struct doctor_writer *
doctor_text_new(void)
{
	struct text_writer *text = memory_zero(sizeof *text);

	text->writer.ops = &ops;
	text->is_terminal = isatty(STDOUT_FILENO) == 1;
	text->has_colours = terminal_has_colours();
	text->columns = terminal_columns();
	return &text->writer;
}
