/* SPDX-License-Identifier: Apache-2.0 */
/* Images: built, checked, imported; damaged; and refused for what they are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/file.h"
#include "oci.h"
#include "rootfs.h"

static char dir[] = "/tmp/perigee-image-XXXXXX";
static char layout[64], store[64], program[64];
static char reason[IMAGE_REASON_BYTES];

/* Not durable: there are thousands. */
static void put(const char *path, const void *data, size_t len)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, data, len), 0);
}

/* The smallest thing that counts as a static program: an ELF header without program headers. */
static void make_program(const char *path, unsigned char machine)
{
	unsigned char elf[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

	elf[16] = 2; /* ET_EXEC */
	elf[18] = machine;
	elf[52] = 64;
	elf[54] = 56;
	assert_int_equal(file_replace(path, elf, sizeof(elf), 0755), 0);
}

static unsigned char machine_here(void)
{
	return strcmp(machine_architecture(), "amd64") == 0   ? 62
	       : strcmp(machine_architecture(), "arm64") == 0 ? 183
							      : 243;
}

static int set_up(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(layout, sizeof(layout), "%s/layout", dir);
	snprintf(store, sizeof(store), "%s/store", dir);
	snprintf(program, sizeof(program), "%s/program", dir);
	return 0;
}

static int tear_down(void **state)
{
	return dir_remove(dir);
}

static void build(void)
{
	assert_int_equal(dir_remove(layout), 0);
	assert_int_equal(dir_remove(store), 0);
	make_program(program, machine_here());
	if (image_build("cloud", program, layout, reason, sizeof(reason)) < 0)
		fail_msg("%s", reason);
}

static int import(struct sandbox_image *image)
{
	reason[0] = '\0';
	return image_import(layout, store, image, reason, sizeof(reason));
}

static void test_import(void **state)
{
	static const char *const folder[] = {"in", "out", "tmp", "dev", "proc", "run/perigee"};
	struct sandbox_image image, again;
	struct stat st, first;

	build();
	if (import(&image) < 0)
		fail_msg("%s", reason);
	assert_string_equal(image.argv[0], "/cloud");
	assert_null(image.argv[1]);
	assert_null(image.env[0]);
	assert_int_equal(strncmp(image.digest, "sha256:", 7), 0);
	assert_int_equal(fstatat(image.rootfs_fd, "cloud", &first, 0), 0);
	assert_int_equal(first.st_mode, S_IFREG | 0755);
	for (size_t i = 0; i < ARRAY_LEN(folder); i++) {
		assert_int_equal(fstatat(image.rootfs_fd, folder[i], &st, 0), 0);
		assert_int_equal(st.st_mode, S_IFDIR | 0755);
	}
	/* Not unpacked again. */
	assert_int_equal(import(&again), 0);
	assert_int_equal(fstatat(again.rootfs_fd, "cloud", &st, 0), 0);
	assert_int_equal(st.st_ino, first.st_ino);
	assert_string_equal(again.digest, image.digest);
	sandbox_image_finish(&again);
	sandbox_image_finish(&image);
}

static void test_reproducible(void **state)
{
	struct sandbox_image a, b;

	build();
	assert_int_equal(import(&a), 0);
	build();
	assert_int_equal(import(&b), 0);
	assert_string_equal(a.digest, b.digest);
	sandbox_image_finish(&a);
	sandbox_image_finish(&b);
}

static void test_architectures(void **state)
{
	static const unsigned char machine[] = {62, 183, 243};
	struct sandbox_image image;

	/* One for others only: says which is missing. */
	assert_int_equal(dir_remove(layout), 0);
	assert_int_equal(dir_remove(store), 0);
	for (size_t i = 0; i < ARRAY_LEN(machine); i++) {
		if (machine[i] == machine_here())
			continue;
		make_program(program, machine[i]);
		assert_int_equal(image_build("cloud", program, layout, reason, sizeof(reason)), 0);
	}
	assert_int_equal(import(&image), ERR_IMAGE);
	assert_non_null(strstr(reason, "no image for linux/"));
	/* With ours added, twice, the others stay. */
	make_program(program, machine_here());
	assert_int_equal(image_build("cloud", program, layout, reason, sizeof(reason)), 0);
	assert_int_equal(image_build("cloud", program, layout, reason, sizeof(reason)), 0);
	assert_int_equal(import(&image), 0);
	sandbox_image_finish(&image);
	for (size_t i = 0; i < ARRAY_LEN(machine); i++) {
		static const char *const name[] = {"amd64", "arm64", "riscv64"};
		struct oci_image o;

		assert_int_equal(oci_open(layout, name[i], &o, reason, sizeof(reason)), 0);
		oci_close(&o);
	}
}

static void test_program_refused(void **state)
{
	struct stat st;

	assert_int_equal(dir_remove(layout), 0);
	assert_int_equal(file_replace(program, "#!/bin/sh\n", 10, 0755), 0);
	assert_int_equal(image_build("cloud", program, layout, reason, sizeof(reason)), ERR_IMAGE);
	assert_non_null(strstr(reason, "not a 64-bit ELF"));
	assert_int_equal(image_build("cloud", "/absent", layout, reason, sizeof(reason)), -ENOENT);
	assert_int_equal(image_build("Cloud/..", program, layout, reason, sizeof(reason)), -EINVAL);
	assert_int_equal(image_build("", program, layout, reason, sizeof(reason)), -EINVAL);
	/* This test itself is linked dynamically. */
	if (image_build("test", "/proc/self/exe", layout, reason, sizeof(reason)) == ERR_IMAGE)
		assert_non_null(strstr(reason, "-static"));
	assert_int_equal(stat(layout, &st), -1);
}

/* Calls fn with the path of each file of the layout. */
static void each_file(const char *sub, void (*fn)(const char *path))
{
	char at[128], path[400];
	DIR *d;

	snprintf(at, sizeof(at), "%s%s", layout, sub);
	d = opendir(at);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", at, e->d_name);
		fn(path);
	}
	closedir(d);
}

