#include "agent_bench.h"
#include "ssh/wire.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Against OpenSSH's own agent. */

static bool
is_installed(const char *program)
{
	char command[64];

	(void)snprintf(command, sizeof command, "command -v %s >/dev/null", program);
	return system(command) == 0;
}

/* OpenSSH's own, with a key of each kind. */
struct real_agent {
	pid_t pid;
	char path[PATH_SIZE];
};

static void
add_key(const struct real_agent *agent, const char *kind)
{
	char command[512];

	(void)snprintf(command, sizeof command,
		       "cd %s && ssh-keygen -q -t %s -N '' -C 'a key, %s' -f %s && "
		       "SSH_AUTH_SOCK=%s ssh-add -q %s",
		       agent_bench_folder(), kind, kind, kind, agent->path, kind);
	assert_int_equal(system(command), 0);
}

/* It stays in the foreground, a child of ours, and prints its address once it listens. */
static int
start_real_agent(void **state)
{
	static struct real_agent agent;
	int ends[2];
	char text[16];

	*state = NULL;
	if (!is_installed("ssh-agent") || !is_installed("ssh-add")) {
		print_message("ssh-agent or ssh-add is not installed: skipped\n");
		return 0;
	}
	agent_bench_path(agent.path, "real");
	assert_int_equal(pipe(ends), 0);
	agent.pid = fork();
	assert_true(agent.pid >= 0);
	if (agent.pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)close(ends[0]);
		(void)execlp("ssh-agent", "ssh-agent", "-D", "-a", agent.path, (char *)NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	assert_true(read(ends[0], text, sizeof text) > 0);
	(void)close(ends[0]);
	add_key(&agent, "ed25519");
	add_key(&agent, "ecdsa");
	add_key(&agent, "rsa");
	*state = &agent;
	return 0;
}

static int
stop_real_agent(void **state)
{
	struct real_agent *agent = *state;
	char command[64];

	if (agent == NULL)
		return 0;
	(void)kill(agent->pid, SIGKILL);
	(void)waitpid(agent->pid, NULL, 0);
	(void)snprintf(command, sizeof command, "rm -f %s/*", agent_bench_folder());
	return system(command) != 0;
}

static struct wire_span
take(struct wire_span *span)
{
	struct wire_span string = {NULL, 0};

	assert_true(wire_read_string(span, &string));
	return string;
}

static EVP_PKEY *
make_key(const char *type, OSSL_PARAM_BLD *builder)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
	assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters), 1);
	OSSL_PARAM_free(parameters);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *
read_key(const struct agent_identity *identity)
{
	struct wire_span blob = {identity->blob, identity->length};
	struct wire_span algorithm = take(&blob);
	struct wire_span part;
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM *e = NULL;
	BIGNUM *n = NULL;
	EVP_PKEY *key;

	if (wire_span_is(&algorithm, "ssh-ed25519")) {
		part = take(&blob);
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, part.bytes, part.length);
	} else if (wire_span_is(&algorithm, "ecdsa-sha2-nistp256")) {
		(void)take(&blob);
		part = take(&blob);
		(void)OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
						      "prime256v1", 0);
		(void)OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, part.bytes,
						       part.length);
		key = make_key("EC", builder);
	} else {
		assert_true(wire_span_is(&algorithm, "ssh-rsa"));
		assert_true(wire_read_mpint(&blob, &e) && wire_read_mpint(&blob, &n));
		(void)OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
		(void)OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n);
		key = make_key("RSA", builder);
	}
	BN_free(e);
	BN_free(n);
	OSSL_PARAM_BLD_free(builder);
	assert_non_null(key);
	return key;
}

/* SSH has two numbers where OpenSSL has them in DER. */
static unsigned char *
ecdsa_to_der(struct wire_span numbers, size_t *ret_length)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	unsigned char *der = NULL;
	BIGNUM *r = NULL;
	BIGNUM *s = NULL;

	assert_true(wire_read_mpint(&numbers, &r) && wire_read_mpint(&numbers, &s));
	assert_int_equal(ECDSA_SIG_set0(pair, r, s), 1);
	int length = i2d_ECDSA_SIG(pair, &der);
	assert_true(length > 0);
	ECDSA_SIG_free(pair);
	*ret_length = (size_t)length;
	return der;
}

