#include "config/option.h"

#include "config/options.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

enum kind { KIND_BOOL, KIND_INT, KIND_TEXT, KIND_TEXTS, KIND_ADDRESSES };

struct parse_case {
	const char *name;
	const char *text;
	enum kind kind;
	size_t offset;
	int number;      /* for bool and int */
	const char *bad; /* NULL: no value is bad */
	const char *error;
};

#define AT(field) offsetof(struct global_options, field)

static const struct parse_case global_cases[] = {
	{"foreground", "QUIET", KIND_INT, AT(foreground), FOREGROUND_QUIET, "maybe",
	 "'maybe' must be yes, quiet or no"},
	{"foreground", "yes", KIND_INT, AT(foreground), FOREGROUND_YES, "", "must be yes"},
	{"foreground", "no", KIND_INT, AT(foreground), FOREGROUND_NO, "1", "must be yes"},
	{"debug", "7", KIND_INT, AT(debug.level), 7, "8", "from 0 to 7"},
	{"debug", "Warning", KIND_INT, AT(debug.level), 4, "loud", "must be emerg"},
	{"debug", "local3.info", KIND_INT, AT(debug.level), 6, "nowhere.info", "facility"},
	{"debug", "local3.info", KIND_INT, AT(debug.facility), LOG_LOCAL3, "daemon.", "emerg"},
	{"output", "/var/log/x y.log", KIND_TEXT, AT(output), 0, "", "empty"},
	{"log", "overwrite", KIND_BOOL, AT(log_overwrite), true, "yes", "append or overwrite"},
	{"log", "append", KIND_BOOL, AT(log_overwrite), false, "", "append or overwrite"},
	{"logFormat", "json", KIND_INT, AT(log_format), LOG_FORMAT_JSON, "xml", "text or json"},
	{"logRepeat", "0", KIND_INT, AT(log_repeat_s), 0, "1m", "whole number"},
	{"syslog", "no", KIND_BOOL, AT(use_syslog), false, "off", "'off' must be yes or no"},
	{"service", "name", KIND_TEXT, AT(syslog_ident), 0, "", "empty"},
	{"pid", "/run/x.pid", KIND_TEXT, AT(pid), 0, NULL, NULL},
	{"setuid", "nobody", KIND_TEXT, AT(setuid), 0, "", "empty"},
	{"setgid", "65534", KIND_TEXT, AT(setgid), 0, "", "empty"},
	{"chroot", "/", KIND_TEXT, AT(chroot), 0, "", "empty"},
	{"sandbox", "require", KIND_INT, AT(sandbox), SANDBOX_REQUIRE, "2", "yes, no or require"},
	{"resolver", "10.0.0.2,[::1]:53", KIND_TEXT, AT(resolver), 0, "dns.example.org",
	 "'dns.example.org' must be addresses of name servers"},
	{"resolver", "::1", KIND_TEXT, AT(resolver), 0, "10.0.0.2:0", "addresses of name"},
	{"resolver", "10.0.0.2:5353", KIND_TEXT, AT(resolver), 0, "10.0.0.2:dns", "addresses"},
	{"resolver", "[fe80::1]", KIND_TEXT, AT(resolver), 0, "[::1", "addresses of name"},
	{"resolver", "10.0.0.1,10.0.0.2", KIND_TEXT, AT(resolver), 0, "10.0.0.1,", "addresses"},
	{"resolver", "10.0.0.1", KIND_TEXT, AT(resolver), 0, "[10.0.0.1]:53", "addresses of name"},
	{"dnsCache", "0", KIND_INT, AT(dns_cache_s), 0, "1m", "whole number"},
	{"include", "/etc/x", KIND_TEXTS, AT(include), 0, "", "empty"},
	{"workers", "64", KIND_INT, AT(workers), 64, "65", "from 0 to 64"},
	{"control", "/run/x.sock", KIND_TEXT, AT(control), 0, "", "empty"},
	{"statusListen", "127.0.0.1:9900", KIND_ADDRESSES, AT(status_listen), 0, "a:0",
	 "between 1 and 65535"},
	{"TIMEOUTdrain", "30", KIND_INT, AT(timeout_drain_s), 30, "-1", "whole number"},
	{"maxClients", "1000000", KIND_INT, AT(max_clients), 1000000, "-1", "from 0 to 1000000"},
};

