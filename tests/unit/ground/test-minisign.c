/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "core/json.h"
#include "ground.h"
#include "minisign.h"

static char dir[PATH_MAX];

static void at(char ret_path[PATH_MAX], const char *name)
{
	assert_true(path_format(ret_path, PATH_MAX, "%s/%s", dir, name) >= 0);
}

static int put(const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];
	at(path, name);
	assert_int_equal(file_replace(path, data, len, 0644), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Runs the minisign tool in our folder; its exit status. */
static int tool(const char *fmt, ...)
{
	char args[512], line[PATH_MAX + 600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "cd '%s' && minisign %s >/dev/null 2>&1 </dev/null", dir, args);
	return system(line);
}

static bool have_tool(void)
{
	return system("command -v minisign >/dev/null 2>&1") == 0;
}

static void test_round(void **state)
{
	struct minisign_public public, other;
	struct minisign_secret secret, again;
	struct minisign_signature sig;
	char text[MINISIGN_TEXT_BYTES];
	CLEAN_FD int fd = put("m", "message", 7);

	minisign_keys(&public, &secret);
	minisign_secret_format(&secret, text);
	assert_int_equal(minisign_secret_parse(text, strlen(text), &again), 0);
	assert_memory_equal(&secret, &again, sizeof(secret));
	minisign_public_format(&public, text);
	assert_int_equal(minisign_public_parse(text, strlen(text), &other), 0);
	assert_memory_equal(&public, &other, sizeof(public));

	assert_int_equal(minisign_sign(&secret, fd, "batch:SAT-000001", text), 0);
	assert_int_equal(minisign_signature_parse(text, strlen(text), &sig), 0);
	assert_true(sig.hashed);
	assert_string_equal(sig.comment, "batch:SAT-000001");
	assert_int_equal(minisign_verify(&public, fd, &sig), 0);

	CLEAN_FD int wrong = put("w", "messagf", 7);
	assert_int_equal(minisign_verify(&public, wrong, &sig), ERR_SIGNATURE);
	sig.comment[0] = 'x'; /* the comment is signed too */
	assert_int_equal(minisign_verify(&public, fd, &sig), ERR_SIGNATURE);
	minisign_keys(&other, &again);
	assert_int_equal(minisign_verify(&other, fd, &sig), ERR_KEY);
	memcpy(other.id, public.id, sizeof(public.id));
	assert_int_equal(minisign_verify(&other, fd, &sig), ERR_SIGNATURE);
	assert_int_equal(minisign_sign(&secret, fd, "two\nlines", text), ERR_FORMAT);
}

/* Every byte of a signature file changed, and every place to cut it: refused, or still the same signature
 * (a changed untrusted comment). */
static void test_tamper(void **state)
{
	struct minisign_public public;
	struct minisign_secret secret;
	struct minisign_signature sig, was;
	char text[MINISIGN_TEXT_BYTES], bad[MINISIGN_TEXT_BYTES];
	CLEAN_FD int fd = put("m", "message", 7);

	minisign_keys(&public, &secret);
	assert_int_equal(minisign_sign(&secret, fd, "c", text), 0);
	size_t len = strlen(text), comment = strcspn(text, "\n");
	assert_int_equal(minisign_signature_parse(text, len, &was), 0);
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bad, text, len + 1);
			bad[i] = (char)(bad[i] ^ 1 << bit);
			int r = minisign_signature_parse(bad, len, &sig);
			if (r == 0)
				r = minisign_verify(&public, fd, &sig);
			if (r == 0)
				assert_true(i >= strlen("untrusted comment: ") && i < comment);
		}
	}
	for (size_t l = 0; l + 1 < len; l++) { /* the very last newline may be missing */
		CLEAN_FREE char *exact = malloc(l + 1);
		memcpy(exact, text, l);
		assert_int_equal(minisign_signature_parse(exact, l, &sig), ERR_FORMAT);
	}
	memcpy(bad, text, len);
	memcpy(bad + len, "x\n", 3);
	assert_int_equal(minisign_signature_parse(bad, len + 2, &sig), ERR_FORMAT);
	assert_int_equal(minisign_signature_parse("", 0, &sig), ERR_FORMAT);
}

static void test_secret_files(void **state)
{
	char prefix[PATH_MAX], path[PATH_MAX], text[MINISIGN_TEXT_BYTES];
	struct ground_key *key;
	struct stat st;
	struct minisign_public public;

	at(prefix, "own");
	assert_int_equal(keys_generate(prefix), 0);
	assert_int_equal(keys_generate(prefix), -EEXIST);
	at(path, "own.key");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ground_key_load(path, &key), 0);
	at(path, "own.pub");
	assert_int_equal(minisign_public_load(path, &public), 0);
	assert_memory_equal(public.id, ground_key_secret(key)->id, sizeof(public.id));
	ground_key_destroy(key);

	at(path, "own.key");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(ground_key_load(path, &key), ERR_KEY);
	assert_int_equal(chmod(path, 0604), 0);
	assert_int_equal(ground_key_load(path, &key), ERR_KEY);
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(ground_key_load(path, &key), 0);
	ground_key_destroy(key);
	at(path, "absent.key");
	assert_int_equal(ground_key_load(path, &key), -ENOENT);
	assert_int_equal(ground_key_load(dir, &key), ERR_KEY);

	/* A changed byte of the key: its halves do not belong together, or the check fails. */
	struct minisign_secret secret;
	minisign_keys(&public, &secret);
	minisign_secret_format(&secret, text);
	char *line = strchr(text, '\n') + 1;
	for (size_t i = 76; i < 200; i++) { /* inside number, key and check */
		char was = line[i];
		line[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(minisign_secret_parse(text, strlen(text), &secret), ERR_KEY);
		line[i] = was;
	}
	assert_int_equal(minisign_secret_parse(text, strlen(text), &secret), 0);
	secret.key[0] ^= 1; /* with a check that is right */
	minisign_secret_format(&secret, text);
	assert_int_equal(minisign_secret_parse(text, strlen(text), &secret), ERR_KEY);
}

