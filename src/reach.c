#include "reach.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What libraries read at any time: trusted authorities, name service, time zones, the modules that
 * they load. Neither folder has secrets that its modes would not guard. */
static const char *const read_always[] = {
	"/etc",
	"/usr",
	"/lib",
	"/lib64",
	"/nix/store", /* what /etc and /usr lead to on NixOS and Guix */
	"/gnu/store",
	"/run/systemd/resolve", /* where /etc/resolv.conf may lead to, now or later */
	"/run/NetworkManager",
	"/run/resolvconf",
	"/mnt/wsl",
	"/run/systemd/userdb",     /* users by systemd */
	"/var/lib/sss",            /* users by sssd */
	"/proc/self",              /* what it costs, for metrics */
	"/sys/devices/system/cpu", /* how many processors there are */
	"/dev/urandom",
};

/* Where a reload may move the log, or make a socket, without a restart, unless `sandbox = require`.
 * Most of what lies there is another user's, whom its modes guard. */
static const struct {
	const char *path;
	unsigned rights;
} used_by_reloads[] = {
	{"/var/log", REACH_WRITE},
	{"/run", REACH_MAKE_SOCKET | REACH_REMOVE},
	{"/tmp", REACH_MAKE_SOCKET | REACH_REMOVE},
};

/* Ports that an endpoint may move to without a restart: Redis's own, and the one of readers of
 * ElastiCache Serverless. Name servers are asked by TCP when an answer is long. */
static const int connect_always[] = {6379, 6380, 53};

static void
add_place(struct reach *reach, struct reach_place place)
{
	struct stat status;

	if (stat(place.path, &status) == 0) {
		place.device = status.st_dev;
		place.inode = status.st_ino;
	}
	reach->places = array_make_room(reach->places, reach->place_count, sizeof *reach->places);
	reach->places[reach->place_count++] = place;
}

static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return memory_copy_text(".");
	if (slash == path)
		return memory_copy_text("/");
	return memory_format("%.*s", (int)(slash - path), path);
}

/* Returns owned: without links, where that can be found out. */
static char *
real_path(const char *path)
{
	char *real = realpath(path, NULL);

	return real != NULL ? real : memory_copy_text(path);
}

static void
add_folder(struct reach *reach, const char *path, unsigned rights, struct location at,
	   const char *option)
{
	add_place(reach, (struct reach_place){
				 .path = real_path(path),
				 .rights = rights,
				 .at = at,
				 .option = option,
			 });
}

/* The file's folder, and the one that the file is really in. What is no regular file (/dev/null,
 * a named pipe) stands for itself: nobody replaces it. */
static void
add_file(struct reach *reach, const char *path, unsigned rights, struct location at,
	 const char *option)
{
	struct stat status;

	if (path == NULL)
		return;
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode)) {
		add_folder(reach, path, rights, at, option);
		return;
	}
	char *folder = folder_of(path);
	char *real = real_path(path);
	char *real_folder = folder_of(real);
	add_folder(reach, folder, rights, at, option);
	if (strcmp(folder, real_folder) != 0)
		add_folder(reach, real_folder, rights, at, option);
	free(real_folder);
	free(real);
	free(folder);
}

void
reach_add_socket(struct reach *reach, const char *path, struct location at, const char *option)
{
	add_file(reach, path, REACH_MAKE_SOCKET | REACH_REMOVE, at, option);
}

static void
add_port(struct reach_port **ports, size_t *count, struct reach_port port)
{
	if (port.number == 0)
		return;
	*ports = array_make_room(*ports, *count, sizeof **ports);
	(*ports)[(*count)++] = port;
}

static int
port_number(const char *text)
{
	long number;

	if (text_to_long(text, 1, UINT16_MAX, &number))
		return (int)number;
	const struct servent *service = getservbyname(text, "tcp");
	return service != NULL ? ntohs((uint16_t)service->s_port) : 0;
}

static void
add_accepts(struct reach *reach, const struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct address *address = &list->items[i];
		if (address_is_unix(address))
			reach_add_socket(reach, address->path, address->at, "accept");
		else
			add_port(&reach->binds, &reach->bind_count,
				 (struct reach_port){port_number(address->port), address->at,
						     "accept"});
	}
}

