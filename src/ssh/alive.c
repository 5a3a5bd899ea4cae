#include "ssh/session_internal.h"

#include "base/clock.h"
#include "config/bastion.h"

enum { KEEPALIVE_S = 2 }; /* the least that libssh2 knows */

bool
ssh_alive_look(struct ssh_session *session)
{
	struct ssh_alive *alive = &session->alive;

	alive->is_silent = alive->received_us < alive->looked_us;
	alive->has_asked = alive->has_asked && alive->is_silent;
	alive->unanswered = alive->has_asked ? alive->unanswered + 1 : 0;
	alive->looked_us = clock_now_us();
	return alive->unanswered == 0 ||
	       alive->unanswered < session->request.bastion->options.alive_count;
}

/* Beside an open that is under way, by SSH's own keepalive. libssh2 keeps every answer to it for
 * ever, so only a silent server is asked; and it sends none within two seconds of the last one. */
static int
ask_beside_open(struct ssh_session *session)
{
	size_t before = buffer_length(&session->out);

	libssh2_keepalive_config(session->ssh, 1, KEEPALIVE_S);
	int error = libssh2_keepalive_send(session->ssh, NULL);
	if (buffer_length(&session->out) > before)
		session->alive.has_asked = true;
	return error == LIBSSH2_ERROR_EAGAIN ? 0 : error;
}

int
ssh_alive_ask(struct ssh_session *session)
{
	if (ssh_open_probe(session)) {
		session->alive.has_asked = true;
		return 0;
	}
	/* libssh2 must look at the clock, to give the open up. */
	ssh_session_go_on_later(session);
	return session->alive.is_silent ? ask_beside_open(session) : 0;
}

void
ssh_alive_forget(struct ssh_session *session)
{
	session->alive.has_asked = false;
	session->alive.looked_us = clock_now_us();
}
