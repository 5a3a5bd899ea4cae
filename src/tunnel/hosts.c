#include "tunnel/hosts.h"

#include "base/text.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r\n";

static void
add_literal(struct resolved *v6, struct resolved *v4, const char *address)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST,
	};
	struct addrinfo *found = NULL;

	if (getaddrinfo(address, NULL, &hints, &found) != 0)
		return;
	(void)resolved_add(found->ai_family == AF_INET6 ? v6 : v4, found->ai_addr,
			   found->ai_addrlen);
	freeaddrinfo(found);
}

/* "ADDRESS NAME…", and what follows a '#' does not count. The line is cut up. */
static void
read_line(char *line, const char *name, struct resolved *v6, struct resolved *v4)
{
	char *rest = NULL;

	line[strcspn(line, "#")] = '\0';
	const char *address = strtok_r(line, blanks, &rest);
	if (address == NULL)
		return;
	for (const char *word = strtok_r(NULL, blanks, &rest); word != NULL;
	     word = strtok_r(NULL, blanks, &rest)) {
		if (!text_equal_nocase(word, name))
			continue;
		add_literal(v6, v4, address);
		return;
	}
}

bool
hosts_find(const char *path, const char *name, struct resolved *ret_addresses)
{
	struct resolved v4 = {.count = 0};
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	*ret_addresses = (struct resolved){.count = 0};
	while (file != NULL && getline(&line, &size, file) >= 0)
		read_line(line, name, ret_addresses, &v4);
	free(line);
	if (file != NULL)
		(void)fclose(file);
	if (ret_addresses->count + v4.count == 0 && text_equal_nocase(name, "localhost")) {
		add_literal(ret_addresses, &v4, "::1");
		add_literal(ret_addresses, &v4, "127.0.0.1");
	}
	for (size_t i = 0; i < v4.count; i++)
		(void)resolved_add(ret_addresses, (const void *)&v4.items[i].storage,
				   v4.items[i].length);
	return ret_addresses->count > 0;
}