#undef AT
#define AT(field) offsetof(struct service_options, field)

static const struct parse_case service_cases[] = {
	{"client", "yes", KIND_BOOL, AT(client), true, "ja", "yes or no"},
	{"plain", "yes", KIND_BOOL, AT(plain), true, "1", "yes or no"},
	{"accept", "127.0.0.1:6379", KIND_ADDRESSES, AT(accept), 0, "a:0", "between 1 and 65535"},
	{"connect", "cache.example.com:6379", KIND_ADDRESSES, AT(connect), 0, "a.b", "HOST:PORT"},
	{"failover", "rr", KIND_INT, AT(failover), FAILOVER_RR, "random", "prio, rr or least"},
	{"role", "replica", KIND_INT, AT(role), ROLE_REPLICA, "master", "primary, replica or any"},
	{"dnsWatch", "0", KIND_INT, AT(dns_watch_s), 0, "5s", "whole number"},
	{"fallback", "other", KIND_TEXT, AT(fallback), 0, "", "empty"},
	{"errors", "close", KIND_INT, AT(errors), ERRORS_CLOSE, "no", "resp or close"},
	{"bastion", "u@h", KIND_TEXT, AT(bastion), 0, "", "empty"},
	{"local", "10.0.0.1", KIND_TEXT, AT(local), 0, "", "empty"},
	{"maxClients", "5", KIND_INT, AT(max_clients), 5, "many", "whole number"},
	{"warm", "2", KIND_INT, AT(warm), 2, "1001", "from 0 to 1000"},
	{"sni", "cache.example.com", KIND_TEXT, AT(sni), 0, NULL, NULL},
	{"sni", "", KIND_TEXT, AT(sni), 0, NULL, NULL},
	{"verifyChain", "no", KIND_BOOL, AT(verify_chain), false, "2", "yes or no"},
	{"verifyPeer", "yes", KIND_BOOL, AT(verify_peer), true, "2", "yes or no"},
	{"verify", "4", KIND_INT, AT(verify), 4, "5", "from 0 to 4"},
	{"checkHost", "a.b", KIND_TEXTS, AT(check_host), 0, "", "empty"},
	{"checkIP", "::1", KIND_TEXTS, AT(check_ip), 0, "1.2.3", "IPv4 or IPv6"},
	{"checkIP", "1.2.3.4", KIND_TEXTS, AT(check_ip), 0, "a.b", "IPv4 or IPv6"},
	{"checkEmail", "a@b", KIND_TEXTS, AT(check_email), 0, "", "empty"},
	{"CAfile", "/ca.pem", KIND_TEXT, AT(ca_file), 0, "", "empty"},
	{"CApath", "/ca", KIND_TEXT, AT(ca_path), 0, "", "empty"},
	{"CAstore", "file:/ca", KIND_TEXT, AT(ca_store), 0, "", "empty"},
	{"CRLfile", "/crl.pem", KIND_TEXT, AT(crl_file), 0, "", "empty"},
	{"CRLpath", "/crl", KIND_TEXT, AT(crl_path), 0, "", "empty"},
	{"cert", "/c.pem", KIND_TEXT, AT(cert), 0, "", "empty"},
	{"key", "/k.pem", KIND_TEXT, AT(key), 0, "", "empty"},
	{"sslVersion", "TLSv1.3", KIND_INT, AT(ssl_version), TLS1_3_VERSION, "TLSv2", "all, SSLv3"},
	{"sslVersionMin", "tlsv1.1", KIND_INT, AT(ssl_version_min), TLS1_1_VERSION, "1.2",
	 "TLSv1.2 or TLSv1.3"},
	{"sslVersionMax", "all", KIND_INT, AT(ssl_version_max), TLS_VERSION_ALL, "", "all"},
	{"ciphers", "HIGH:!DH", KIND_TEXT, AT(ciphers), 0, "", "empty"},
	{"ciphersuites", "TLS_AES_128_GCM_SHA256", KIND_TEXT, AT(ciphersuites), 0, "", "empty"},
	{"curves", "X25519", KIND_TEXT, AT(curves), 0, "", "empty"},
	{"securityLevel", "0", KIND_INT, AT(security_level), 0, "6", "from 0 to 5"},
	{"config", "MinProtocol:TLSv1.2", KIND_TEXTS, AT(ssl_config), 0, "", "empty"},
	{"renegotiation", "no", KIND_BOOL, AT(renegotiation), false, "x", "yes or no"},
	{"sessionResume", "no", KIND_BOOL, AT(session_resume), false, "x", "yes or no"},
	{"sessionCacheSize", "10", KIND_INT, AT(session_cache_size), 10, "-1", "whole number"},
	{"sessionCacheTimeout", "60", KIND_INT, AT(session_cache_timeout_s), 60, "1m",
	 "'1m' must be a whole number from 0 to 31536000 s"},
	{"session", "61", KIND_INT, AT(session_cache_timeout_s), 61, "-1", "whole number"},
	{"TIMEOUTconnect", "3", KIND_INT, AT(timeout_connect_s), 3, "31536001", "31536000 s"},
	{"TIMEOUTbusy", "20", KIND_INT, AT(timeout_busy_s), 20, "", "whole number"},
	{"TIMEOUTidle", "70", KIND_INT, AT(timeout_idle_s), 70, "0.5", "whole number"},
	{"TIMEOUTclose", "0", KIND_INT, AT(timeout_close_s), 0, "no", "whole number"},
	{"TIMEOUTdead", "0", KIND_INT, AT(timeout_dead_s), 0, "-1", "whole number"},
	{"TIMEOUThold", "0", KIND_INT, AT(timeout_hold_s), 0, "-1", "whole number"},
	{"TIMEOUTmove", "1", KIND_INT, AT(timeout_move_s), 1, "", "whole number"},
	{"reset", "no", KIND_BOOL, AT(reset), false, "x", "yes or no"},
	{"debug", "debug", KIND_INT, AT(debug.level), 7, "daemon.7", "above the first [section]"},
	{"debug", "0", KIND_INT, AT(debug.level), 0, "-1", "from 0 to 7"},
	{"quiet", "connections,probes", KIND_INT, AT(quiet), QUIET_CONNECTIONS | QUIET_PROBES,
	 "everything", "none, connections"},
	{"logId", "unique", KIND_INT, AT(log_id), LOG_ID_UNIQUE, "uuid", "sequential, unique"},
	{"logId", "process", KIND_INT, AT(log_id), LOG_ID_PROCESS, "", "sequential, unique"},
	{"setuid", "redis", KIND_TEXT, AT(setuid), 0, "", "empty"},
	{"setgid", "redis", KIND_TEXT, AT(setgid), 0, "", "empty"},
	{"socketMode", "0660", KIND_INT, AT(socket_mode), 0660, "8", "three octal digits"},
};

