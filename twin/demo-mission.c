/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/program.h"
#include "demo.h"
#include "ground.h"

#define FILE_BYTES_MAX (64u << 20)

/* ---- copying the images' folder: nftw has no argument for its callback ---- */

static struct {
	const char *from, *to;
	int err;
} copying;

static int copy_file(const char *from, const char *to)
{
	CLEAN_FREE char *data = NULL;
	size_t len;
	int r = file_read(from, FILE_BYTES_MAX, &data, &len);

	return r == 0 ? file_replace(to, data, len, 0644) : r;
}

static int copy_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	char to[PATH_MAX];

	copying.err = path_format(to, sizeof(to), "%s%s", copying.to, path + strlen(copying.from));
	if (copying.err == 0 && kind == FTW_D)
		copying.err = dir_make(to, 0755);
	else if (copying.err == 0 && kind == FTW_F && S_ISREG(st->st_mode))
		copying.err = copy_file(path, to);
	return copying.err;
}

static int copy_folder(const char *from, const char *to)
{
	copying.from = from;
	copying.to = to;
	copying.err = 0;
	return nftw(from, copy_entry, 16, FTW_PHYS) < 0 ? -errno : copying.err;
}

/* ---- the files ---- */

static int write_text(const struct demo *d, const char *name, const char *fmt, ...) PRINTF(3, 4);
static int write_text(const struct demo *d, const char *name, const char *fmt, ...)
{
	char path[PATH_MAX];
	CLEAN_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	int r = path_format(path, sizeof(path), "%s/%s", d->work, name);
	return r == 0 ? file_replace(path, text, strlen(text), 0644) : r;
}

static int write_policy(const struct demo *d)
{
	return write_text(d, "policy.yaml",
		"perigee: v1\n"
		"policy: twin-demo\n"
		"devices:\n"
		"  cam0:   {class: camera, driver: iio, uri: \"ip:127.0.0.1:%1$d\", device: cam0, timeout: "
		"20s}\n"
		"  cam1:   {class: camera, driver: iio, uri: \"ip:127.0.0.1:%1$d\", device: cam1, timeout: "
		"20s}\n"
		"  temp0:  {class: thermometer, driver: iio, uri: \"ip:127.0.0.1:%1$d\", device: temp0}\n"
		"  power0: {class: power-monitor, driver: iio, uri: \"ip:127.0.0.1:%1$d\", device: power0}\n"
		"grants:\n"
		"  - {payload: harbour-watch, device: cam0, operations: [capture]}\n"
		"  - {payload: harbour-watch, device: cam1, operations: [capture]}\n"
		"  - {payload: perigee, device: temp0, operations: [read]}\n"
		"  - {payload: perigee, device: power0, operations: [read]}\n",
		d->iiod_port);
}

static int write_mission(const struct demo *d)
{
	return write_text(d, "mission.yaml",
		"perigee: v1\n"
		"mission: twin-demo\n"
		"spacecraft: perigee-twin\n"
		"workflows: [ship-count.yaml]\n"
		"images: images\n"
		"policy: policy.yaml\n"
		"state: state\n"
		"run-as: nobody\n"
		"budget: {cpus: 2, memory: 512MiB, tasks: 2}\n"
		"downlink: {to: \"127.0.0.1:%d\", from: \"127.0.0.1:0\", key: downlink.key}\n",
		d->ground_port);
}

int demo_mission_folder(struct demo *d)
{
	char path[PATH_MAX], to[PATH_MAX];

	strcpy(d->work, "/tmp/perigee-demo.XXXXXX");
	if (!mkdtemp(d->work) || chmod(d->work, 0755) < 0) /* the supervisor is another user in it */
		return -errno;
	int r = path_format(path, sizeof(path), "%s/downlink", d->work);
	if (r == 0)
		r = keys_generate(path);
	if (r == 0)
		r = program_find("pipelines/eo", "images", path);
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/images", d->work);
	if (r == 0)
		r = copy_folder(path, to);
	if (r == 0)
		r = program_find("pipelines/eo", "ship-count.yaml", path);
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/ship-count.yaml", d->work);
	return r == 0 ? copy_file(path, to) : r;
}

int demo_mission_files(struct demo *d)
{
	int r = write_policy(d);

	return r == 0 ? write_mission(d) : r;
}
