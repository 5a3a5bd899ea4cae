#include "config/bastions.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/filler.h"
#include "config/ssh_alias.h"
#include "config/user_path.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	HOPS_MAX = 16, /* that ssh aliases lead to: more is a mistake */
	SHOWN_SIZE = 80,
};

static const char section_word[] = "bastion";

struct bastions {
	struct config *config;
	struct report *report;
	void *by_name;  /* a tree of all bastions of the configuration, for tsearch() */
	unsigned depth; /* of the lookups under way */
};

static const struct option_table *const all_tables[] = {
	&bastion_options_table,
	&service_options_table,
	&global_options_table,
};

static int
compare_bastions(const void *left, const void *right)
{
	const struct bastion *one = left;
	const struct bastion *other = right;

	if (one->origin != other->origin)
		return one->origin < other->origin ? -1 : 1;
	return strcmp(one->name, other->name);
}

struct bastions *
bastions_new(struct config *config, struct report *report)
{
	struct bastions *bastions = memory_zero(sizeof *bastions);

	bastions->config = config;
	bastions->report = report;
	return bastions;
}

void
bastions_free(struct bastions *bastions)
{
	for (size_t i = 0; i < bastions->config->bastion_count; i++)
		(void)tdelete(bastions->config->bastions[i], &bastions->by_name, compare_bastions);
	free(bastions);
}

void
bastions_free_one(struct bastion *bastion)
{
	option_clear_all(&bastion_options_table, &bastion->options);
	free(bastion->set_at);
	free(bastion->name);
	free(bastion);
}

bool
bastions_is_section(const char *name)
{
	enum { LENGTH = sizeof section_word - 1 };
	char word[LENGTH + 1] = "";

	strncpy(word, name, LENGTH);
	return text_equal_nocase(word, section_word) &&
	       (name[LENGTH] == ' ' || name[LENGTH] == '\t');
}

static struct bastion *
find(const struct bastions *bastions, const char *name, enum bastion_origin origin)
{
	char *copy = memory_copy_text(name);
	const struct bastion wanted = {.name = copy, .origin = origin};
	struct bastion *const *found = tfind(&wanted, &bastions->by_name, compare_bastions);

	free(copy);
	return found != NULL ? *found : NULL;
}

/* Adds a bastion with default options. Of two with one name and origin the first is found. */
static struct bastion *
add(struct bastions *bastions, const char *name, enum bastion_origin origin, struct location at)
{
	struct config *config = bastions->config;
	struct bastion *bastion = memory_zero(sizeof *bastion);

	bastion->name = memory_copy_text(name);
	bastion->origin = origin;
	bastion->at = at;
	bastion->index = config->bastion_count;
	bastion->set_at = filler_new_locations(&bastion_options_table);
	option_set_defaults(&bastion_options_table, &bastion->options);
	config->bastions = array_make_room(config->bastions, config->bastion_count,
					   sizeof(struct bastion *));
	config->bastions[config->bastion_count++] = bastion;
	(void)tsearch(bastion, &bastions->by_name, compare_bastions);
	return bastion;
}

static bool
set(struct bastion *bastion, const char *option, const char *value, struct location at,
    struct err *err)
{
	const struct option_row *row = option_find(&bastion_options_table, option);

	assert(row != NULL);
	return option_set(row, value, at, &bastion->options, err);
}

/* Without a home there are none of ssh's files in it. */
static void
set_default(struct bastion *bastion, const char *option, const char *path)
{
	(void)!set(bastion, option, path, (struct location){0}, NULL);
}

static void
set_default_identities(struct bastion *bastion)
{
	set_default(bastion, "identityFile", "~/.ssh/id_ed25519");
	set_default(bastion, "identityFile", "~/.ssh/id_ecdsa");
	set_default(bastion, "identityFile", "~/.ssh/id_rsa");
}

static void
set_default_known_hosts(struct bastion *bastion)
{
	set_default(bastion, "knownHosts", "~/.ssh/known_hosts");
	set_default(bastion, "knownHosts", "/etc/ssh/ssh_known_hosts");
}

static void
fill(struct bastion *bastion, const struct section *section, struct report *report)
{
	struct filler filler = {
		.table = &bastion_options_table,
		.target = &bastion->options,
		.set_at = bastion->set_at,
		.seen_at = filler_new_locations(&bastion_options_table),
	};

	for (size_t i = 0; i < section->count; i++) {
		const struct assignment *item = &section->items[i];
		const struct option_row *row = option_find(filler.table, item->name);
		if (row != NULL)
			(void)filler_apply(&filler, row, item, report);
		else if (option_find(&service_options_table, item->name) != NULL ||
			 option_find(&global_options_table, item->name) != NULL)
			report_add(report, REPORT_ERROR, item->at,
				   "'%s' is no option of a bastion; move it into a service's "
				   "[section], or above the first one",
				   item->name);
		else
			filler_report_unknown(all_tables, ARRAY_LENGTH(all_tables), item, report);
	}
	free(filler.seen_at);
	/* A line with a bad value counts as written. */
	if (!bastion_option_is_set(bastion, "identityFile"))
		set_default_identities(bastion);
	if (!bastion_option_is_set(bastion, "knownHosts"))
		set_default_known_hosts(bastion);
}