static void
check_value(const struct parse_case *test, const void *target)
{
	const void *value = (const char *)target + test->offset;
	const struct text_list *texts = value;
	const struct address_list *addresses = value;
	char shown[128];

	switch (test->kind) {
	case KIND_BOOL:
		assert_int_equal(*(const bool *)value, test->number);
		break;
	case KIND_INT:
		assert_int_equal(*(const int *)value, test->number);
		break;
	case KIND_TEXT:
		assert_string_equal(*(char *const *)value, test->text);
		break;
	case KIND_TEXTS:
		assert_int_equal(texts->count, 1);
		assert_string_equal(texts->items[0].text, test->text);
		assert_int_equal(texts->items[0].at.line, 9);
		break;
	case KIND_ADDRESSES:
		assert_int_equal(addresses->count, 1);
		assert_string_equal(address_format(&addresses->items[0], shown, sizeof shown),
				    test->text);
		assert_int_equal(addresses->items[0].at.line, 9);
		break;
	}
}

static void
check_cases(const struct option_table *table, const struct parse_case *cases, size_t count,
	    void *target)
{
	const struct location at = {"f", 9};

	for (size_t i = 0; i < count; i++) {
		const struct option_row *row = option_find(table, cases[i].name);
		struct err err = {""};
		assert_non_null(row);
		option_set_defaults(table, target);
		if (!option_set(row, cases[i].text, at, target, &err))
			fail_msg("%s = %s: %s", row->name, cases[i].text, err.text);
		check_value(&cases[i], target);
		if (cases[i].bad != NULL) {
			assert_false(option_set(row, cases[i].bad, at, target, &err));
			if (strstr(err.text, cases[i].error) == NULL)
				fail_msg("%s = %s: %s", row->name, cases[i].bad, err.text);
			check_value(&cases[i], target); /* a bad value changes nothing */
		}
		option_clear_all(table, target);
	}
}