static void flip_blob(const char *path)
{
	CLEAN_FREE char *data = NULL;
	struct sandbox_image image;
	size_t len;

	assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
	for (size_t i = 0; i < len; i += len / 16 + 1) {
		data[i] ^= 0x10;
		put(path, data, len);
		assert_int_equal(import(&image), ERR_IMAGE);
		assert_non_null(strstr(reason, "SHA-256"));
		assert_non_null(strstr(reason, layout));
		data[i] ^= 0x10;
	}
	put(path, data, len - 1);
	assert_int_equal(import(&image), ERR_IMAGE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(import(&image), ERR_IMAGE);
	put(path, data, len);
}

static void test_damaged_blobs(void **state)
{
	struct sandbox_image image;

	build();
	each_file("/blobs/sha256", flip_blob);
	/* None of that has left anything in the store. */
	assert_int_equal(import(&image), 0);
	sandbox_image_finish(&image);
}

/* index.json carries no digest of itself: any bytes in it are survived, and only what verifies is taken. */
static void flip_index(const char *path)
{
	CLEAN_FREE char *data = NULL;
	struct sandbox_image image;
	char digest[IMAGE_DIGEST_BYTES];
	size_t len;

	assert_int_equal(import(&image), 0);
	memcpy(digest, image.digest, sizeof(digest));
	sandbox_image_finish(&image);
	assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit += 5) {
			data[i] ^= (char)(1 << bit);
			put(path, data, len);
			if (import(&image) == 0) {
				assert_string_equal(image.digest, digest);
				sandbox_image_finish(&image);
			} else {
				assert_true(reason[0]);
			}
			data[i] ^= (char)(1 << bit);
		}
		put(path, data, i);
		assert_int_equal(import(&image), ERR_IMAGE);
	}
	put(path, data, len);
}

static void test_damaged_index(void **state)
{
	build();
	each_file("", flip_index);
}

