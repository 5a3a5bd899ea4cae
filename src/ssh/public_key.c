#include "ssh/public_key.h"

#include "ssh/base64.h"
#include "ssh/host_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 16 * 1024 };

/* The two words must agree about the algorithm. */
static unsigned char *
decode_line(char *line, size_t *ret_length)
{
	char *rest = NULL;
	const char *type = strtok_r(line, " \t\r\n", &rest);
	const char *text = type != NULL ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
	unsigned char *blob = text != NULL ? base64_decode(text, strlen(text), ret_length) : NULL;
	char algorithm[HOST_KEY_ALGORITHM_SIZE];

	if (blob == NULL)
		return NULL;
	struct host_key key = {.blob = blob, .length = *ret_length};
	if (strcmp(host_key_algorithm(key, algorithm, sizeof algorithm), type) == 0)
		return blob;
	free(blob);
	return NULL;
}

unsigned char *
public_key_load(const char *path, size_t *ret_length)
{
	char line[LINE_SIZE];
	unsigned char *blob = NULL;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return NULL;
	if (fgets(line, sizeof line, file) != NULL)
		blob = decode_line(line, ret_length);
	(void)fclose(file);
	return blob;
}
