#include "stream/tls_sessions.h"

#include "base/list.h"
#include "stream/tls_peer.h"

#include <stdlib.h>
#include <time.h>

struct kept_session {
	struct list by_age;      /* in tls_sessions.oldest_first */
	struct list by_endpoint; /* in tls_sessions.stacks[endpoint], youngest first */
	SSL_SESSION *session;    /* owned */
	time_t verified_at;
};

struct tls_sessions {
	size_t limit;
	size_t count;
	int timeout_s;
	struct list oldest_first;
	struct list stacks[];
};

struct tls_sessions *
tls_sessions_new(size_t endpoint_count, size_t limit, int timeout_s)
{
	struct tls_sessions *sessions =
		calloc(1, sizeof *sessions + endpoint_count * sizeof sessions->stacks[0]);

	if (sessions == NULL)
		return NULL;
	sessions->limit = limit;
	sessions->timeout_s = timeout_s;
	list_init(&sessions->oldest_first);
	for (size_t i = 0; i < endpoint_count; i++)
		list_init(&sessions->stacks[i]);
	return sessions;
}

/* Takes an entry out; what it held is the caller's. */
static SSL_SESSION *
remove_entry(struct tls_sessions *sessions, struct kept_session *kept)
{
	SSL_SESSION *session = kept->session;

	list_remove(&kept->by_age);
	list_remove(&kept->by_endpoint);
	sessions->count--;
	free(kept);
	return session;
}

static void
drop_oldest(struct tls_sessions *sessions)
{
	struct list *oldest = sessions->oldest_first.next;

	SSL_SESSION_free(remove_entry(sessions, LIST_ITEM(oldest, struct kept_session, by_age)));
}

void
tls_sessions_free(struct tls_sessions *sessions)
{
	if (sessions == NULL)
		return;
	while (!list_is_empty(&sessions->oldest_first))
		drop_oldest(sessions);
	free(sessions);
}

void
tls_sessions_put(struct tls_sessions *sessions, size_t endpoint, SSL_SESSION *session,
		 time_t verified_at)
{
	struct kept_session *kept = sessions->limit > 0 ? malloc(sizeof *kept) : NULL;

	if (kept == NULL) {
		SSL_SESSION_free(session);
		return;
	}
	if (sessions->count >= sessions->limit)
		drop_oldest(sessions);
	kept->session = session;
	kept->verified_at = verified_at;
	list_append(&sessions->oldest_first, &kept->by_age);
	list_prepend(&sessions->stacks[endpoint], &kept->by_endpoint);
	sessions->count++;
}

static bool
is_usable(const struct tls_sessions *sessions, const struct kept_session *kept)
{
	time_t now = time(NULL);
	long ticket_age_s = (long)now - (long)SSL_SESSION_get_time(kept->session);

	return now - kept->verified_at < sessions->timeout_s &&
	       ticket_age_s < SSL_SESSION_get_timeout(kept->session) &&
	       SSL_SESSION_is_resumable(kept->session);
}

SSL_SESSION *
tls_sessions_take(struct tls_sessions *sessions, size_t endpoint, time_t *ret_verified_at)
{
	struct list *stack = &sessions->stacks[endpoint];

	while (!list_is_empty(stack)) {
		struct kept_session *youngest = LIST_ITEM(stack->next, struct kept_session,
							  by_endpoint);
		bool is_last = stack->next->next == stack;

		if (!is_usable(sessions, youngest)) {
			SSL_SESSION_free(remove_entry(sessions, youngest));
			continue;
		}
		*ret_verified_at = youngest->verified_at;
		if (!is_last)
			return remove_entry(sessions, youngest);
		(void)SSL_SESSION_up_ref(youngest->session);
		return youngest->session;
	}
	return NULL;
}

/* Returning 1 means that we took the reference. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls_peer *peer = SSL_get_app_data(ssl);

	if (peer->sessions == NULL)
		return 0;
	tls_sessions_put(peer->sessions, peer->endpoint, session,
			 SSL_session_reused(ssl) ? peer->verified_at : time(NULL));
	return 1;
}

void
tls_sessions_collect(SSL_CTX *context)
{
	(void)SSL_CTX_set_session_cache_mode(context,
					     SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_new_session);
}