static void test_no_layout(void **state)
{
	struct sandbox_image image;

	assert_int_equal(image_import("/absent/layout", store, &image, reason, sizeof(reason)), ERR_IMAGE);
	assert_non_null(strstr(reason, "/absent/layout"));
	assert_int_equal(image_import(dir, store, &image, reason, sizeof(reason)), ERR_IMAGE);
	assert_non_null(strstr(reason, "oci-layout"));
}

/* ---- A layout whose config says what it should not ------------------------------------------------------
 */

static cJSON *put_blob(const char *text)
{
	char digest[IMAGE_DIGEST_BYTES], path[200];
	cJSON *d = cJSON_CreateObject();

	oci_digest_data(text, strlen(text), digest);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout, digest + 7);
	put(path, text, strlen(text));
	cJSON_AddStringToObject(d, "mediaType", OCI_TYPE_MANIFEST);
	cJSON_AddStringToObject(d, "digest", digest);
	cJSON_AddNumberToObject(d, "size", (double)strlen(text));
	return d;
}

/* The layout of build(), with another config; that `members` are added to. */
static void change_config(const char *members)
{
	CLEAN_JSON cJSON *manifest = NULL, *index = cJSON_CreateObject(), *old = NULL;
	CLEAN_FREE char *text = NULL, *index_text = NULL;
	char path[200], config[1024];

	snprintf(path, sizeof(path), "%s/index.json", layout);
	assert_int_equal(json_load(path, 1 << 20, &old), 0);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout,
		json_str(cJSON_GetArrayItem(cJSON_GetObjectItem(old, "manifests"), 0), "digest") + 7);
	assert_int_equal(json_load(path, 1 << 20, &manifest), 0);
	snprintf(config, sizeof(config), "{\"os\":\"linux\",\"architecture\":\"%s\",\"config\":{%s}}",
		machine_architecture(), members);
	cJSON_ReplaceItemInObject(manifest, "config", put_blob(config));
	text = cJSON_PrintUnformatted(manifest);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(index, "manifests"), put_blob(text));
	index_text = cJSON_PrintUnformatted(index);
	snprintf(path, sizeof(path), "%s/index.json", layout);
	put(path, index_text, strlen(index_text));
}

static void test_config(void **state)
{
	static const struct {
		const char *members, *reason; /* NULL: fine */
	} config[] = {
		{"\"Entrypoint\":[\"/cloud\",\"-a\"],\"Cmd\":[\"b\"],\"Env\":[\"A=1\"]", NULL},
		{"\"Cmd\":[\"cloud\"],\"Env\":[\"PATH=/usr/bin:/\"]", NULL},
		{"\"Cmd\":[\"cloud\"]", "PATH"},
		{"", "what to run"},
		{"\"Entrypoint\":[]", "what to run"},
		{"\"Entrypoint\":[7]", "not a string"},
		{"\"Entrypoint\":[\"/absent\"]", "no such program"},
		{"\"Entrypoint\":[\"/../cloud\"]", "no such program"},
		{"\"Entrypoint\":[\"/in\"]", "may execute"},
	};

	for (size_t i = 0; i < ARRAY_LEN(config); i++) {
		struct sandbox_image image;

		build();
		change_config(config[i].members);
		if (config[i].reason) {
			assert_int_equal(import(&image), ERR_IMAGE);
			assert_non_null(strstr(reason, config[i].reason));
			continue;
		}
		if (import(&image) < 0)
			fail_msg("%s", reason);
		assert_string_equal(image.argv[0], "/cloud");
		if (i == 0) {
			assert_string_equal(image.argv[1], "-a");
			assert_string_equal(image.argv[2], "b");
			assert_string_equal(image.env[0], "A=1");
		}
		sandbox_image_finish(&image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_reproducible),
		cmocka_unit_test(test_architectures),
		cmocka_unit_test(test_program_refused),
		cmocka_unit_test(test_damaged_blobs),
		cmocka_unit_test(test_damaged_index),
		cmocka_unit_test(test_no_layout),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
