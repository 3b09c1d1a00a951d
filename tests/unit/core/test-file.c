/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/file.h"
#include "helpers.h"

static char *at(void **state, const char *name)
{
	static char paths[4][PATH_MAX];
	static int next;
	char *p = paths[next++ % 4];

	assert_int_equal(path_format(p, PATH_MAX, "%s/%s", (char *)*state, name), 0);
	return p;
}

static void put(const char *path, const char *text)
{
	assert_int_equal(file_replace(path, text, strlen(text), 0644), 0);
}

static void replace_and_read(void **state)
{
	char *path = at(state, "f"), *data;
	size_t len;
	struct stat st;

	umask(0077); /* the mode is the caller's, not the umask's */
	assert_int_equal(file_replace(path, "one", 3, 0640), 0);
	umask(0022);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_read(path, 3, &data, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(data, "one", 4); /* and the zero */
	free(data);

	assert_int_equal(file_replace(path, "", 0, 0600), 0);
	assert_int_equal(file_read(path, 0, &data, &len), 0);
	assert_int_equal(len, 0);
	assert_string_equal(data, "");
	free(data);
	assert_int_equal(count_entries(*state), 1); /* no temporary file is left */
}

static void failed_replace_leaves_nothing(void **state)
{
	assert_int_equal(dir_make(at(state, "d/sub"), 0755), 0);
	assert_int_equal(file_replace(at(state, "d"), "x", 1, 0600), -EISDIR);
	assert_int_equal(file_replace(at(state, "none/f"), "x", 1, 0600), -ENOENT);
	assert_int_equal(count_entries(*state), 1);
}

static void read_is_bounded(void **state)
{
	char *path = at(state, "f"), *data = NULL;
	size_t len = 99;

	put(path, "12345678");
	assert_int_equal(file_read(path, 7, &data, &len), ERR_LIMIT);
	assert_null(data);
	assert_int_equal(len, 99);
	assert_int_equal(file_read(path, SIZE_MAX, &data, &len), -EINVAL);
	assert_int_equal(file_read(path, 8, &data, &len), 0);
	free(data);
	/* The kernel's files say 0 bytes and have more. */
	assert_int_equal(file_read("/proc/self/status", 1 << 20, &data, &len), 0);
	assert_true(len > 100 && strlen(data) == len);
	free(data);
	assert_int_equal(file_read("/proc/self/status", 100, &data, &len), ERR_LIMIT);
}

static void read_of_what_is_no_file(void **state)
{
	char *fifo = at(state, "fifo"), *data;
	size_t len;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(file_read(fifo, 100, &data, &len), -EINVAL); /* and does not hang */
	assert_int_equal(file_read(*state, 100, &data, &len), -EISDIR);
	assert_int_equal(file_read("/dev/zero", 100, &data, &len), -EINVAL);
	assert_int_equal(file_read(at(state, "none"), 100, &data, &len), -ENOENT);
}

static void read_fd_keeps_the_offset(void **state)
{
	char *path = at(state, "f"), *data;
	size_t len;

	put(path, "abcdef");
	CLEAN_FD int fd = open(path, O_RDONLY);
	assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
	assert_int_equal(file_read_fd(fd, 100, &data, &len), 0);
	assert_string_equal(data, "abcdef");
	free(data);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 4);
	assert_int_equal(file_read_fd(-1, 100, &data, &len), -EBADF);
}

/* More than a pipe holds, taken by a slow reader and with signals in between. */
static void on_alarm(int signo)
{
}

static void write_all_writes_all(void **state)
{
	enum { N = 1 << 20 };
	int fds[2], status;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		static char buf[4096];
		size_t total = 0;
		close(fds[1]);
		for (ssize_t n; (n = read(fds[0], buf, sizeof(buf))) > 0; total += (size_t)n)
			if (total % 65536 == 0)
				kill(getppid(), SIGUSR1);
		_exit(total == N ? 0 : 1);
	}
	struct sigaction sa = {.sa_handler = on_alarm}; /* without SA_RESTART */
	sigaction(SIGUSR1, &sa, NULL);
	close(fds[0]);
	CLEAN_FREE char *data = calloc(1, N);
	assert_non_null(data);
	assert_int_equal(write_all(fds[1], data, N), 0);
	close(fds[1]);
	pid_t r;
	while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	assert_int_equal(r, pid);
	assert_int_equal(status, 0);

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_int_equal(write_all(fds[1], data, N), -EAGAIN);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(write_all(-1, data, 1), -EBADF);
	assert_int_equal(write_all(-1, data, 0), 0);
}

