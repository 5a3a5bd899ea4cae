#include "redis/scan.h"

#include <string.h>

enum scan_state {
	STATE_START,   /* of a value: its first byte comes next */
	STATE_LINE,    /* up to the end of the line */
	STATE_NUMBER,  /* how long a string, or how many values */
	STATE_NEWLINE, /* the second byte of a number's line end */
	STATE_STRING,  /* skipping */
	STATE_LOST,
};

/* What Redis lets a string and an array be (proto-max-bulk-len can be raised, so there is room)
 * is far below this; beyond it, sums might overflow. */
static const uint64_t max_number = UINT64_C(1) << 40;

void
scan_init(struct scan *scan, enum scan_kind kind)
{
	*scan = (struct scan){.kind = kind, .state = STATE_START};
}

bool
scan_is_between(const struct scan *scan)
{
	return scan->state == STATE_START && scan->values == 0;
}

static enum scan_event
lose(struct scan *scan)
{
	scan->state = STATE_LOST;
	return SCAN_LOST;
}

/* A value is complete; when it was the last one, so is the message. */
static enum scan_event
end_value(struct scan *scan)
{
	scan->state = STATE_START;
	if (--scan->values > 0)
		return SCAN_NOTHING;
	if (scan->message == '>')
		return SCAN_PUSH;
	return scan->message == '-' ? SCAN_ERROR : SCAN_MESSAGE;
}

static void
begin_number(struct scan *scan)
{
	scan->state = STATE_NUMBER;
	scan->number = 0;
	scan->is_negative = false;
	scan->has_digits = false;
}

/* The first byte of a value tells what it is. */
static enum scan_event
begin_value(struct scan *scan, unsigned char type)
{
	if (scan->values == 0) {
		scan->values = 1;
		scan->message = type;
		scan->error_length = 0;
		scan->error[0] = '\0';
		/* Anything but an array is a command in words, up to the end of the line. */
		if (scan->kind == SCAN_REQUESTS && type != '*')
			scan->message = ' ';
	}
	/* What follows an attribute is the message that it stands before. */
	if (scan->message == '|' && scan->values == 1)
		scan->message = type;
	scan->type = type;
	if (scan->kind == SCAN_REQUESTS && scan->message == ' ') {
		scan->state = STATE_LINE;
		scan->has_digits = false; /* here: whether there is a word */
		return SCAN_NOTHING;
	}
	switch (type) {
	case '+':
	case '-':
	case ':':
	case '_':
	case '#':
	case ',':
	case '(':
		scan->state = STATE_LINE;
		return SCAN_NOTHING;
	case '$':
	case '!':
	case '=':
	case '*':
	case '~':
	case '>':
	case '%':
	case '|':
		begin_number(scan);
		return SCAN_NOTHING;
	default:
		return lose(scan);
	}
}

/* A request without a word in it gets no reply. */
static enum scan_event
end_empty_request(struct scan *scan)
{
	scan->state = STATE_START;
	scan->values = 0;
	return SCAN_NOTHING;
}

/* The line with the number is complete. */
static enum scan_event
end_number(struct scan *scan)
{
	uint64_t number = scan->is_negative ? 0 : scan->number;

	if (scan->values > max_number)
		return lose(scan);
	switch (scan->type) {
	case '$':
	case '!':
	case '=':
		if (scan->is_negative) /* there is no string */
			return end_value(scan);
		scan->skip = number + 2;
		scan->state = STATE_STRING;
		return SCAN_NOTHING;
	case '|': /* attributes stand before a value, and are none themselves */
		scan->values += 2 * number;
		scan->state = STATE_START;
		return SCAN_NOTHING;
	case '%':
		number *= 2;
		break;
	default:
		break;
	}
	if (scan->kind == SCAN_REQUESTS && scan->values == 1 && number == 0)
		return end_empty_request(scan);
	scan->values += number;
	return end_value(scan);
}

static enum scan_event
read_number(struct scan *scan, unsigned char byte)
{
	if (byte == '\r' && scan->has_digits) {
		scan->state = STATE_NEWLINE;
	} else if (byte == '-' && !scan->has_digits && !scan->is_negative) {
		scan->is_negative = true;
	} else if (byte >= '0' && byte <= '9' && scan->number < max_number) {
		scan->has_digits = true;
		scan->number = scan->number * 10 + (uint64_t)(byte - '0');
	} else {
		return lose(scan);
	}
	return SCAN_NOTHING;
}

/* Takes what is there of a line. Returns how much that was; `*ret_is_over`: its end too. */
static size_t
read_line(struct scan *scan, const unsigned char *bytes, size_t length, bool *ret_is_over)
{
	const unsigned char *newline = memchr(bytes, '\n', length);
	size_t count = newline != NULL ? (size_t)(newline - bytes) + 1 : length;

	*ret_is_over = newline != NULL;
	if (scan->message == '-') {
		for (size_t i = 0; i < count && scan->error_length < SCAN_ERROR_SIZE - 1; i++)
			scan->error[scan->error_length++] = (char)bytes[i];
		scan->error[scan->error_length] = '\0';
	} else if (scan->kind == SCAN_REQUESTS && !scan->has_digits) {
		for (size_t i = 0; i < count && !scan->has_digits; i++)
			scan->has_digits = strchr(" \t\r\n", bytes[i]) == NULL;
	}
	return count;
}

static enum scan_event
end_line(struct scan *scan)
{
	if (scan->kind == SCAN_REQUESTS && !scan->has_digits)
		return end_empty_request(scan);
	return end_value(scan);
}

enum scan_event
scan_next(struct scan *scan, const unsigned char *bytes, size_t length, size_t *ret_count)
{
	enum scan_event event = SCAN_NOTHING;
	size_t at = 0;

	while (at < length && event == SCAN_NOTHING) {
		size_t count = 1;
		bool is_over = false;
		switch ((enum scan_state)scan->state) {
		case STATE_START:
			event = begin_value(scan, bytes[at]);
			if (scan->state == STATE_LINE)
				count = 0; /* the line begins with its type */
			break;
		case STATE_LINE:
			count = read_line(scan, bytes + at, length - at, &is_over);
			if (is_over)
				event = end_line(scan);
			break;
		case STATE_NUMBER:
			event = read_number(scan, bytes[at]);
			break;
		case STATE_NEWLINE:
			event = bytes[at] == '\n' ? end_number(scan) : lose(scan);
			break;
		case STATE_STRING:
			count = length - at;
			if (count >= scan->skip) {
				count = (size_t)scan->skip;
				event = end_value(scan);
			} else {
				scan->skip -= count;
			}
			break;
		case STATE_LOST:
			event = SCAN_LOST;
			break;
		}
		at += count;
	}
	*ret_count = at;
	return event;
}
