#include "control/status_where.h"

#include "control/json.h"
#include "tunnel/stats.h"

static json_t *
list_endpoints(const struct whereabouts *where)
{
	json_t *array = json_array();

	for (size_t i = 0; i < where->endpoint_count; i++) {
		const struct whereabouts_endpoint *endpoint = &where->endpoints[i];
		(void)json_array_append_new(
			array,
			json_pack("{s:o, s:s, s:o, s:o, s:I}", "address",
				  json_text(endpoint->address), "state",
				  endpoint->is_up ? "up" : "down", "since",
				  json_moment(endpoint->since_ms), "reason",
				  endpoint->is_up ? json_null() : json_text(endpoint->reason),
				  "tunnels", (json_int_t)endpoint->open));
	}
	return array;
}

static json_t *
list_addresses(const struct whereabouts *where)
{
	json_t *array = json_array();

	for (size_t i = 0; i < where->address_count; i++)
		(void)json_array_append_new(
			array,
			json_pack("{s:o, s:I}", "address", json_text(where->addresses[i].name),
				  "tunnels", (json_int_t)where->addresses[i].tunnels));
	return array;
}

/* NULL as the text of what is not known, as an address beyond a bastion. */
static json_t *
text_or_null(const char *text)
{
	return text[0] != '\0' ? json_text(text) : json_null();
}

static json_t *
describe_move(const struct health_move *move)
{
	if (move->at.at_us == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "at", json_moment(move->at.wall_ms), "from",
			 text_or_null(move->from), "to", text_or_null(move->to));
}

void
status_where_add(json_t *service, const struct inquiry_service *found, const struct stats *stats)
{
	static const struct inquiry_service nothing;
	const struct inquiry_service *known = found != NULL ? found : &nothing;

	(void)json_object_set_new(service, "endpoints", list_endpoints(&known->where));
	(void)json_object_set_new(service, "addresses", list_addresses(&known->where));
	(void)json_object_set_new(service, "held", json_integer((json_int_t)known->where.held));
	(void)json_object_set_new(service, "warm", json_integer((json_int_t)known->where.warm));
	(void)json_object_set_new(service, "moves",
				  json_integer((json_int_t)stats_read(&stats->moves)));
	(void)json_object_set_new(service, "last_move", describe_move(&known->view.move));
}
