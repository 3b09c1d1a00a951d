/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "core/artifact.h"
#include "core/file.h"
#include "helpers.h"

static struct artifacts *store;
static char store_dir[PATH_MAX];

static int setup(void **state)
{
	if (setup_dir(state) < 0)
		return -1;
	if (path_format(store_dir, sizeof(store_dir), "%s/deep/artifacts", (char *)*state) < 0)
		return -1;
	return artifacts_open(store_dir, &store);
}

static int teardown(void **state)
{
	artifacts_close(store);
	return teardown_dir(state);
}

static int count_tmp(void)
{
	char tmp[PATH_MAX + 8];

	snprintf(tmp, sizeof(tmp), "%s/tmp", store_dir);
	return count_entries(tmp);
}

static void digests(void **state)
{
	/* BLAKE2b-256 of nothing and of "abc", as published. */
	const char *nothing = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
	const char *abc = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
	struct digest d, e;
	char text[DIGEST_TEXT_BYTES];

	digest_data("", 0, &d);
	digest_format(&d, text);
	assert_string_equal(text, nothing);
	digest_data("abc", 3, &d);
	digest_format(&d, text);
	assert_string_equal(text, abc);
	assert_int_equal(digest_parse(abc, &e), 0);
	assert_memory_equal(&d, &e, sizeof(d));

	char bad[DIGEST_TEXT_BYTES + 1];
	for (size_t n = 0; n < 64; n++) { /* cut anywhere, and a wrong digit anywhere */
		memcpy(bad, abc, n);
		bad[n] = '\0';
		assert_int_equal(digest_parse(bad, &e), ERR_FORMAT);
		strcpy(bad, abc);
		bad[n] = "gG/:`@ A"[n % 8];
		assert_int_equal(digest_parse(bad, &e), ERR_FORMAT);
	}
	snprintf(bad, sizeof(bad), "%s0", abc);
	assert_int_equal(digest_parse(bad, &e), ERR_FORMAT);
	assert_memory_equal(&d, &e, sizeof(d)); /* untouched on failure */
}

