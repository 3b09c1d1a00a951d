/* SPDX-License-Identifier: Apache-2.0 */
/* perigee-twin demo: options, the folders, the order of things. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "commands-twin.h"
#include "core/file.h"
#include "core/json.h"
#include "demo.h"
#include "image.h"

#define SCENES_DEFAULT 8
#define SCENES_MAX 1000

static void help(FILE *to)
{
	fputs("usage: perigee-twin demo [options]\n"
	      "\n"
	      "Flies one pass of the sample payload on this machine: the twin's camera takes images, "
	      "perigeed runs\n"
	      "cloud detection, identification and counting on each, in sandboxes, and sends signed results "
	      "to the\n"
	      "ground, which verifies them. Needs root, for the sandboxes.\n"
	      "\n"
	      "  --scenes DIR  images from a folder instead of rendered ones: PNG, PPM, PAM, "
	      "*_BxHxW_u16le.bsq\n"
	      "  --count N     rendered images (default 8)\n"
	      "  --rgb N       of these, in 8 bit RGB by the second camera (default 2)\n"
	      "  --seed N      of the rendered images (default 1)\n"
	      "  --out DIR     where the results go (default demo-out); what a demonstration left there is "
	      "replaced\n"
	      "  --json        the report alone, on standard output\n"
	      "  --keep        do not remove the mission's folder\n"
	      "\n"
	      "Exit status: 0 every image has a verified result, 1 not, 64 usage, 66 no images, 70 broke "
	      "off, 77 not root.\n",
		to);
}

static int read_number(const char *text, unsigned min, unsigned max, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!*text || *end || v < min || v > max) {
		fprintf(stderr, "perigee-twin demo: expected a number of %u to %u, found \"%s\"\n", min, max,
			text);
		return -EINVAL;
	}
	*ret = (unsigned)v;
	return 0;
}

static void on_warning(void *user, bool error, const char *text)
{
	fprintf(stderr, "%s%s\n", error ? "error: " : "left out: ", text);
}

/* How many images the cameras will take. */
static int count_scenes(struct demo *d)
{
	struct image_files files;
	int r = image_files_scan(d->scenes, on_warning, NULL, &files);

	if (r < 0) {
		fprintf(stderr, "perigee-twin demo: --scenes %s: %s\n", d->scenes, err_text(r));
		return r;
	}
	d->count = (unsigned)files.n;
	image_files_finish(&files);
	return 0;
}

/* Only what a demonstration makes is removed: the folder may be anything. */
static int prepare_out(struct demo *d, const char *wanted)
{
	static const char *const ours[] = {"batches", "results", "rejected", "stac", "pictures", "inbox", "tmp"};
	char path[PATH_MAX];
	bool empty = rmdir(wanted) == 0 || errno == ENOENT;
	int r = dir_make(wanted, 0755);

	if (r == 0 && !realpath(wanted, d->out))
		r = -errno;
	/* Another's folder is left alone: ours has the log that each demonstration leaves. */
	if (r == 0 && !empty)
		r = path_format(path, sizeof(path), "%s/processes.log", d->out);
	if (r == 0 && !empty && access(path, F_OK) < 0)
		r = -ENOTEMPTY;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(ours); i++) {
		r = path_format(path, sizeof(path), "%s/%s", d->out, ours[i]);
		if (r == 0)
			r = dir_remove(path);
	}
	return r;
}

/* The public key stays with the results, so that anybody can check them. */
static int keep_key(const struct demo *d)
{
	char from[PATH_MAX], to[PATH_MAX];
	CLEAN_FREE char *data = NULL;
	size_t len;
	int r = path_format(from, sizeof(from), "%s/downlink.pub", d->work);

	if (r == 0)
		r = path_format(to, sizeof(to), "%s/downlink.pub", d->out);
	if (r == 0)
		r = file_read(from, 4096, &data, &len);
	return r == 0 ? file_replace(to, data, len, 0644) : r;
}

static int read_options(int argc, char **argv, struct demo *d, const char **ret_out)
{
	static const struct option longs[] = {{"scenes", required_argument, NULL, 's'},
		{"count", required_argument, NULL, 'c'}, {"rgb", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 'e'}, {"out", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'}, {"keep", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int r = 0;
	unsigned seed = 1;
	bool rgb_given = false;

	for (int o; r == 0 && (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (o) {
		case 's':
			d->scenes = optarg;
			break;
		case 'c':
			r = read_number(optarg, 1, SCENES_MAX, &d->count);
			break;
		case 'r':
			r = read_number(optarg, 0, SCENES_MAX, &d->rgb);
			rgb_given = true;
			break;
		case 'e':
			r = read_number(optarg, 0, INT32_MAX, &seed);
			break;
		case 'o':
			*ret_out = optarg;
			break;
		case 'j':
			d->json = true;
			break;
		case 'k':
			d->keep = true;
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	d->seed = seed;
	if (!rgb_given)
		d->rgb = d->count / 4;
	if (r == 0 && (optind != argc || d->rgb >= d->count))
		r = -EINVAL;
	return r;
}

static int fly_and_report(struct demo *d)
{
	CLEAN_JSON cJSON *report = NULL;
	int r = demo_mission_folder(d);

	if (r == 0)
		r = keep_key(d);
	if (r < 0) {
		fprintf(stderr, "perigee-twin demo: the mission cannot be prepared: %s\n", err_text(r));
		return EX_SOFTWARE;
	}
	r = demo_fly(d);
	if (r < 0)
		return EX_SOFTWARE;
	r = demo_report(d, &report);
	if (r < 0) {
		fprintf(stderr, "perigee-twin demo: no report: %s\n", err_text(r));
		return EX_SOFTWARE;
	}
	if (d->json) {
		CLEAN_FREE char *text = cJSON_Print(report);
		puts(text);
	} else {
		demo_table(d, report);
	}
	const cJSON *t = cJSON_GetObjectItemCaseSensitive(report, "totals");
	return json_num(t, "images_verified", 0) == d->count && json_num(t, "images", 0) == d->count ? 0 : 1;
}

int command_demo(int argc, char **argv)
{
	struct demo d = {.count = SCENES_DEFAULT};
	const char *out = "demo-out";
	int r = read_options(argc, argv, &d, &out);

	if (r != 0) {
		help(r > 0 ? stdout : stderr);
		return r > 0 ? 0 : EX_USAGE;
	}
	if (geteuid() != 0) {
		fputs("perigee-twin demo: the sandboxes need root to be made: sudo perigee-twin demo …\n",
			stderr);
		return EX_NOPERM;
	}
	char scenes[PATH_MAX];
	if (d.scenes && realpath(d.scenes, scenes))
		d.scenes = scenes; /* the camera runs in another folder */
	if (d.scenes && count_scenes(&d) < 0)
		return EX_NOINPUT;
	r = prepare_out(&d, out);
	if (r < 0) {
		fprintf(stderr, "perigee-twin demo: --out %s: %s\n", out, err_text(r));
		return EX_CANTCREAT;
	}
	int status = fly_and_report(&d);
	if (d.keep)
		fprintf(stderr, "the mission's folder is %s\n", d.work);
	else if (d.work[0] && dir_remove(d.work) < 0)
		fprintf(stderr, "perigee-twin demo: %s cannot be removed\n", d.work);
	return status;
}