static void test_tool_checks_ours(void **state)
{
	char path[PATH_MAX], text[MINISIGN_TEXT_BYTES];
	struct ground_key *key;
	if (!have_tool())
		skip();
	at(path, "a");
	assert_int_equal(keys_generate(path), 0);
	at(path, "a.key");
	assert_int_equal(ground_key_load(path, &key), 0);
	CLEAN_FD int fd = put("m", "message", 7);
	assert_int_equal(minisign_sign(ground_key_secret(key), fd, "batch:SAT-000001", text), 0);
	ground_key_destroy(key);
	close(put("m.minisig", text, strlen(text)));
	assert_int_equal(tool("-V -p a.pub -m m"), 0);
	/* The tool signs with our secret key too. */
	close(put("n", "other", 5));
	assert_int_equal(tool("-S -s a.key -m n"), 0);
	assert_int_equal(tool("-V -p a.pub -m n"), 0);
	close(put("m", "massage", 7));
	assert_int_not_equal(tool("-V -p a.pub -m m"), 0);
}

static void test_we_check_tools(void **state)
{
	char path[PATH_MAX];
	struct minisign_public public;
	struct minisign_signature sig;
	struct ground_key *key;
	CLEAN_FREE char *text = NULL;
	size_t len;
	if (!have_tool())
		skip();
	assert_int_equal(tool("-G -W -p t.pub -s t.key"), 0);
	at(path, "t.pub");
	assert_int_equal(minisign_public_load(path, &public), 0);
	at(path, "t.key");
	assert_int_equal(ground_key_load(path, &key), 0);
	ground_key_destroy(key);
	CLEAN_FD int fd = put("m", "message", 7);
	for (int legacy = 0; legacy < 2; legacy++) {
		assert_int_equal(tool("-S %s -W -s t.key -m m -t 'from the tool'", legacy ? "-l" : ""), 0);
		at(path, "m.minisig");
		assert_int_equal(file_read(path, MINISIGN_TEXT_BYTES, &text, &len), 0);
		assert_int_equal(minisign_signature_parse(text, len, &sig), 0);
		assert_int_equal(sig.hashed, !legacy);
		assert_string_equal(sig.comment, "from the tool");
		assert_int_equal(minisign_verify(&public, fd, &sig), 0);
		free(TAKE_PTR(text));
	}
}

static void test_reference(void **state)
{
	struct minisign_public public;
	struct minisign_signature sig;
	CLEAN_FREE char *text = NULL;
	size_t len;
	if (!data_path("signatures/minisign.pub"))
		skip();
	assert_int_equal(minisign_public_load(data_path("signatures/minisign.pub"), &public), 0);
	assert_int_equal(
		file_read(data_path("signatures/message.txt.minisig"), MINISIGN_TEXT_BYTES, &text, &len), 0);
	assert_int_equal(minisign_signature_parse(text, len, &sig), 0);
	assert_false(sig.hashed);
	CLEAN_FD int fd = open(data_path("signatures/message.txt"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(minisign_verify(&public, fd, &sig), 0);
	sig.comment[1] ^= 1;
	assert_int_equal(minisign_verify(&public, fd, &sig), ERR_SIGNATURE);
}

/* The primitive under it: libsodium as this machine has it. */
static void test_wycheproof(void **state)
{
	const char *path = data_path("signatures/wycheproof_ed25519_test.json");
	CLEAN_JSON cJSON *v = NULL;
	const cJSON *group, *test;
	unsigned valid = 0, invalid = 0;
	if (!path)
		skip();
	assert_int_equal(json_load(path, 1 << 20, &v), 0);
	cJSON_ArrayForEach(group, cJSON_GetObjectItem(v, "testGroups"))
	{
		uint8_t key[32];
		assert_int_equal(
			from_hex(json_str(cJSON_GetObjectItem(group, "publicKey"), "pk"), key, 32), 32);
		cJSON_ArrayForEach(test, cJSON_GetObjectItem(group, "tests"))
		{
			uint8_t msg[4096], sig[256];
			size_t msg_len = from_hex(json_str(test, "msg"), msg, sizeof(msg));
			size_t sig_len = from_hex(json_str(test, "sig"), sig, sizeof(sig));
			bool want = strcmp(json_str(test, "result"), "valid") == 0;
			bool got = sig_len == 64 && crypto_sign_verify_detached(sig, msg, msg_len, key) == 0;
			assert_int_equal(got, want);
			*(want ? &valid : &invalid) += 1;
		}
	}
	assert_int_equal(valid, 88);
	assert_int_equal(invalid, 63);
}

static int setup(void **state)
{
	folder_make(dir);
	return sodium_init() < 0;
}

static int teardown(void **state)
{
	folder_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tamper, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tool_checks_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_we_check_tools, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reference, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wycheproof, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