static void
each_global_option_reads_its_value_and_refuses_a_bad_one(void **state ATTR_UNUSED)
{
	struct global_options options = {0};

	check_cases(&global_options_table, global_cases, ARRAY_LENGTH(global_cases), &options);
}

static void
each_service_option_reads_its_value_and_refuses_a_bad_one(void **state ATTR_UNUSED)
{
	struct service_options options = {0};

	check_cases(&service_options_table, service_cases, ARRAY_LENGTH(service_cases), &options);
}

static bool
has_case(const struct parse_case *cases, size_t count, const char *name)
{
	static const char *const with_own_tests[] = {"options", "socket", "allowUser"};

	for (size_t i = 0; i < count; i++) {
		if (strcmp(cases[i].name, name) == 0)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(with_own_tests); i++) {
		if (strcmp(with_own_tests[i], name) == 0)
			return true;
	}
	return false;
}

static void
no_honoured_option_is_without_a_test(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < global_options_table.count; i++) {
		const struct option_row *row = &global_options_table.rows[i];
		if (row->treatment == OPTION_HONOURED &&
		    !has_case(global_cases, ARRAY_LENGTH(global_cases), row->name))
			fail_msg("%s", row->name);
	}
	for (size_t i = 0; i < service_options_table.count; i++) {
		const struct option_row *row = &service_options_table.rows[i];
		if (row->treatment == OPTION_HONOURED &&
		    !has_case(service_cases, ARRAY_LENGTH(service_cases), row->name))
			fail_msg("%s", row->name);
	}
}

static void
rows_are_complete_and_their_names_are_their_own(void **state ATTR_UNUSED)
{
	const struct option_table *tables[] = {&global_options_table, &service_options_table};

	for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
		for (size_t j = 0; j < tables[i]->count; j++) {
			const struct option_row *row = &tables[i]->rows[j];
			assert_ptr_equal(option_find(tables[i], row->name), row);
			assert_non_null(row->help);
			assert_true((row->treatment == OPTION_HONOURED) == (row->type != NULL));
		}
	}
}

static bool
is_default(const struct option_row *row, const char *text)
{
	return row->fallback != NULL && strcmp(row->fallback, text) == 0;
}

static void
check_comparisons(const struct option_table *table, const struct parse_case *cases, size_t count,
		  void *target, void *other)
{
	for (size_t i = 0; i < count; i++) {
		const struct option_row *row = option_find(table, cases[i].name);
		struct err err;
		option_set_defaults(table, target);
		option_set_defaults(table, other);
		assert_true(option_are_all_equal(table, target, other));
		assert_true(
			option_set(row, cases[i].text, (struct location){"f", 1}, target, &err));
		assert_int_equal(option_are_all_equal(table, target, other),
				 is_default(row, cases[i].text));
		assert_true(option_set(row, cases[i].text, (struct location){"g", 2}, other, &err));
		if (!option_are_all_equal(table, target, other))
			fail_msg("%s = %s differs from itself", row->name, cases[i].text);
		option_clear_all(table, target);
		option_clear_all(table, other);
	}
}

static void
values_are_equal_when_they_mean_the_same(void **state ATTR_UNUSED)
{
	static const struct parse_case lists[] = {
		{.name = "options", .text = "NO_TICKET"},
		{.name = "options", .text = "-NO_SSLv3"},
		{.name = "socket", .text = "r:TCP_NODELAY=0"},
	};
	struct global_options global[2] = {0};
	struct service_options service[2] = {0};

	check_comparisons(&global_options_table, global_cases, ARRAY_LENGTH(global_cases),
			  &global[0], &global[1]);
	check_comparisons(&service_options_table, service_cases, ARRAY_LENGTH(service_cases),
			  &service[0], &service[1]);
	check_comparisons(&service_options_table, lists, ARRAY_LENGTH(lists), &service[0],
			  &service[1]);
}

