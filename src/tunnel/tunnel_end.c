#include "tunnel/tunnel_end.h"

static const struct tunnel_end ends[] = {
	[RELAY_CLIENT_ENDED] = {"the client closed", STATS_CLIENT_CLOSED},
	[RELAY_SERVER_ENDED] = {"the server closed", STATS_SERVER_CLOSED},
	[RELAY_CLIENT_RESET] = {"the client reset the connection", STATS_CLIENT_RESET,
				.resets_server = true},
	[RELAY_SERVER_RESET] = {"the server reset the connection", STATS_SERVER_RESET,
				.resets_client = true},
	[RELAY_CLIENT_FAILED] = {"the client's connection failed", STATS_CLIENT_FAILED,
				 .is_trouble = true, .resets_server = true},
	[RELAY_SERVER_FAILED] = {"the server's connection failed", STATS_SERVER_FAILED,
				 .is_trouble = true, .resets_client = true},
	[RELAY_REFUSED] = {"the client was refused", STATS_REFUSED, .is_trouble = true},
	[RELAY_IDLE] = {"nothing moved for the time that TIMEOUTidle gives", STATS_IDLE,
			.resets_server = true, .resets_client = true},
	[RELAY_DRAINED] = {"cachetunnel stops, and no reply was outstanding", STATS_STOPPED},
	[RELAY_LEFT] = {"the server is the primary no longer, and no reply was outstanding",
			STATS_MOVED},
	[RELAY_CUT] = {"the server is the primary no longer, and owed a reply for the time that "
		       "TIMEOUTmove gives",
		       STATS_MOVED, .resets_client = true},
	[RELAY_NO_MEMORY] = {"out of memory", STATS_NO_MEMORY, .is_trouble = true},
};

const struct tunnel_end *
tunnel_end_of(enum relay_end how)
{
	return &ends[how];
}
