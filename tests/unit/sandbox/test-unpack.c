/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that want out, layers on layers, and paths with links in a hostile root. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/file.h"
#include "rootfs.h"
#include "unpack.h"

struct entry {
	const char *path;
	unsigned type;       /* AE_IF…; 0: a hard link */
	const char *content; /* of a file, or the target of a link */
	unsigned mode;
};

static char dir[] = "/tmp/perigee-unpack-XXXXXX";
static char root_path[64], outside[64];
static int root = -1;
static char reason[512];

static int new_root(void **state)
{
	if (root >= 0)
		close(TAKE_FD(root));
	if (dir_remove(root_path) < 0 || mkdir(root_path, 0755) < 0)
		return -1;
	root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -1 : file_replace(outside, "safe", 4, 0644);
}

static int set_up(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(root_path, sizeof(root_path), "%s/root", dir);
	snprintf(outside, sizeof(outside), "%s/outside", dir);
	return 0;
}

static int tear_down(void **state)
{
	close(TAKE_FD(root));
	return dir_remove(dir);
}

static int make_tar(const struct entry *e, size_t n, bool gzip)
{
	struct archive *a = archive_write_new();
	int fd = memfd_create("layer", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	if (gzip)
		assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *x = archive_entry_new();
		size_t len = e[i].type == AE_IFREG && e[i].content ? strlen(e[i].content) : 0;

		archive_entry_set_pathname(x, e[i].path);
		archive_entry_set_filetype(x, e[i].type ? e[i].type : AE_IFREG);
		archive_entry_set_perm(x, (mode_t)(e[i].mode ? e[i].mode : 0644));
		archive_entry_set_size(x, (la_int64_t)len);
		if (e[i].type == AE_IFLNK)
			archive_entry_set_symlink(x, e[i].content);
		if (!e[i].type)
			archive_entry_set_hardlink(x, e[i].content);
		if (e[i].type == AE_IFCHR)
			archive_entry_set_rdev(x, 0x103);
		assert_int_equal(archive_write_header(a, x), ARCHIVE_OK);
		if (len)
			assert_int_equal(archive_write_data(a, e[i].content, len), len);
		archive_entry_free(x);
	}
	archive_write_free(a);
	return fd;
}

static int unpack(const struct entry *e, size_t n)
{
	struct unpack_budget budget = {.entries = 100, .bytes = 1000};
	CLEAN_FD int fd = make_tar(e, n, n % 2);

	reason[0] = '\0';
	return unpack_layer(fd, root, &budget, reason, sizeof(reason));
}

#define UNPACK(...)                                                                                          \
	({                                                                                                   \
		const struct entry list_[] = {__VA_ARGS__};                                                  \
		unpack(list_, ARRAY_LEN(list_));                                                             \
	})

