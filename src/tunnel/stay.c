#include "tunnel/stay.h"

#include "base/clock.h"
#include "tunnel/endpoints.h"
#include "tunnel/generation.h"
#include "tunnel/mover.h"
#include "tunnel/spread.h"

/* Who takes a connection and breaks it within this time, without a word, serves nobody. */
static const uint64_t early_us = 5 * UINT64_C(1000000);

/* Where the service's servers move: notice it. */
static bool
make_mover(struct stay *stay, const struct stay_request *request,
	   const struct dial_outcome *outcome)
{
	size_t index = outcome->service->service->index;
	struct watch *const *watches = generation_watches(request->generation, index);

	if (watches == NULL)
		return true;
	const struct mover_request mover = {
		.base = request->base,
		.watch = watches[stay->endpoint],
		.address = outcome->address,
		.chosen_us = outcome->chosen_us,
		.timeout_s = request->timeout_move_s,
		.log = request->log,
		.service = request->service,
	};
	stay->mover = mover_new(&mover);
	return stay->mover != NULL;
}

bool
stay_begin(struct stay *stay, const struct stay_request *request,
	   const struct dial_outcome *outcome)
{
	const struct service *service =
		outcome->service->service; /* the client's, or its fallback */

	stay->began_us = clock_now_us();
	stay->endpoint = (size_t)(outcome->endpoint - service->options.connect.items);
	stay->endpoints = generation_endpoints(request->generation, service->index);
	endpoints_join(stay->endpoints, stay->endpoint);
	stay->address = outcome->address;
	stay->spread = generation_spread(request->generation, service->index);
	if (stay->spread != NULL)
		stay->place = spread_open(stay->spread, &stay->address);
	return make_mover(stay, request, outcome);
}

void
stay_done(struct stay *stay)
{
	mover_free(stay->mover);
	spread_close(stay->place);
	if (stay->endpoints != NULL)
		endpoints_leave(stay->endpoints, stay->endpoint);
	*stay = (struct stay){0};
}

bool
stay_listens(const struct stay *stay)
{
	return stay->mover != NULL;
}

void
stay_observe(struct stay *stay, bool is_from_client, const unsigned char *bytes, size_t length)
{
	mover_observe(stay->mover, is_from_client, bytes, length);
}

void
stay_relay(struct stay *stay, struct relay *relay)
{
	if (stay->mover != NULL)
		mover_begin(stay->mover, relay);
}

bool
stay_is_quiet(const struct stay *stay)
{
	return stay->mover == NULL || mover_is_quiet(stay->mover);
}

/* A question that got no answer but the end. SSH knows no reset, so an orderly end counts too. */
static bool
is_dropped(enum relay_end how, uint64_t bytes_to_server)
{
	return how == RELAY_SERVER_RESET || how == RELAY_SERVER_FAILED ||
	       (how == RELAY_SERVER_ENDED && bytes_to_server > 0);
}

static void
note_failure(const struct stay *stay, uint64_t open_us, const struct err *err)
{
	struct err dropped = {{0}};

	(void)err_set(&dropped, "it broke a tunnel after %.1f s without a word%s%s",
		      (double)open_us / 1e6, err->text[0] != '\0' ? ": " : "", err->text);
	(void)err_mark(&dropped, ERR_DISCONNECTED);
	endpoints_note_failure(stay->endpoints, stay->endpoint, &dropped);
	if (stay->spread != NULL)
		spread_note_failure(stay->spread, &stay->address);
}

void
stay_note_end(const struct stay *stay, enum relay_end how, const struct err *err,
	      uint64_t bytes_to_server, uint64_t bytes_to_client)
{
	uint64_t open_us = clock_now_us() - stay->began_us;

	if (stay->endpoints == NULL)
		return;
	if (bytes_to_client > 0 || open_us > early_us)
		spread_note_success(stay->place);
	else if (is_dropped(how, bytes_to_server))
		note_failure(stay, open_us, err);
}
