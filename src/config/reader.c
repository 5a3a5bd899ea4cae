#include "config/reader.h"

#include "base/memory.h"
#include "base/text.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_LENGTH_MAX = 60, /* far more than any option has, and what inih holds in one line */
	SHOWN_SIZE = 60,
};

struct reader {
	FILE *stream;
	int error;          /* errno of a failed read; 0: none */
	struct location at; /* the line being read */
	const struct reader_events *events;
	void *arg;
	char *name; /* both point into `line` */
	char *value;
	char line[READER_LINE_SIZE];
};

enum line_result {
	LINE_END_OF_FILE,
	LINE_GOOD,
	LINE_TOO_LONG,
	LINE_HAS_NUL,
	LINE_HAS_CR,
};

/* Reads one line without its end. A line that is not good is read to its end all the same. */
static enum line_result
read_line(struct reader *reader)
{
	enum line_result result = LINE_GOOD;
	size_t length = 0;
	int byte = getc(reader->stream);

	if (byte == EOF)
		return LINE_END_OF_FILE;
	for (; byte != EOF && byte != '\n'; byte = getc(reader->stream)) {
		if (byte == '\0' && result == LINE_GOOD)
			result = LINE_HAS_NUL;
		if (length < sizeof reader->line - 1)
			reader->line[length++] = (char)byte;
		else if (result == LINE_GOOD)
			result = LINE_TOO_LONG;
	}
	reader->line[length] = '\0';
	if (length > 0 && reader->line[length - 1] == '\r')
		reader->line[--length] = '\0';
	if (result == LINE_GOOD && strchr(reader->line, '\r') != NULL)
		result = LINE_HAS_CR;
	return result;
}

static void
complain(struct reader *reader, const char *text)
{
	reader->events->on_error(reader->arg, reader->at, text);
}

static void
complain_about(struct reader *reader, const char *line, const char *what)
{
	char shown[SHOWN_SIZE];
	struct err err;

	(void)err_set(&err, "\"%s\" %s", text_escape(shown, sizeof shown, line), what);
	complain(reader, err.text);
}

/* Shows the first word only: the rest of such a line may well be somebody's password. */
static void
complain_about_word(struct reader *reader, char *line)
{
	size_t length = strcspn(line, " \t:");
	bool is_all = line[length] == '\0';

	line[length] = '\0';
	complain_about(reader, line,
		       is_all ? "is neither 'name = value' nor a [section]"
			      : "begins a line that is neither 'name = value' nor a [section]");
}

static void
take_section(struct reader *reader, char *line)
{
	size_t length = strlen(line);

	if (line[length - 1] != ']') {
		complain_about(reader, line, "begins a section but does not end with ']'");
		return;
	}
	line[length - 1] = '\0';
	reader->events->on_section(reader->arg, text_trim(line + 1), reader->at);
}

static bool
is_option_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t length = strlen(name);

	return length <= NAME_LENGTH_MAX && strspn(name, allowed) == length;
}

/* Splits `line` into the reader's name and value; false when it is no option. */
static bool
split_option(struct reader *reader, char *line)
{
	char *equals = strchr(line, '=');

	if (equals == NULL) {
		complain_about_word(reader, line);
		return false;
	}
	*equals = '\0';
	reader->name = text_trim(line);
	reader->value = text_trim(equals + 1);
	if (*reader->name == '\0') {
		complain(reader, "there is no option name before '='");
		return false;
	}
	if (!is_option_name(reader->name)) {
		complain_about(reader, reader->name, "before '=' is not the name of an option");
		return false;
	}
	return true;
}

/* Deals with a good line; true when it is an option. */
static bool
take_line(struct reader *reader)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	char *line = reader->line;

	if (reader->at.line == 1 && strncmp(line, byte_order_mark, 3) == 0)
		line += 3;
	line = text_trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return false;
	if (*line == '[') {
		take_section(reader, line);
		return false;
	}
	return split_option(reader, line);
}

/* inih asks for its next line here. It gets the option's name and an empty value only: its
 * packaged build would cut, shorten or split most of what may follow. */
static char *
next_line(char *out, int size, void *arg)
{
	struct reader *reader = arg;

	for (;;) {
		reader->at.line++;
		switch (read_line(reader)) {
		case LINE_END_OF_FILE:
			if (ferror(reader->stream))
				reader->error = errno != 0 ? errno : EIO;
			return NULL;
		case LINE_GOOD:
			if (!take_line(reader))
				break;
			(void)snprintf(out, (size_t)size, "%s=\n", reader->name);
			return out;
		case LINE_TOO_LONG:
			complain(reader, "the line is longer than 16 KiB");
			break;
		case LINE_HAS_NUL:
			complain(reader, "the line has a NUL byte; is this a text file?");
			break;
		case LINE_HAS_CR:
			complain(reader, "the line has a carriage return inside; lines end with a "
					 "line feed");
			break;
		}
	}
}

/* inih delivers an option here; the value is in the reader. */
static int
on_pair(void *arg, const char *section ATTR_UNUSED, const char *name, const char *value ATTR_UNUSED)
{
	struct reader *reader = arg;

	reader->events->on_option(reader->arg, name, reader->value, reader->at);
	return 1;
}

/* inih passes the same pointer to nobody but us: one for its reader, one for its handler. */
bool
reader_read(FILE *stream, const char *file, const struct reader_events *events, void *arg,
	    struct err *err)
{
	struct reader *reader = memory_zero(sizeof *reader);

	reader->stream = stream;
	reader->at.file = file;
	reader->events = events;
	reader->arg = arg;
	errno = 0;
	int result = ini_parse_stream(next_line, reader, on_pair, reader);
	int error = reader->error;
	free(reader);

	if (error != 0)
		return err_set_errno(err, error, "cannot read the file");
	if (result != 0)
		return err_set(err, "inih could not parse the file (%d)", result);
	return true;
}
