/* SPDX-License-Identifier: Apache-2.0 */
/* From a layout to a root that is ready to run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "oci.h"
#include "rootfs.h"
#include "unpack.h"

/* What the launcher and the stage contract need in every root; unpacked images bring their own or not. */
static const char *const folders[] = {"in", "out", "tmp", "dev", "proc", "run/perigee"};

static int fail(char *ret_reason, size_t cap, const char *what, int err)
{
	snprintf(ret_reason, cap, "%.300s: %s", what, err_text(err));
	return err;
}

static int make_folders(int root, char *ret_reason, size_t cap)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char path[ROOTFS_PATH_BYTES], name[ROOTFS_PATH_BYTES];
		CLEAN_FD int dir = -1;
		struct stat st;
		int err;

		snprintf(path, sizeof(path), "%s", folders[i]);
		err = rootfs_parent(root, path, true, &dir, name);
		if (err == 0 && mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			err = -errno;
		if (err == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			err = -errno;
		if (err < 0 || !S_ISDIR(st.st_mode)) {
			snprintf(ret_reason, cap, "the image has something at /%s that is not a folder",
				folders[i]);
			return ERR_IMAGE;
		}
	}
	return 0;
}

static int unpack_all(const struct oci_image *o, int root, char *ret_reason, size_t cap)
{
	struct unpack_budget budget = {.entries = UNPACK_ENTRIES_MAX, .bytes = UNPACK_BYTES_MAX};

	for (size_t i = 0; i < oci_layers(o); i++) {
		CLEAN_FD int blob = -1;
		int err = oci_open_layer(o, i, &blob, ret_reason, cap);

		if (err == 0)
			err = unpack_layer(blob, root, &budget, ret_reason, cap);
		if (err < 0)
			return err;
	}
	return make_folders(root, ret_reason, cap);
}

/* STORE/tmp-XXXXXX/rootfs becomes STORE/sha256-…/rootfs when it is whole. Files were made durable one by one.
 */
static int unpack_into_store(
	const struct oci_image *o, const char *store, const char *final, char *ret_reason, size_t cap)
{
	char tmp[PATH_MAX], root_path[PATH_MAX];
	CLEAN_FD int root = -1;
	int err = path_format(tmp, sizeof(tmp), "%s/tmp-XXXXXX", store);

	if (err < 0 || (err = dir_make(store, 0755)) < 0)
		return fail(ret_reason, cap, store, err);
	if (!mkdtemp(tmp))
		return fail(ret_reason, cap, store, -errno);
	err = path_format(root_path, sizeof(root_path), "%s/rootfs", tmp);
	if (err == 0)
		err = mkdir(root_path, 0755) < 0 ? -errno : 0;
	if (err == 0) {
		root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* Whatever the umask: stages run as other users. */
		err = root < 0 || fchmod(root, 0755) < 0 ? -errno : 0;
	}
	if (err < 0) {
		fail(ret_reason, cap, tmp, err);
	} else {
		err = unpack_all(o, root, ret_reason, cap);
		if (err == 0 && (err = dir_sync(root_path)) < 0)
			fail(ret_reason, cap, tmp, err);
	}
	/* Another process may have been first; what it has made is as good. */
	if (err == 0 && rename(tmp, final) == 0) {
		err = dir_sync(store);
		return err < 0 ? fail(ret_reason, cap, store, err) : 0;
	}
	if (err == 0 && errno != EEXIST && errno != ENOTEMPTY)
		err = fail(ret_reason, cap, final, -errno);
	if (dir_remove(tmp) < 0 && err == 0)
		err = fail(ret_reason, cap, tmp, -EIO);
	return err;
}

/* ---- What to run --------------------------------------------------------------------------------------- */

static size_t list_size(const cJSON *list)
{
	return cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
}

static int add_words(char **words, size_t *n, const cJSON *list, char *ret_reason, size_t cap)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item)) {
			snprintf(ret_reason, cap, "the image's config has an argument that is not a string");
			return ERR_IMAGE;
		}
		words[*n] = strdup(item->valuestring);
		if (!words[*n])
			return fail(ret_reason, cap, "config", -ENOMEM);
		++*n;
	}
	return 0;
}

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