void
bastions_add_section(struct bastions *bastions, const struct section *section)
{
	const char *name = section->name + sizeof section_word - 1;

	name += strspn(name, " \t");
	const struct bastion *earlier = find(bastions, name, BASTION_SECTION);
	if (earlier != NULL)
		report_add(bastions->report, REPORT_ERROR, section->at,
			   "%.256s:%u has a section [bastion %.80s] too; give each a name of its "
			   "own",
			   earlier->at.file, earlier->at.line, name);
	if (strpbrk(name, " \t") != NULL)
		report_add(bastions->report, REPORT_ERROR, section->at,
			   "the name of a bastion is one word, and '%.80s' is not; write it "
			   "without blanks",
			   name);
	fill(add(bastions, name, BASTION_SECTION, section->at), section, bastions->report);
}

/* `[user@]host[:port]`, cut up in place. */
struct target {
	const char *user; /* NULL: not written */
	const char *host;
	const char *port; /* NULL: not written */
};

static struct target
split_target(char *text)
{
	struct target target = {.host = text};
	char *sign = strrchr(text, '@');

	if (sign != NULL) {
		*sign = '\0';
		target.user = text;
		target.host = text = sign + 1;
	}
	/* More than one colon and no brackets: IPv6 without a port. */
	char *colon = strrchr(text, ':');
	char *bracket = *text == '[' ? strrchr(text, ']') : NULL;
	if (bracket != NULL)
		colon = bracket[1] == ':' ? bracket + 1 : NULL;
	else if (colon != strchr(text, ':'))
		colon = NULL;
	if (colon != NULL) {
		*colon = '\0';
		target.port = colon + 1;
	}
	return target;
}

static bool
set_user_and_port(struct bastion *bastion, const struct target *target, struct err *err)
{
	if (target->user != NULL && !set(bastion, "user", target->user, bastion->at, err))
		return err_wrap(err, "the user before '@'");
	if (target->port != NULL && !set(bastion, "port", target->port, bastion->at, err))
		return err_wrap(err, "the port after ':'");
	return true;
}

static struct bastion *
refer_inline(struct bastions *bastions, const char *text, struct location at)
{
	struct bastion *bastion = find(bastions, text, BASTION_INLINE);
	struct err err;

	if (bastion != NULL)
		return bastion;
	bastion = add(bastions, text, BASTION_INLINE, at);
	char *copy = memory_copy_text(text);
	struct target target = split_target(copy);
	if (!set(bastion, "host", target.host, at, &err) ||
	    !set_user_and_port(bastion, &target, &err))
		report_add(bastions->report, REPORT_ERROR, at,
			   "'%.80s' is no bastion: %s; write USER@HOST:PORT, or the name of a "
			   "[bastion NAME]",
			   text, err.text);
	free(copy);
	set_default_identities(bastion);
	set_default_known_hosts(bastion);
	return bastion;
}

/* The section whose name is near enough to be meant, or NULL. */
static const char *
nearest_section(const struct bastions *bastions, const char *name)
{
	unsigned limit = strlen(name) < 4 ? 1 : 2;

	for (size_t i = 0; i < bastions->config->bastion_count; i++) {
		const struct bastion *bastion = bastions->config->bastions[i];
		if (bastion->origin == BASTION_SECTION &&
		    text_distance(bastion->name, name) <= limit)
			return bastion->name;
	}
	return NULL;
}

static void
report_no_alias(const struct bastions *bastions, const struct bastion *bastion, const char *why)
{
	const char *nearest = nearest_section(bastions, bastion->name);

	report_add(bastions->report, REPORT_ERROR, bastion->at,
		   "there is no section [bastion %.80s]%s%.80s%s, and no ssh alias of that name: "
		   "%s; add the section, or write USER@HOST:PORT",
		   bastion->name, nearest != NULL ? " (did you mean '" : "",
		   nearest != NULL ? nearest : "", nearest != NULL ? "'?)" : "", why);
}

static struct bastion *refer_alias(struct bastions *bastions, const char *way, struct location at,
				   bool is_hop);

