#ifndef CACHETUNNEL_CONFIG_LOCATION_H
#define CACHETUNNEL_CONFIG_LOCATION_H

/* A line of a configuration file, for messages. `file` is borrowed from the configuration that
 * read it and lives as long as that; line 0 means the file as a whole. */
struct location {
	const char *file;
	unsigned line;
};

#endif
