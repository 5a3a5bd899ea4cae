#include "base/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* One byte at a time, so that nothing of it stays in a buffer of stdio's. */
static bool
read_line(char *out, size_t size)
{
	size_t length = 0;
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
		if (length + 1 >= size)
			return false;
		out[length++] = byte;
	}
	out[length] = '\0';
	return length > 0;
}

bool
terminal_ask_secret(const char *question, char *out, size_t size)
{
	struct termios shown;
	struct termios hidden;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown) != 0)
		return false;
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	(void)fputs(question, stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	bool is_read = read_line(out, size);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	(void)fputc('\n', stderr);
	return is_read;
}

bool
terminal_has_colours(void)
{
	const char *terminal = getenv("TERM");
	const char *no_colour = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) == 1 && (no_colour == NULL || no_colour[0] == '\0') &&
	       terminal != NULL && strcmp(terminal, "dumb") != 0;
}
