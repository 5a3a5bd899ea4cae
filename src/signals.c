#include "signals.h"

#include "base/attributes.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static const struct {
	int number;
	const char *name;
} heeded[] = {
	{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},
	{SIGHUP, "SIGHUP"},   {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"},
};

struct signals {
	signals_cb *on_signal;
	void *arg;
	struct event *events[ARRAY_LENGTH(heeded)]; /* owned; NULL: ignored */
};

static void
mask_all(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LENGTH(heeded); i++)
		(void)sigaddset(&set, heeded[i].number);
	(void)pthread_sigmask(how, &set, NULL);
}

void
signals_hold(void)
{
	mask_all(SIG_BLOCK);
}

void
signals_release(void)
{
	mask_all(SIG_UNBLOCK);
}

static void
on_event(evutil_socket_t number, short what ATTR_UNUSED, void *arg)
{
	struct signals *signals = arg;

	signals->on_signal(signals->arg, (int)number);
}

static bool
is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

struct signals *
signals_new(struct event_base *base, signals_cb *on_signal, void *arg)
{
	struct signals *signals = calloc(1, sizeof *signals);

	if (signals == NULL)
		return NULL;
	signals->on_signal = on_signal;
	signals->arg = arg;
	for (size_t i = 0; i < ARRAY_LENGTH(heeded); i++) {
		if (is_ignored(heeded[i].number))
			continue;
		struct event *event = evsignal_new(base, heeded[i].number, on_event, signals);
		signals->events[i] = event;
		if (event == NULL || event_add(event, NULL) != 0) {
			signals_free(signals);
			return NULL;
		}
	}
	return signals;
}

void
signals_free(struct signals *signals)
{
	if (signals == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LENGTH(heeded); i++) {
		if (signals->events[i] != NULL)
			event_free(signals->events[i]);
	}
	free(signals);
}

const char *
signals_name(int number)
{
	for (size_t i = 0; i < ARRAY_LENGTH(heeded); i++) {
		if (heeded[i].number == number)
			return heeded[i].name;
	}
	return "a signal";
}
