/* SPDX-License-Identifier: Apache-2.0 */
#include "downlink_job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "core/file.h"

void job_destroy(struct job *j)
{
	if (!j)
		return;
	minisign_secret_wipe(&j->secret);
	cJSON_Delete(j->manifest);
	free(j->products);
	free(j->ids);
	free(j->dir);
	free(j);
}

int job_path(const char *dir, const char *name, char *ret_path, size_t cap)
{
	return path_format(ret_path, cap, "%s/%s", dir, name);
}

void job_file_names(struct job *j)
{
	snprintf(j->file[0].name, sizeof(j->file[0].name), "%s.tar", j->name);
	snprintf(j->file[1].name, sizeof(j->file[1].name), "%s.tar.minisig", j->name);
}

static int open_blob(void *user, const struct digest *digest, int *ret_fd)
{
	return artifact_open(user, digest, ret_fd);
}

static int build(struct job *j)
{
	char new_path[PATH_MAX], path[PATH_MAX], signature[MINISIGN_TEXT_BYTES],
		comment[BATCH_NAME_BYTES + 16];
	int r = path_format(new_path, sizeof(new_path), "%s/.new", j->dir);
	if (r >= 0)
		r = job_path(j->dir, j->file[0].name, path, sizeof(path));
	if (r < 0)
		return r;
	CLEAN_FD int fd = open(new_path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	r = batch_write(fd, j->manifest, j->products, j->n, open_blob, j->artifacts, &j->bad);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	snprintf(comment, sizeof(comment), "batch:%s", j->name);
	r = minisign_sign(&j->secret, fd, comment, signature);
	if (r < 0)
		return r;
	if (rename(new_path, path) < 0)
		return -errno;
	r = job_path(j->dir, j->file[1].name, path, sizeof(path));
	/* Makes its folder durable too, and with it the archive's name. */
	return r < 0 ? r : file_replace(path, signature, strlen(signature), 0640);
}

static int look(struct job *j)
{
	for (size_t i = 0; i < BATCH_FILES; i++) {
		char path[PATH_MAX];
		struct batch_file *f = &j->file[i];
		int r = job_path(j->dir, f->name, path, sizeof(path));
		if (r < 0)
			return r;
		CLEAN_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOENT ? ERR_UNKNOWN : -errno;
		r = cfdp_sum_fd(fd, CFDP_CRC32C, &f->sum, &f->digest, &f->bytes);
		if (r < 0)
			return r;
	}
	if (!j->build && memcmp(&j->expected, &j->file[0].digest, sizeof(j->expected)) != 0)
		return ERR_DIGEST;
	return 0;
}

void job_run(struct job *j)
{
	j->bad = j->n;
	job_file_names(j);
	j->status = j->build ? build(j) : 0;
	if (j->status >= 0)
		j->status = look(j);
	minisign_secret_wipe(&j->secret);
}