static void
add_connects(struct reach *reach, const struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct address *address = &list->items[i];
		/* Whoever may open a unix socket's file is for the file's mode to say. */
		if (!address_is_unix(address))
			add_port(&reach->connects, &reach->connect_count,
				 (struct reach_port){port_number(address->port), address->at,
						     "connect"});
	}
}

static void
add_service(struct reach *reach, const struct service *service)
{
	const struct service_options *options = &service->options;
	const struct {
		const char *path;
		const char *option;
		bool is_folder;
	} read[] = {
		{options->ca_file, "CAfile", false},   {options->ca_path, "CApath", true},
		{options->ca_store, "CAstore", false}, {options->crl_file, "CRLfile", false},
		{options->crl_path, "CRLpath", true},  {options->cert, "cert", false},
		{options->key, "key", false},
	};

	add_accepts(reach, &options->accept);
	if (service->bastion == NULL)
		add_connects(reach, &options->connect);
	for (size_t i = 0; i < ARRAY_LENGTH(read); i++) {
		const char *path = read[i].path;
		struct location at = service_option_at(service, read[i].option);
		if (path == NULL)
			continue;
		/* CAstore is a URI, of which "file:" is the one that has a place. */
		if (strncmp(path, "file:", 5) == 0)
			path += 5 + 2 * (size_t)(strncmp(path + 5, "//", 2) == 0);
		add_file(reach, path, REACH_READ, at, read[i].option);
		if (read[i].is_folder) {
			add_folder(reach, path, REACH_READ, at, read[i].option);
		}
	}
}

static void
add_texts(struct reach *reach, const struct text_list *list, struct location otherwise,
	  const char *option)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct text_item *item = &list->items[i];
		add_file(reach, item->text, REACH_READ,
			 item->at.file != NULL ? item->at : otherwise, option);
	}
}

static void
add_bastion(struct reach *reach, const struct bastion *bastion)
{
	const struct bastion_options *options = &bastion->options;

	if (bastion->via == NULL && options->proxy_command == NULL)
		add_port(&reach->connects, &reach->connect_count,
			 (struct reach_port){options->port, bastion->at, "port"});
	if (options->proxy_command != NULL || bastion->origin == BASTION_ALIAS)
		reach->runs = bastion;
	add_texts(reach, &options->identity_file, bastion->at, "identityFile");
	add_texts(reach, &options->known_hosts, bastion->at, "knownHosts");
	add_file(reach, options->passphrase_file, REACH_READ,
		 bastion_option_at(bastion, "passphraseFile"), "passphraseFile");
	add_file(reach, options->password_file, REACH_READ,
		 bastion_option_at(bastion, "passwordFile"), "passwordFile");
	if (options->host_key_check == HOST_KEY_CHECK_ACCEPT_NEW &&
	    options->known_hosts.count > 0) {
		add_file(reach, options->known_hosts.items[0].text, REACH_READ | REACH_WRITE,
			 bastion->at, "knownHosts");
		reach->places[reach->place_count - 1].is_to_be_made = true;
	}
}

static void
add_system(struct reach *reach)
{
	const struct location everybody = {0};
	const char *file = getenv(X509_get_default_cert_file_env());
	const char *folder = getenv(X509_get_default_cert_dir_env());

	for (size_t i = 0; i < ARRAY_LENGTH(read_always); i++)
		add_folder(reach, read_always[i], REACH_READ, everybody, NULL);
	for (size_t i = 0; i < ARRAY_LENGTH(used_by_reloads) && !reach->is_strict; i++)
		add_folder(reach, used_by_reloads[i].path, used_by_reloads[i].rights, everybody,
			   NULL);
	add_folder(reach, "/dev/null", REACH_READ | REACH_WRITE, everybody, NULL);
	/* Written by whoever brings the network up, and often a link. */
	add_file(reach, "/etc/resolv.conf", REACH_READ, everybody, NULL);
	add_file(reach, file != NULL ? file : X509_get_default_cert_file(), REACH_READ, everybody,
		 NULL);
	add_folder(reach, folder != NULL ? folder : X509_get_default_cert_dir(), REACH_READ,
		   everybody, NULL);
	for (size_t i = 0; i < ARRAY_LENGTH(connect_always); i++)
		add_port(&reach->connects, &reach->connect_count,
			 (struct reach_port){connect_always[i], everybody, NULL});
	add_port(&reach->connects, &reach->connect_count,
		 (struct reach_port){port_number("domain"), everybody, NULL});
}