static void
defaults_are_those_of_the_manual(void **state ATTR_UNUSED)
{
	struct global_options global = {0};
	struct service_options service = {0};

	option_set_defaults(&global_options_table, &global);
	option_set_defaults(&service_options_table, &service);
	assert_int_equal(global.foreground, FOREGROUND_NO);
	assert_int_equal(global.debug.level, LOG_NOTICE);
	assert_int_equal(global.debug.facility, -1);
	assert_true(global.use_syslog);
	assert_string_equal(global.syslog_ident, "cachetunnel");
	assert_null(global.pid);
	assert_false(service.client);
	assert_true(service.verify_chain);
	assert_false(service.verify_peer);
	assert_int_equal(service.verify, -1);
	assert_int_equal(service.security_level, -1);
	assert_null(service.sni);
	assert_int_equal(service.ssl_version, TLS_VERSION_UNSET);
	assert_int_equal(service.ssl_version_min, TLS1_2_VERSION);
	assert_int_equal(service.ssl_version_max, TLS_VERSION_UNSET);
	assert_int_equal(service.timeout_connect_s, 10);
	assert_int_equal(service.timeout_busy_s, 10);
	assert_int_equal(service.timeout_idle_s, 0);
	assert_int_equal(service.timeout_close_s, 60);
	assert_int_equal(service.session_cache_timeout_s, 300);
	assert_true(service.reset);
	assert_false(service.debug.is_set);
	option_clear_all(&global_options_table, &global);
	option_clear_all(&service_options_table, &service);
}

static void
names_are_found_in_any_case(void **state ATTR_UNUSED)
{
	assert_non_null(option_find(&service_options_table, "CHECKHOST"));
	assert_null(option_find(&service_options_table, "checkHos"));
	assert_null(option_find(&service_options_table, ""));
}

static void
the_nearest_name_is_suggested(void **state ATTR_UNUSED)
{
	const struct option_table *const tables[] = {&service_options_table, &global_options_table};
	static const struct {
		const char *name;
		const char *expected;
	} cases[] = {
		{"conect", "connect"},
		{"acept", "accept"},
		{"CAfiel", "CAfile"},
		{"verifychan", "verifyChain"},
		{"TIMEOUTidel", "TIMEOUTidle"},
		{"foregroud", "foreground"},
		{"kye", NULL},
		{"zzzzzzzz", NULL},
		{"", NULL},
		{"q", NULL},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const char *found = option_suggest(tables, ARRAY_LENGTH(tables), cases[i].name);
		if (cases[i].expected == NULL)
			assert_null(found);
		else
			assert_string_equal(found, cases[i].expected);
	}
}

static void
a_secret_value_stays_out_of_its_error(void **state ATTR_UNUSED)
{
	const struct option_row row = {
		.name = "secret",
		.flags = OPTION_SECRET,
		.type = &option_type_int,
		.max = 5,
	};
	int value = 0;
	struct err err;

	assert_false(option_set(&row, "hunter2", (struct location){0}, &value, &err));
	assert_null(strstr(err.text, "hunter2"));
	assert_non_null(strstr(err.text, "whole number"));
}

static void
harmless_values_are_whole_and_in_any_case(void **state ATTR_UNUSED)
{
	const struct option_row row = {.harmless = "no|none"};
	const struct option_row bare = {.name = "x"};

	assert_true(option_is_harmless(&row, "NO"));
	assert_true(option_is_harmless(&row, "none"));
	assert_false(option_is_harmless(&row, "non"));
	assert_false(option_is_harmless(&row, ""));
	assert_false(option_is_harmless(&bare, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_global_option_reads_its_value_and_refuses_a_bad_one),
		cmocka_unit_test(each_service_option_reads_its_value_and_refuses_a_bad_one),
		cmocka_unit_test(no_honoured_option_is_without_a_test),
		cmocka_unit_test(rows_are_complete_and_their_names_are_their_own),
		cmocka_unit_test(values_are_equal_when_they_mean_the_same),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(names_are_found_in_any_case),
		cmocka_unit_test(the_nearest_name_is_suggested),
		cmocka_unit_test(a_secret_value_stays_out_of_its_error),
		cmocka_unit_test(harmless_values_are_whole_and_in_any_case),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