static void assert_file(const char *path, const char *content, unsigned mode)
{
	CLEAN_FREE char *data = NULL;
	char full[256];
	struct stat st;
	size_t len;

	snprintf(full, sizeof(full), "%s/%s", root_path, path);
	assert_int_equal(lstat(full, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | mode);
	assert_int_equal(file_read(full, 4096, &data, &len), 0);
	assert_string_equal(data, content);
}

static void assert_absent(const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void assert_safe(void)
{
	CLEAN_FREE char *data = NULL;
	size_t len;

	assert_int_equal(file_read(outside, 64, &data, &len), 0);
	assert_string_equal(data, "safe");
}

static void test_files(void **state)
{
	assert_int_equal(
		UNPACK({"./", AE_IFDIR, NULL, 0700}, {"./bin/", AE_IFDIR, NULL, 0},
			{"bin/run", AE_IFREG, "program", 06755}, {"a//b/./c", AE_IFREG, "deep", 0600},
			{"link", AE_IFLNK, "../../outside", 0}, {"hard", 0, "bin/run", 0}),
		0);
	assert_file("bin/run", "program", 0755);
	assert_file("a/b/c", "deep", 0644);
	assert_file("hard", "program", 0755);
	/* Replaced, and not written through. */
	assert_int_equal(UNPACK({"link", AE_IFREG, "mine", 0}, {"hard", AE_IFREG, "other", 0}), 0);
	assert_file("link", "mine", 0644);
	assert_file("bin/run", "program", 0755);
	assert_safe();
}

static void test_refused(void **state)
{
	static const struct {
		struct entry e;
		const char *reason;
	} bad[] = {
		{{"/etc/passwd", AE_IFREG, "x", 0}, "absolute"},
		{{"../outside", AE_IFREG, "x", 0}, ".."},
		{{"a/../../outside", AE_IFREG, "x", 0}, ".."},
		{{"dev/null", AE_IFCHR, NULL, 0}, "device"},
		{{"pipe", AE_IFIFO, NULL, 0}, "device"},
		{{"hard", 0, "../outside", 0}, "malformed"},
		{{"hard", 0, "absent", 0}, ""},
		{{".wh...", AE_IFREG, "", 0}, "whiteout"},
		{{".wh.", AE_IFREG, "", 0}, "whiteout"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(unpack(&bad[i].e, 1) < 0);
		assert_non_null(strstr(reason, bad[i].reason));
		assert_safe();
	}
}

/* Through a link that the image itself has made. */
static void test_through_links(void **state)
{
	assert_true(UNPACK({"up", AE_IFLNK, "..", 0}, {"up/outside", AE_IFREG, "x", 0}) < 0);
	assert_safe();
	assert_int_equal(UNPACK({"up", AE_IFLNK, "..", 0}), 0);
	assert_true(UNPACK({"up/outside", AE_IFREG, "x", 0}) < 0);
	assert_true(UNPACK({"up/.wh.outside", AE_IFREG, "", 0}) < 0);
	assert_true(UNPACK({"hard", 0, "up/outside", 0}) < 0);
	assert_true(UNPACK({"up/.wh..wh..opq", AE_IFREG, "", 0}) < 0);
	assert_safe();
	/* A folder in place of the link is a folder. */
	assert_int_equal(UNPACK({"up", AE_IFDIR, NULL, 0}, {"up/outside", AE_IFREG, "x", 0}), 0);
	assert_file("up/outside", "x", 0644);
	assert_safe();
}

static void test_whiteouts(void **state)
{
	assert_int_equal(UNPACK({"a", AE_IFREG, "1", 0}, {"d/x", AE_IFREG, "1", 0},
				 {"d/y/z", AE_IFREG, "1", 0}, {"keep", AE_IFREG, "1", 0}),
		0);
	assert_int_equal(UNPACK({".wh.a", AE_IFREG, "", 0}, {"d/.wh..wh..opq", AE_IFREG, "", 0},
				 {"d/new", AE_IFREG, "2", 0}, {".wh.absent", AE_IFREG, "", 0},
				 {"no/.wh.such", AE_IFREG, "", 0}),
		0);
	assert_absent("a");
	assert_absent("d/x");
	assert_absent("d/y");
	assert_file("d/new", "2", 0644);
	assert_file("keep", "1", 0644);
	/* A whiteout is about the layers below, wherever it stands in its own. */
	assert_int_equal(UNPACK({"d/new", AE_IFREG, "3", 0}, {"d/.wh..wh..opq", AE_IFREG, "", 0}), 0);
	assert_file("d/new", "3", 0644);
	assert_absent("d/.wh..wh..opq");
}

static void test_budget(void **state)
{
	static char big[1002];
	struct entry many[101];

	memset(big, 'b', sizeof(big) - 1);
	assert_int_equal(UNPACK({"big", AE_IFREG, big, 0}), ERR_IMAGE);
	assert_non_null(strstr(reason, "more bytes"));
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct entry){"same", AE_IFREG, "x", 0};
	assert_int_equal(unpack(many, ARRAY_LEN(many)), ERR_IMAGE);
	assert_non_null(strstr(reason, "more files"));
}

/* Whatever the bytes, it ends, and nothing outside is touched. */
static void test_cut_and_flipped(void **state)
{
	const struct entry e[] = {{"d", AE_IFDIR, NULL, 0}, {"d/file", AE_IFREG, "content", 0},
		{"link", AE_IFLNK, "../outside", 0}, {"hard", 0, "d/file", 0}};
	CLEAN_FD int whole = make_tar(e, ARRAY_LEN(e), false);
	CLEAN_FREE char *data = NULL;
	size_t len;

	assert_int_equal(file_read_fd(whole, 1 << 20, &data, &len), 0);
	for (size_t i = 0; i < len && i < 4096; i += 3) {
		struct unpack_budget budget = {.entries = 100, .bytes = 100000};
		CLEAN_FD int fd = memfd_create("layer", MFD_CLOEXEC);

		data[i] ^= (char)(1 << i % 8);
		assert_int_equal(write_all(fd, data, len), 0);
		(void)!unpack_layer(fd, root, &budget, reason, sizeof(reason));
		data[i] ^= (char)(1 << i % 8);
		assert_int_equal(ftruncate(fd, (off_t)i), 0);
		(void)!unpack_layer(fd, root, &budget, reason, sizeof(reason));
		assert_safe();
	}
}

static int open_at(const char *path)
{
	int fd, err = rootfs_open(root, path, &fd);

	if (err == 0)
		close(fd);
	return err;
}

static void test_open(void **state)
{
	assert_int_equal(
		UNPACK({"usr/bin/run", AE_IFREG, "x", 0755}, {"bin", AE_IFLNK, "usr/bin", 0},
			{"abs", AE_IFLNK, "/bin/run", 0}, {"up", AE_IFLNK, "../../usr/../bin/run", 0},
			{"out", AE_IFLNK, "../outside", 0}, {"loop", AE_IFLNK, "loop", 0},
			{"usr/rel", AE_IFLNK, "./bin/../bin/run", 0}),
		0);
	assert_int_equal(open_at("/usr/bin/run"), 0);
	assert_int_equal(open_at("bin/run"), 0);
	assert_int_equal(open_at("/abs"), 0);
	assert_int_equal(open_at("/up"), 0);
	assert_int_equal(open_at("/usr/rel"), 0);
	assert_int_equal(open_at("/out"), -ENOENT); /* the root's own /outside, which is not there */
	assert_int_equal(open_at("/loop"), -ELOOP);
	assert_int_equal(open_at("/bin/run/x"), -ENOTDIR);
	assert_int_equal(open_at("/absent"), -ENOENT);
	assert_int_equal(open_at("/../outside"), ERR_FORMAT);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, new_root)
	const struct CMUnitTest tests[] = {
		TEST(test_files),
		TEST(test_refused),
		TEST(test_through_links),
		TEST(test_whiteouts),
		TEST(test_budget),
		TEST(test_cut_and_flipped),
		TEST(test_open),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