static void make_folders(void **state)
{
	assert_int_equal(dir_make(at(state, "a/b//c/"), 0755), 0);
	assert_int_equal(dir_make(at(state, "a/b/c"), 0755), 0);
	assert_int_equal(access(at(state, "a/b/c"), F_OK), 0);
	assert_int_equal(dir_make("/", 0755), 0);
	assert_int_equal(dir_make("", 0755), -ENOENT);
	put(at(state, "file"), "x");
	assert_int_equal(dir_make(at(state, "file"), 0755), -ENOTDIR);
	assert_int_equal(dir_make(at(state, "file/sub"), 0755), -ENOTDIR);
	assert_int_equal(dir_sync(*state), 0);
	assert_int_equal(dir_sync(at(state, "file")), -ENOTDIR);
	assert_int_equal(dir_sync(at(state, "none")), -ENOENT);
}

static void remove_a_tree(void **state)
{
	assert_int_equal(dir_make(at(state, "keep"), 0755), 0);
	put(at(state, "keep/precious"), "x");
	assert_int_equal(dir_make(at(state, "t/a/b"), 0755), 0);
	assert_int_equal(dir_make(at(state, "t/closed/inner"), 0755), 0);
	put(at(state, "t/a/f"), "x");
	put(at(state, "t/closed/inner/f"), "x");
	assert_int_equal(symlink("../keep", at(state, "t/link")), 0);
	assert_int_equal(symlink("nowhere", at(state, "t/dangling")), 0);
	assert_int_equal(mkfifo(at(state, "t/fifo"), 0600), 0);
	assert_int_equal(chmod(at(state, "t/closed/inner"), 0500), 0);
	assert_int_equal(chmod(at(state, "t/closed"), 0), 0);

	assert_int_equal(dir_remove(at(state, "t")), 0);
	assert_int_equal(access(at(state, "t"), F_OK), -1);
	assert_int_equal(access(at(state, "keep/precious"), F_OK), 0);
	assert_int_equal(dir_remove(at(state, "t")), 0); /* missing is fine */

	/* A link or a file by itself. */
	assert_int_equal(symlink("keep", at(state, "link")), 0);
	assert_int_equal(dir_remove(at(state, "link")), 0);
	put(at(state, "file"), "x");
	assert_int_equal(dir_remove(at(state, "file")), 0);
	assert_int_equal(count_entries(*state), 1);
	assert_int_equal(access(at(state, "keep/precious"), F_OK), 0);
}

/* As the unprivileged supervisor: folders whose owner took away the rights. */
static void remove_closed_folders_unprivileged(void **state)
{
	int status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(*state, 0777), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char path[PATH_MAX];
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		if (path_format(path, sizeof(path), "%s/t/a/b", (char *)*state) < 0 ||
			dir_make(path, 0755) < 0)
			_exit(3);
		path[strlen(path) - 2] = '\0';
		if (chmod(path, 0) < 0)
			_exit(4);
		path[strlen(path) - 2] = '\0';
		if (chmod(path, 0500) < 0)
			_exit(5);
		_exit(dir_remove(path) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Deeper than a process may have files open, and than a path may be long. */
static void remove_what_is_very_deep(void **state)
{
	int fds_before = count_fds();
	int fd = open(*state, O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "deep", 0755), 0);
		int next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(dir_remove(at(state, "deep")), 0);
	assert_int_equal(count_entries(*state), 0);
	assert_int_equal(count_fds(), fds_before);
}

/* What is mounted inside survives. */
static void remove_does_not_enter_mounts(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(dir_make(at(state, "t/mnt"), 0755), 0);
	assert_int_equal(dir_make(at(state, "keep"), 0755), 0);
	put(at(state, "keep/precious"), "x");
	put(at(state, "t/f"), "x");
	if (mount(at(state, "keep"), at(state, "t/mnt"), "none", MS_BIND, NULL) < 0)
		skip(); /* no CAP_SYS_ADMIN here */
	int r = dir_remove(at(state, "t"));
	assert_int_equal(umount(at(state, "t/mnt")), 0);
	assert_int_equal(r, -EBUSY);
	assert_int_equal(access(at(state, "keep/precious"), F_OK), 0);
	assert_int_equal(access(at(state, "t/f"), F_OK), -1); /* the rest is gone */
	assert_int_equal(dir_remove(at(state, "t")), 0);
}

static void paths(void **state)
{
	char p[8];

	assert_int_equal(path_format(p, sizeof(p), "%s/%d", "abcd", 12), 0);
	assert_string_equal(p, "abcd/12");
	assert_int_equal(path_format(p, sizeof(p), "%s/%d", "abcd", 123), -ENAMETOOLONG);
	assert_string_equal(p, "");
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, setup_dir, teardown_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(replace_and_read),
		WITH_DIR(failed_replace_leaves_nothing),
		WITH_DIR(read_is_bounded),
		WITH_DIR(read_of_what_is_no_file),
		WITH_DIR(read_fd_keeps_the_offset),
		cmocka_unit_test(write_all_writes_all),
		WITH_DIR(make_folders),
		WITH_DIR(remove_a_tree),
		WITH_DIR(remove_closed_folders_unprivileged),
		WITH_DIR(remove_what_is_very_deep),
		WITH_DIR(remove_does_not_enter_mounts),
		cmocka_unit_test(paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