struct reach *
reach_of(const struct config *config)
{
	const struct global_options *global = &config->global;
	struct reach *reach = memory_zero(sizeof *reach);

	reach->is_strict = global->sandbox == SANDBOX_REQUIRE;
	add_system(reach);
	add_file(reach, config->path, REACH_READ, (struct location){.file = config->path}, NULL);
	for (size_t i = 0; i < global->include.count; i++)
		add_folder(reach, global->include.items[i].text, REACH_READ,
			   global->include.items[i].at, "include");
	add_file(reach, global->output, REACH_WRITE, config_option_at(config, "output"), "output");
	/* Not held against a reload, which leaves it as it was. */
	add_file(reach, global->pid, REACH_REMOVE, (struct location){0}, NULL);
	for (size_t i = 0; i < config->service_count; i++)
		add_service(reach, config->services[i]);
	for (size_t i = 0; i < config->bastion_count; i++)
		add_bastion(reach, config->bastions[i]);
	return reach;
}

void
reach_free(struct reach *reach)
{
	if (reach == NULL)
		return;
	for (size_t i = 0; i < reach->place_count; i++)
		free(reach->places[i].path);
	free(reach->places);
	free(reach->connects);
	free(reach->binds);
	free(reach);
}

static bool
is_within(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return true;
	return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Where nothing is, whoever opens it says so better than we. */
static bool
is_needed(const struct reach_place *place)
{
	return place->inode != 0 || place->is_to_be_made;
}

/* Rights were given to what was there then, not to its name. */
static bool
is_replaced(const struct reach_place *place)
{
	struct stat status;

	return place->inode != 0 && stat(place->path, &status) == 0 &&
	       (status.st_dev != place->device || status.st_ino != place->inode);
}

/* Rights may come from several places. */
static bool
has_place(const struct reach *granted, const struct reach_place *wanted)
{
	unsigned missing = wanted->rights;

	for (size_t i = 0; i < granted->place_count; i++) {
		if (is_within(wanted->path, granted->places[i].path) &&
		    !is_replaced(&granted->places[i]))
			missing &= ~granted->places[i].rights;
	}
	return missing == 0;
}

static bool
has_port(const struct reach_port *ports, size_t count, int number)
{
	for (size_t i = 0; i < count; i++) {
		if (ports[i].number == number)
			return true;
	}
	return false;
}

static bool
covers_ports(const struct reach_port *granted, size_t granted_count,
	     const struct reach_port *wanted, size_t wanted_count, struct report *report)
{
	bool is_covered = true;

	for (size_t i = 0; i < wanted_count; i++) {
		if (has_port(granted, granted_count, wanted[i].number))
			continue;
		is_covered = false;
		report_add(
			report, REPORT_ERROR, wanted[i].at,
			"'%s' has port %d, which the configuration did not have at start, so that "
			"the sandbox is closed for it; restart to use it",
			wanted[i].option, wanted[i].number);
	}
	return is_covered;
}

bool
reach_covers(const struct reach *granted, const struct reach *wanted, struct report *report)
{
	bool is_covered = true;

	for (size_t i = 0; i < wanted->place_count; i++) {
		const struct reach_place *place = &wanted->places[i];
		if (place->option == NULL || !is_needed(place) || has_place(granted, place))
			continue;
		is_covered = false;
		report_add(
			report, REPORT_ERROR, place->at,
			"'%s' needs '%.256s', which the configuration did not need at start, or "
			"which was replaced since, so that the sandbox is closed for it; restart "
			"to use it",
			place->option, place->path);
	}
	if (granted->is_strict) {
		is_covered = covers_ports(granted->connects, granted->connect_count,
					  wanted->connects, wanted->connect_count, report) &&
			     is_covered;
		is_covered = covers_ports(granted->binds, granted->bind_count, wanted->binds,
					  wanted->bind_count, report) &&
			     is_covered;
	}
	if (wanted->runs != NULL && granted->runs == NULL) {
		is_covered = false;
		report_add(
			report, REPORT_ERROR, wanted->runs->at,
			"bastion '%.80s' runs a program (proxyCommand, or ssh for an alias), which "
			"the sandbox forbids; restart to use it",
			wanted->runs->name);
	}
	return is_covered;
}