/* Fills `bastion` with what ssh says of the last hop of its name. */
static bool
ask_ssh(struct bastions *bastions, struct bastion *bastion, char *hop, bool is_hop,
	struct ssh_alias *ret_alias, struct err *err)
{
	static const char scheme[] = "ssh://";
	bool has_scheme = strncmp(hop, scheme, sizeof scheme - 1) == 0;
	struct target target = split_target(has_scheme ? hop + sizeof scheme - 1 : hop);

	*ret_alias = (struct ssh_alias){0};
	if (*target.host == '\0' || *target.host == '-' || strpbrk(target.host, " \t,") != NULL)
		return err_set(err, "it is not a name that ssh could know");
	if (bastions->depth > HOPS_MAX)
		return err_set(err, "ProxyJump leads over more than %d hops", HOPS_MAX);
	if (!ssh_alias_look_up(target.host, bastion->at, &bastion->options, ret_alias,
			       bastions->report, err))
		return false;
	if (!is_hop && !ret_alias->is_known)
		return err_set(err, "ssh's configuration says nothing of it");
	return set_user_and_port(bastion, &target, err);
}

/* As ssh does: a hop that is not the first goes through those before it, whatever its own
 * configuration says; the first goes where its own configuration leads. */
static void
set_way(struct bastions *bastions, struct bastion *bastion, const char *before,
	const struct ssh_alias *alias)
{
	const char *way = before != NULL ? before : alias->jump;

	if (way == NULL)
		return;
	free(bastion->options.proxy_command);
	bastion->options.proxy_command = NULL;
	bastion->via = refer_alias(bastions, way, bastion->at, true);
}

/* What ssh knows nothing more of is a host's name if it has a dot, or a user before it. False: it
 * has neither, or `err` says what is wrong with it. */
static bool
use_as_host(struct bastion *bastion, const char *way, struct err *err)
{
	char *copy = memory_copy_text(way);
	struct target target = split_target(copy);
	bool is_host = (target.user != NULL || strchr(target.host, '.') != NULL) &&
		       address_is_host(target.host) && set_user_and_port(bastion, &target, err);

	if (is_host && bastion->options.host == NULL)
		bastion->options.host = memory_copy_text(target.host);
	free(copy);
	if (is_host) {
		set_default_identities(bastion);
		set_default_known_hosts(bastion);
	}
	return is_host;
}

/* `way` is one hop, or several with commas between them. */
static struct bastion *
refer_alias(struct bastions *bastions, const char *way, struct location at, bool is_hop)
{
	struct bastion *bastion = find(bastions, way, BASTION_ALIAS);
	struct ssh_alias alias;
	struct err err;

	if (bastion != NULL)
		return bastion;
	bastion = add(bastions, way, BASTION_ALIAS, at);
	char *copy = memory_copy_text(way);
	char *comma = is_hop ? strrchr(copy, ',') : NULL;
	if (comma != NULL)
		*comma = '\0';
	bastions->depth++;
	if (ask_ssh(bastions, bastion, comma != NULL ? comma + 1 : copy, is_hop, &alias, &err))
		set_way(bastions, bastion, comma != NULL ? copy : NULL, &alias);
	else if (is_hop)
		report_add(bastions->report, REPORT_ERROR, at,
			   "ssh's configuration leads over '%.80s', and that fails: %s", way,
			   err.text);
	else if (alias.is_guarded || !use_as_host(bastion, way, &err))
		report_no_alias(bastions, bastion, err.text);
	bastions->depth--;
	free(alias.jump);
	free(copy);
	return bastion;
}

/* `USER@WORD`: a host that is written with a dot, a colon or a port is meant as it stands. */
static bool
names_user_of_alias(const char *text)
{
	const char *sign = strrchr(text, '@');

	return sign != NULL && strpbrk(sign, ".:") == NULL && address_is_host(sign + 1);
}

static struct bastion *
refer(struct bastions *bastions, const char *text, struct location at)
{
	struct bastion *bastion = find(bastions, text, BASTION_SECTION);

	if (bastion != NULL)
		return bastion;
	if (strpbrk(text, "@:") != NULL && !names_user_of_alias(text))
		return refer_inline(bastions, text, at);
	return refer_alias(bastions, text, at, false);
}

void
bastions_resolve(struct bastions *bastions)
{
	struct config *config = bastions->config;
	size_t sections = config->bastion_count;

	for (size_t i = 0; i < config->service_count; i++) {
		struct service *service = config->services[i];
		if (service->options.bastion != NULL)
			service->bastion = refer(bastions, service->options.bastion,
						 service_option_at(service, "bastion"));
	}
	for (size_t i = 0; i < sections; i++) {
		struct bastion *bastion = config->bastions[i];
		if (bastion->options.via != NULL)
			bastion->via = refer(bastions, bastion->options.via,
					     bastion_option_at(bastion, "via"));
	}
}
