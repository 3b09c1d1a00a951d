/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining a foreach, in a worker: a JSON output becomes the array of all, null where an element was left out;
 * a file output one tar archive (POSIX.1-1988 ustar) with the members "0", "1", … . The worker reads what the
 * elements' ends have written through a connection of its own, so that ten thousand rows are not read in the
 * loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "run-foreach.h"

#define COPY_BYTES (128u << 10)
#define TAR_BLOCK 512

struct join {
	struct expansion *x;
	struct store *store; /* read-only, of this worker */
	const struct wf_output *output;
	FILE *to;
	uint64_t bytes;
	char *buffer; /* COPY_BYTES */
};

static int put(struct join *j, const void *data, size_t len)
{
	j->bytes += len;
	return fwrite(data, 1, len, j->to) == len ? 0 : errno ? -errno : -EIO;
}

static int copy_file(struct join *j, int fd, uint64_t bytes)
{
	while (bytes > 0) {
		ssize_t n = read(fd, j->buffer, bytes < COPY_BYTES ? bytes : COPY_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		int r = put(j, j->buffer, (size_t)n);
		if (r < 0)
			return r;
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* ---- tar ---- */

static void tar_octal(char *at, size_t len, uint64_t value)
{
	at[len - 1] = '\0';
	for (size_t i = len - 1; i-- > 0; value >>= 3)
		at[i] = (char)('0' + (value & 7));
}

static int put_tar_header(struct join *j, int64_t item, uint64_t bytes)
{
	char h[TAR_BLOCK] = {0};
	unsigned sum = 0;

	snprintf(h, 100, "%lld", (long long)item);
	tar_octal(h + 100, 8, 0444);   /* mode */
	tar_octal(h + 108, 8, 0);      /* uid */
	tar_octal(h + 116, 8, 0);      /* gid */
	tar_octal(h + 124, 12, bytes); /* an output is at most 4 GiB: eleven digits hold it */
	tar_octal(h + 136, 12, 0);     /* mtime: the same bytes from the same elements, always */
	memset(h + 148, ' ', 8);       /* the sum is taken with blanks in its place */
	h[156] = '0';                  /* a regular file */
	memcpy(h + 257,
		"ustar\0"
		"00",
		8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	tar_octal(h + 148, 7, sum);
	return put(j, h, sizeof(h));
}

static int put_member(struct join *j, int64_t item, int fd, uint64_t bytes)
{
	static const char zeros[TAR_BLOCK];
	int r = put_tar_header(j, item, bytes);

	if (r == 0)
		r = copy_file(j, fd, bytes);
	if (r == 0 && bytes % TAR_BLOCK)
		r = put(j, zeros, TAR_BLOCK - bytes % TAR_BLOCK);
	return r;
}

/* ---- JSON ---- */

static int put_nulls(struct join *j, int64_t from, int64_t to)
{
	int r = 0;

	for (; r == 0 && from < to; from++)
		r = from == 0 ? put(j, "null", 4) : put(j, ",null", 5);
	return r;
}

/* ---- all elements of one output ---- */

static int put_element(struct join *j, int64_t item, int64_t *next, const char *digest_text)
{
	struct digest digest;
	struct stat st;
	CLEAN_FD int fd = -1;
	int r = digest_parse(digest_text, &digest);

	if (r == 0)
		r = artifact_open(j->x->now.p->o.artifacts, &digest, &fd);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	if (j->output->type != WF_JSON)
		return put_member(j, item, fd, (uint64_t)st.st_size);
	r = put_nulls(j, *next, item);
	if (r == 0 && item > 0)
		r = put(j, ",", 1);
	*next = item + 1;
	return r == 0 ? copy_file(j, fd, (uint64_t)st.st_size) : r;
}

static int put_elements(struct join *j)
{
	struct expansion *x = j->x;
	sqlite3_stmt *q = store_query(j->store,
		/* One that was cancelled while its good end was on the way has outputs, too. */
		"SELECT o.item, o.digest FROM run_item_output o JOIN run_item i USING(run, stage, item)"
		" WHERE o.run = ? AND o.stage = ? AND o.name = ? AND i.state = 3 ORDER BY o.item",
		"itt", x->now.id, x->now.w->stages[x->stage].name, j->output->name);
	int64_t next = 0;
	int rc = SQLITE_ERROR, r = 0;

	while (q && r == 0 && (rc = sqlite3_step(q)) == SQLITE_ROW)
		r = put_element(
			j, sqlite3_column_int64(q, 0), &next, (const char *)sqlite3_column_text(q, 1));
	if (q)
		sqlite3_reset(q);
	if (r == 0 && rc != SQLITE_DONE)
		r = -EIO; /* it may be busy: tried again */
	if (r == 0 && j->output->type == WF_JSON)
		r = put_nulls(j, next, x->n);
	return r;
}

static int write_joined(struct join *j, int fd)
{
	static const char end[2 * TAR_BLOCK];
	bool json = j->output->type == WF_JSON;
	int copy = dup(fd);

	if (copy < 0)
		return -errno;
	j->bytes = 0;
	j->to = fdopen(copy, "w");
	if (!j->to) {
		close(copy);
		return -ENOMEM;
	}
	int r = json ? put(j, "[", 1) : 0;
	if (r == 0)
		r = put_elements(j);
	if (r == 0)
		r = json ? put(j, "]", 1) : put(j, end, sizeof(end));
	if (fclose(j->to) != 0 && r == 0)
		r = errno ? -errno : -EIO;
	return r;
}

static int join_output(struct join *j, struct stage_result *ret_result)
{
	struct artifacts *store = j->x->now.p->o.artifacts;
	char name[ARTIFACT_NAME_BYTES];
	CLEAN_FD int fd = -1;
	size_t len;
	int r = artifact_new(store, 0600, name, &fd);

	if (r < 0)
		return r;
	r = write_joined(j, fd);
	if (r == 0)
		r = digest_fd(fd, &ret_result->digest, &ret_result->bytes);
	/* What is longer can go to the ground and into stages, but is not looked into here. */
	if (r == 0 && j->output->type == WF_JSON && ret_result->bytes <= WF_JSON_BYTES_MAX &&
		lseek(fd, 0, SEEK_SET) == 0)
		r = file_read_fd(fd, WF_JSON_BYTES_MAX, &ret_result->json, &len);
	if (r == 0)
		r = artifact_keep(store, name, &ret_result->digest);
	if (r < 0)
		artifact_drop(store, name);
	return r;
}

void foreach_join(struct expansion *x)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];
	struct join j = {.x = x, .buffer = malloc(COPY_BYTES)};
	const char *path = sqlite3_db_filename(store_db(x->now.p->o.store), "main");

	x->err = j.buffer ? store_open_readonly(path, &j.store) : -ENOMEM;
	for (size_t i = 0; x->err == 0 && i < s->n_outputs; i++) {
		free(x->joined[i].json); /* of a try before */
		x->joined[i] = (struct stage_result){0};
		j.output = &s->outputs[i];
		x->err = join_output(&j, &x->joined[i]);
	}
	if (x->err < 0)
		snprintf(x->reason, sizeof(x->reason), "its outputs cannot be joined: %s", err_text(x->err));
	store_close(j.store);
	free(j.buffer);
}