static const char *search_path(char *const *env)
{
	for (; *env; env++) {
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* The program as an absolute path, looked for as a shell would when its name has no slash. */
static int find_program(struct sandbox_image *image, char *ret_reason, size_t cap)
{
	const char *name = image->argv[0], *path = search_path(image->env);
	char full[ROOTFS_PATH_BYTES], clean[ROOTFS_PATH_BYTES], *program;
	int err;

	if (strchr(name, '/')) {
		snprintf(full, sizeof(full), "%s%s", name[0] == '/' ? "" : "/", name);
		path = "";
	}
	for (; *path; path += *path == ':') {
		CLEAN_FD int fd = -1;
		size_t len = strcspn(path, ":");

		snprintf(full, sizeof(full), "%.*s/%s", (int)len, path, name);
		if (full[0] == '/' && rootfs_open(image->rootfs_fd, full, &fd) == 0)
			break;
		full[0] = '\0';
		path += len;
	}
	if (!full[0]) {
		snprintf(ret_reason, cap, "%.200s: no such program in the image's PATH", name);
		return ERR_IMAGE;
	}
	err = rootfs_check_program(image->rootfs_fd, full, ret_reason, cap);
	if (err < 0)
		return err;
	err = rootfs_clean(full, clean);
	if (err == 0 && asprintf(&program, "/%s", clean) < 0)
		err = -ENOMEM;
	if (err < 0)
		return fail(ret_reason, cap, name, err);
	free(image->argv[0]);
	image->argv[0] = program;
	return 0;
}

static int read_config(const cJSON *config, struct sandbox_image *image, char *ret_reason, size_t cap)
{
	const cJSON *c = cJSON_GetObjectItemCaseSensitive(config, "config");
	const cJSON *entry = cJSON_GetObjectItemCaseSensitive(c, "Entrypoint");
	const cJSON *cmd = cJSON_GetObjectItemCaseSensitive(c, "Cmd");
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(c, "Env");
	size_t n_argv = list_size(entry) + list_size(cmd), n = 0;
	int err;

	if (n_argv > LAUNCH_WORDS_MAX || list_size(env) > LAUNCH_WORDS_MAX) {
		snprintf(ret_reason, cap, "the image's config has more than %d arguments or variables",
			LAUNCH_WORDS_MAX);
		return ERR_IMAGE;
	}
	image->argv = calloc(n_argv + 1, sizeof(char *));
	image->env = calloc(list_size(env) + 1, sizeof(char *));
	if (!image->argv || !image->env)
		return fail(ret_reason, cap, "config", -ENOMEM);
	err = add_words(image->argv, &n, entry, ret_reason, cap);
	if (err == 0)
		err = add_words(image->argv, &n, cmd, ret_reason, cap);
	n = 0;
	if (err == 0)
		err = add_words(image->env, &n, env, ret_reason, cap);
	if (err < 0)
		return err;
	if (!image->argv[0] || !image->argv[0][0]) {
		snprintf(ret_reason, cap,
			"the image does not say what to run: build it with an entry point (Entrypoint or "
			"Cmd)");
		return ERR_IMAGE;
	}
	return find_program(image, ret_reason, cap);
}

void sandbox_image_finish(struct sandbox_image *image)
{
	free_words(TAKE_PTR(image->argv));
	free_words(TAKE_PTR(image->env));
	if (image->rootfs_fd >= 0)
		close(TAKE_FD(image->rootfs_fd));
}

static int open_rootfs(
	const struct oci_image *o, const char *store, int *ret_fd, char *ret_reason, size_t cap)
{
	char final[PATH_MAX], root[PATH_MAX];
	int err = path_format(final, sizeof(final), "%s/sha256-%s", store, o->digest + 7);

	if (err == 0)
		err = path_format(root, sizeof(root), "%s/rootfs", final);
	if (err < 0)
		return fail(ret_reason, cap, store, err);
	*ret_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 0;
	err = unpack_into_store(o, store, final, ret_reason, cap);
	if (err < 0)
		return err;
	*ret_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? fail(ret_reason, cap, root, -errno) : 0;
}

int image_import(const char *layout_dir, const char *store_dir, struct sandbox_image *ret_image,
	char *ret_reason, size_t cap)
{
	struct sandbox_image image = {.rootfs_fd = -1};
	char reason[IMAGE_REASON_BYTES] = "";
	struct oci_image o;
	int err = oci_open(layout_dir, machine_architecture(), &o, ret_reason, cap);

	if (err < 0)
		return err;
	memcpy(image.digest, o.digest, sizeof(image.digest));
	err = open_rootfs(&o, store_dir, &image.rootfs_fd, reason, sizeof(reason));
	if (err == 0)
		err = read_config(o.config, &image, reason, sizeof(reason));
	oci_close(&o);
	if (err < 0) {
		snprintf(ret_reason, cap, "%.200s: %.300s", layout_dir, reason);
		sandbox_image_finish(&image);
		return err;
	}
	*ret_image = image;
	return 0;
}