static void digest_of_a_descriptor(void **state)
{
	enum { N = 1000003 }; /* several buffers and a rest */
	CLEAN_FREE char *data = malloc(N);
	char path[PATH_MAX];
	uint64_t bytes, seed = 5;
	struct digest d, e;

	assert_non_null(data);
	for (size_t i = 0; i < N; i++)
		data[i] = (char)rnd(&seed);
	assert_int_equal(path_format(path, sizeof(path), "%s/f", (char *)*state), 0);
	assert_int_equal(file_replace(path, data, N, 0600), 0);
	CLEAN_FD int fd = open(path, O_RDONLY);
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
	assert_int_equal(digest_fd(fd, &d, &bytes), 0);
	assert_int_equal(bytes, N);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
	digest_data(data, N, &e);
	assert_memory_equal(&d, &e, sizeof(d));
	data[N / 2] ^= 1;
	digest_data(data, N, &e);
	assert_memory_not_equal(&d, &e, sizeof(d));
	assert_int_equal(digest_fd(-1, &d, &bytes), -EBADF);
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(digest_fd(pipe_fds[0], &d, &bytes), -ESPIPE);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void keep_and_open(void **state)
{
	char name[ARTIFACT_NAME_BYTES], path[PATH_MAX], text[DIGEST_TEXT_BYTES], expected[PATH_MAX];
	struct digest d;
	struct stat st;
	int fd, fds_before = count_fds();

	umask(0077);
	assert_int_equal(artifact_new(store, 0620, name, &fd), 0);
	umask(0022);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0620);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(count_tmp(), 1);
	assert_int_equal(write_all(fd, "abc", 3), 0);
	close(fd);
	digest_data("abc", 3, &d);
	assert_int_equal(artifact_open(store, &d, &fd), ERR_UNKNOWN);
	assert_int_equal(artifact_keep(store, name, &d), 0);
	assert_int_equal(count_tmp(), 0);

	assert_int_equal(artifact_open(store, &d, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_nlink, 1);
	close(fd);

	digest_format(&d, text);
	snprintf(expected, sizeof(expected), "%s/%.2s/%s", artifacts_dir(store), text, text + 2);
	assert_int_equal(artifact_path(store, &d, path, sizeof(path)), 0);
	assert_string_equal(path, expected);
	assert_int_equal(path[0], '/');
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(artifact_path(store, &d, path, 10), -ENAMETOOLONG);
	assert_int_equal(count_fds(), fds_before);
}

static void the_same_twice(void **state)
{
	char name[ARTIFACT_NAME_BYTES], path[PATH_MAX];
	struct digest d;
	struct stat first, second;
	int fd;

	digest_data("abc", 3, &d);
	assert_int_equal(artifact_path(store, &d, path, sizeof(path)), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
		assert_int_equal(write_all(fd, "abc", 3), 0);
		close(fd);
		assert_int_equal(artifact_keep(store, name, &d), 0);
		assert_int_equal(stat(path, i ? &second : &first), 0);
	}
	assert_true(first.st_ino == second.st_ino); /* the first is kept */
	assert_int_equal(count_tmp(), 0);
}

static void import(void **state)
{
	int fds[2], fd;
	struct digest d, e;
	uint64_t bytes;
	char data[4] = "";

	assert_int_equal(pipe(fds), 0); /* also from a pipe */
	assert_int_equal(write_all(fds[1], "abc", 3), 0);
	close(fds[1]);
	assert_int_equal(artifact_import_fd(store, fds[0], &d, &bytes), 0);
	close(fds[0]);
	digest_data("abc", 3, &e);
	assert_memory_equal(&d, &e, sizeof(d));
	assert_int_equal(bytes, 3);
	assert_int_equal(artifact_open(store, &d, &fd), 0);
	assert_int_equal(read(fd, data, sizeof(data)), 3);
	assert_string_equal(data, "abc");
	close(fd);
	assert_int_equal(artifact_import_fd(store, -1, &d, &bytes), -EBADF);
	CLEAN_FD int dir = open("/", O_RDONLY);
	assert_int_equal(artifact_import_fd(store, dir, &d, &bytes), -EISDIR);
	assert_int_equal(count_tmp(), 0); /* a failure leaves nothing */
}

static void wrong_names(void **state)
{
	static const char *const names[] = {"", ".", "..", "x", "new-", "new-g", "../ab", "new-../x",
		"new-/etc/passwd", "/etc/passwd", "new-0/0",
		"new-000000000000000000000000000000000000000000000000000000000000000000000"};
	struct digest d;
	char victim[PATH_MAX];

	digest_data("abc", 3, &d);
	assert_int_equal(path_format(victim, sizeof(victim), "%s/tmp/x", store_dir), 0);
	assert_int_equal(file_replace(victim, "x", 1, 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(artifact_keep(store, names[i], &d), -EINVAL);
		artifact_drop(store, names[i]);
	}
	assert_int_equal(access(victim, F_OK), 0);
	assert_int_equal(artifact_keep(store, "new-00", &d), -ENOENT);
	artifact_drop(store, "new-00");

	/* A link in a temporary file's place is not followed, a pipe does not hang, a folder is refused. */
	char name[ARTIFACT_NAME_BYTES], path[PATH_MAX];
	int fd;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
		close(fd);
		assert_int_equal(path_format(path, sizeof(path), "%s/tmp/%s", store_dir, name), 0);
		assert_int_equal(unlink(path), 0);
		if (i == 0)
			assert_int_equal(symlink(victim, path), 0);
		else if (i == 1)
			assert_int_equal(mkfifo(path, 0600), 0);
		else
			assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(artifact_keep(store, name, &d), i ? -EINVAL : -ELOOP);
	}
	assert_int_equal(artifact_open(store, &d, &fd), ERR_UNKNOWN);
	struct stat st;
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void drop(void **state)
{
	char name[ARTIFACT_NAME_BYTES];
	int fd;

	assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
	close(fd);
	artifact_drop(store, name);
	assert_int_equal(count_tmp(), 0);
	artifact_drop(store, name);
}

static void opening_empties_tmp_and_keeps_the_rest(void **state)
{
	char name[ARTIFACT_NAME_BYTES], path[PATH_MAX];
	struct digest d;
	uint64_t bytes;
	int fd;

	CLEAN_FD int self = open("/proc/self/status", O_RDONLY);
	assert_int_equal(artifact_import_fd(store, self, &d, &bytes), 0);
	assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
	close(fd);
	assert_int_equal(path_format(path, sizeof(path), "%s/tmp/left/over", store_dir), 0);
	assert_int_equal(dir_make(path, 0700), 0);
	assert_int_equal(count_tmp(), 2);
	artifacts_close(store);
	store = NULL;
	artifacts_close(store); /* NULL is fine */
	assert_int_equal(artifacts_open(store_dir, &store), 0);
	assert_int_equal(count_tmp(), 0);
	assert_int_equal(artifact_open(store, &d, &fd), 0);
	close(fd);
	struct artifacts *none = NULL;
	assert_int_equal(artifacts_open("/proc/none", &none), -ENOENT);
	assert_null(none);
}

/* Several workers keep the same few contents at once: one file each, no failure, nothing left. */
static void *keep_many(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	static char failed[] = "failed";

	for (int i = 0; i < 40; i++) {
		char name[ARTIFACT_NAME_BYTES];
		struct digest d;
		int fd, content = (int)(rnd(&seed) % 5);
		if (artifact_new(store, 0600, name, &fd) < 0)
			return failed;
		int r = write_all(fd, &content, sizeof(content));
		close(fd);
		digest_data(&content, sizeof(content), &d);
		if (r < 0 || artifact_keep(store, name, &d) < 0)
			return failed;
		if (artifact_open(store, &d, &fd) < 0)
			return failed;
		close(fd);
	}
	return NULL;
}

static void from_several_threads(void **state)
{
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_many, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *failed;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(count_tmp(), 0);
}

static int is_first(void *user, const struct digest *d)
{
	return memcmp(d, user, sizeof(*d)) == 0;
}

static struct artifact_swept sweep(const struct digest *wanted, int64_t older_s)
{
	struct artifact_swept swept = {0};
	struct artifact_sweep s = {
		.wanted = is_first, .user = (void *)wanted, .older_than = {older_s * INT64_C(1000000000)}};

	for (unsigned i = 0; i < ARTIFACT_FOLDERS; i++)
		assert_int_equal(artifacts_sweep(store, i, &s, &swept), 0);
	return swept;
}

static void keep_text(const char *text, struct digest *ret)
{
	char name[ARTIFACT_NAME_BYTES];
	int fd;

	digest_data(text, strlen(text), ret);
	assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
	assert_int_equal(artifact_keep(store, name, ret), 0);
}

/* What is old and not wanted goes; what was kept again is young again. */
static void sweeping(void **state)
{
	struct digest wanted, old, again, d;
	int fd;

	clock_set_fake((struct mono_time){0}, (struct utc_time){INT64_C(1000) * 1000000000});
	keep_text("wanted", &wanted);
	keep_text("old", &old);
	keep_text("again", &again);
	clock_set_fake((struct mono_time){0}, (struct utc_time){INT64_C(5000) * 1000000000});
	keep_text("again", &d);
	struct artifact_swept swept = sweep(&wanted, 1000);
	assert_int_equal(swept.kept, 3);
	assert_int_equal(swept.kept_bytes, 14);
	swept = sweep(&wanted, 2000);
	assert_int_equal(swept.removed, 1);
	assert_int_equal(swept.removed_bytes, 3);
	assert_int_equal(swept.kept, 2);
	assert_int_equal(artifact_open(store, &old, &fd), ERR_UNKNOWN);
	assert_int_equal(artifact_open(store, &again, &fd), 0);
	close(fd);
	swept = sweep(&wanted, 6000);
	assert_int_equal(swept.removed, 1);
	assert_int_equal(artifact_open(store, &wanted, &fd), 0);
	close(fd);
	clock_real();
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests),
		cmocka_unit_test_setup_teardown(digest_of_a_descriptor, setup_dir, teardown_dir),
		WITH_STORE(keep_and_open),
		WITH_STORE(the_same_twice),
		WITH_STORE(import),
		WITH_STORE(wrong_names),
		WITH_STORE(drop),
		WITH_STORE(opening_empties_tmp_and_keeps_the_rest),
		WITH_STORE(from_several_threads),
		WITH_STORE(sweeping),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
