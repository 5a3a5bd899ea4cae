#ifndef CACHETUNNEL_CONFIG_OPTION_H
#define CACHETUNNEL_CONFIG_OPTION_H

#include "base/err.h"
#include "config/location.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * An option is a row of data: name, type, where its value goes, default as text, bounds or
 * choices, and a line of help. Parsing, defaults, `--options` and the checks of manual and
 * sample all use the same rows. This module knows nothing of what any option means: the rows
 * themselves are in config/options.h, the types' own work in their `struct option_type`.
 */

struct option_row;

/* What a kind of value can do. Several places share one static instance per kind. */
struct option_type {
	const char *name; /* as the manual and `--options` call it: "yes|no", "seconds", … */

	/* Reads `text` into `value`, which holds the previous value or zero bytes: a cumulative
	 * type appends, any other replaces. On failure `value` is unchanged, and `err` says what
	 * is wrong with the value and what would be right (not which option: the caller does). */
	bool (*parse)(const struct option_row *row, const char *text, struct location at,
		      void *value, struct err *err);

	/* Releases what the value owns and leaves zero bytes. NULL where nothing is owned. */
	void (*clear)(void *value);

	/* What the value is while there is neither a default nor a line. NULL: zero bytes. */
	void (*init)(void *value);

	/* Whether two values mean the same; the lines that they came from do not count. */
	bool (*is_equal)(const void *value, const void *other);
};

enum option_treatment {
	OPTION_HONOURED,
	OPTION_NOTED,   /* stunnel has it, and it has no effect here: accepted with a note */
	OPTION_REFUSED, /* stunnel has it, and it cannot work here: an error that says why */
};

enum option_flag {
	OPTION_SECRET = 1 << 0,     /* the value never appears in a log, a message or a status */
	OPTION_CUMULATIVE = 1 << 1, /* every occurrence counts, not only the last */
	OPTION_RELOADABLE = 1 << 2, /* a reload may change it */
	OPTION_OWN = 1 << 3,        /* stunnel does not have it */
};

/* A name that a choice may have, and what it means. */
struct option_choice {
	const char *name; /* NULL ends a table of choices */
	int value;
};

struct option_row {
	const char *name;
	enum option_treatment treatment;
	unsigned flags; /* enum option_flag */

	/* Honoured options only: */
	const struct option_type *type;
	size_t offset;        /* of the value in the struct that the table fills */
	const char *fallback; /* the default, as a user would write it; NULL: unset */
	long min;             /* for numbers: bounds, both included */
	long max;
	const struct option_choice *choices; /* for choices */
	const char *unit;                    /* "s", "bytes"; NULL for none */

	/* Noted and refused options: values that stunnel users write and that change nothing, so
	 * that they need no remark. Separated by '|'; NULL: none. */
	const char *harmless;

	/* One line: what it does; for noted and refused ones why it has no place here and, where
	 * there is one, what to use instead. */
	const char *help;
};

struct option_table {
	const struct option_row *rows;
	size_t count;
};

/* The row with this name, letters of either case alike, or NULL. */
const struct option_row *option_find(const struct option_table *table, const char *name);

/* The name nearest to `name` in the tables, or NULL when none is near enough to be meant. */
const char *option_suggest(const struct option_table *const *tables, size_t count,
			   const char *name);

/* Reads `text` into the row's place in `target`, by the row's type. */
bool option_set(const struct option_row *row, const char *text, struct location at, void *target,
		struct err *err) ATTR_MUST_CHECK;

/* Whether `text` is among the row's values that need no remark. */
bool option_is_harmless(const struct option_row *row, const char *text);

/* Whether the row's value is the same in both. */
bool option_is_equal(const struct option_row *row, const void *target, const void *other);

/* Whether every value is. */
bool option_are_all_equal(const struct option_table *table, const void *target, const void *other);

/* For types: says that `text` is wrong, or only that the value is where it is secret, and then
 * what would be right ("must be …"). Always returns false. */
bool option_bad_value(const struct option_row *row, const char *text, struct err *err,
		      const char *format, ...) ATTR_PRINTF(4, 5);

/* Fills `target` (zero bytes before) with every row's default. */
void option_set_defaults(const struct option_table *table, void *target);

/* Releases every value in `target`. */
void option_clear_all(const struct option_table *table, void *target);

/* For types: `is_equal` of a bool, an int, a text and a struct text_list. */
bool option_is_equal_bool(const void *value, const void *other);
bool option_is_equal_int(const void *value, const void *other);
bool option_is_equal_text(const void *value, const void *other);
bool option_is_equal_texts(const void *value, const void *other);

/* The types that any table needs. The C type of the value stands beside each. */
extern const struct option_type option_type_bool;     /* bool */
extern const struct option_type option_type_int;      /* int, within the row's bounds */
extern const struct option_type option_type_seconds;  /* int, seconds, within the bounds */
extern const struct option_type option_type_interval; /* int, ms; "N" is seconds, "Nms" is not */
extern const struct option_type option_type_optional_int; /* as option_type_int; -1 while unset */
extern const struct option_type option_type_choice;       /* int, a value of the row's choices */
extern const struct option_type option_type_choices;      /* int, a set of its choices' bits */
extern const struct option_type option_type_choice_bool;  /* bool, a value of its choices */
extern const struct option_type option_type_text;         /* char *, owned; may be empty */
extern const struct option_type option_type_word;         /* char *, owned; never empty */
extern const struct option_type option_type_path;         /* char *, owned; never empty */

/* A list of texts, each with the line it came from. Cumulative. */
struct text_item {
	char *text; /* owned */
	struct location at;
};
struct text_list {
	struct text_item *items; /* owned */
	size_t count;
};
extern const struct option_type option_type_texts; /* struct text_list; none is empty */
extern const struct option_type option_type_ips;   /* struct text_list of IP addresses */

extern const struct option_type option_type_addresses; /* struct address_list; cumulative */

#endif