static void
assert_signed(const struct agent_bench *bench, const struct agent_identity *identity,
	      const char *data, const char *algorithm, const EVP_MD *digest)
{
	struct wire_span whole = {bench->signature, bench->signature_length};
	struct wire_span name = take(&whole);
	struct wire_span bytes = take(&whole);
	EVP_PKEY *key = read_key(identity);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	size_t length = bytes.length;

	assert_true(wire_span_is(&name, algorithm));
	assert_int_equal(whole.length, 0);
	if (EVP_PKEY_is_a(key, "EC"))
		der = ecdsa_to_der(bytes, &length);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, digest, NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, der != NULL ? der : bytes.bytes, length,
					  (const unsigned char *)data, strlen(data)),
			 1);
	OPENSSL_free(der);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
}

static void
keys_are_listed_and_sign(void **state)
{
	static const char data[] = "to be signed";
	struct real_agent *real = *state;

	if (real == NULL)
		skip();
	struct agent_bench bench = agent_bench_new(real->path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	assert_int_equal(bench.count, 3);
	assert_string_equal(bench.identities[0].comment, "a key, ed25519");
	assert_string_equal(bench.identities[2].comment, "a key, rsa");

	assert_true(agent_bench_sign(&bench, 0, data, 0));
	assert_signed(&bench, &bench.identities[0], data, "ssh-ed25519", NULL);
	assert_true(agent_bench_sign(&bench, 0, data,
				     AGENT_SIGN_RSA_SHA2_256)); /* means nothing here */
	assert_true(agent_bench_sign(&bench, 1, data, 0));
	assert_signed(&bench, &bench.identities[1], data, "ecdsa-sha2-nistp256", EVP_sha256());
	assert_true(agent_bench_sign(&bench, 2, data, AGENT_SIGN_RSA_SHA2_256));
	assert_signed(&bench, &bench.identities[2], data, "rsa-sha2-256", EVP_sha256());
	assert_true(agent_bench_sign(&bench, 2, data, AGENT_SIGN_RSA_SHA2_512));
	assert_signed(&bench, &bench.identities[2], data, "rsa-sha2-512", EVP_sha512());
	agent_bench_done(&bench);
}

static void
a_key_that_was_removed_is_refused(void **state)
{
	struct real_agent *real = *state;
	char command[256];

	if (real == NULL)
		skip();
	struct agent_bench bench = agent_bench_new(real->path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	(void)snprintf(command, sizeof command, "SSH_AUTH_SOCK=%s ssh-add -qD 2>/dev/null",
		       real->path);
	assert_int_equal(system(command), 0);
	assert_false(agent_bench_sign(&bench, 0, "x", 0));
	assert_non_null(strstr(bench.err.text, "refused to sign"));
	assert_non_null(strstr(bench.err.text, real->path));

	assert_true(agent_bench_list(&bench, TIMEOUT_S)); /* an agent without keys is no error */
	assert_int_equal(bench.count, 0);
	assert_false(agent_bench_sign(&bench, 0, "x", 0));
	assert_non_null(strstr(bench.err.text, "no such key"));
	agent_bench_done(&bench);
}

static void
an_agent_that_is_not_there_is_explained(void **state ATTR_UNUSED)
{
	char path[PATH_SIZE];

	agent_bench_path(path, "nobody");
	struct agent_bench bench = agent_bench_new(path);
	assert_false(agent_bench_list(&bench, TIMEOUT_S));
	assert_non_null(strstr(bench.err.text, path));
	assert_non_null(strstr(bench.err.text, "SSH_AUTH_SOCK"));
	agent_bench_done(&bench);

	char long_path[256];
	memset(long_path, 'x', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = '\0';
	bench = agent_bench_new(long_path);
	assert_false(agent_bench_list(&bench, TIMEOUT_S));
	assert_non_null(strstr(bench.err.text, "too long"));
	agent_bench_done(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_are_listed_and_sign, start_real_agent,
						stop_real_agent),
		cmocka_unit_test_setup_teardown(a_key_that_was_removed_is_refused, start_real_agent,
						stop_real_agent),
		cmocka_unit_test(an_agent_that_is_not_there_is_explained),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(TIMEOUT_S * 6); /* a test that hangs ends here */
	return cmocka_run_group_tests_name("agent", tests, agent_bench_make_folder,
					   agent_bench_remove_folder);
}
