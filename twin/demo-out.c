/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "demo.h"

/* Only these are touched, and the log stays until it is written anew. */
static const char *const ours[] = {"batches", "results", "rejected", "stac", "pictures", "inbox", "tmp",
	"report.json", "downlink.pub", "processes.log"};

int demo_out_prepare(struct demo *d, const char *wanted)
{
	char path[PATH_MAX];
	int r;

	d->out_made = rmdir(wanted) == 0 || errno == ENOENT;
	r = dir_make(wanted, 0755);
	if (r == 0 && !realpath(wanted, d->out))
		r = -errno;
	/* Another's folder is left alone: ours has the log that each demonstration leaves. */
	if (r == 0 && !d->out_made)
		r = path_format(path, sizeof(path), "%s/processes.log", d->out);
	if (r == 0 && !d->out_made && access(path, F_OK) < 0)
		r = -ENOTEMPTY;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(ours); i++) {
		r = path_format(path, sizeof(path), "%s/%s", d->out, ours[i]);
		if (r == 0 && strcmp(ours[i], "processes.log") != 0 && unlink(path) < 0 && errno != ENOENT)
			r = errno == EISDIR || errno == EPERM ? dir_remove(path) : -errno;
	}
	return r;
}

/* ---- nftw has no argument for its callback ---- */

static struct {
	uid_t uid;
	gid_t gid;
} owner;

static int hand_over(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return lchown(path, owner.uid, owner.gid);
}

static bool read_id(const char *name, unsigned *ret)
{
	const char *text = getenv(name);
	char *end;
	unsigned long v = text ? strtoul(text, &end, 10) : 0;

	if (!text || !*text || *end || v == 0 || v >= UINT32_MAX)
		return false;
	*ret = (unsigned)v;
	return true;
}

void demo_out_hand_over(const struct demo *d)
{
	char path[PATH_MAX];
	int r = 0;

	if (!read_id("SUDO_UID", &owner.uid) || !read_id("SUDO_GID", &owner.gid))
		return;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (path_format(path, sizeof(path), "%s/%s", d->out, ours[i]) == 0 && access(path, F_OK) == 0)
			r |= nftw(path, hand_over, 16, FTW_PHYS);
	if (d->out_made)
		r |= lchown(d->out, owner.uid, owner.gid);
	if (r != 0)
		fprintf(stderr, "perigee-twin demo: %s stays root's in part\n", d->out);
}
