/* SPDX-License-Identifier: Apache-2.0 */
/* perigee-twin frame: one frame as a camera would deliver it, for a payload developer to try a stage on. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "commands-twin.h"
#include "core/file.h"
#include "image.h"
#include "picture.h"
#include "scene.h"

struct frame_options {
	const char *from, *out, *picture;
	struct scene_spec spec;
};

static void help(FILE *to)
{
	fputs("usage: perigee-twin frame [options] OUT.pam\n"
	      "\n"
	      "Writes one frame (PAM) as a camera delivers it, to try a workflow on: perigee run W.yaml "
	      "--input "
	      "frame=OUT.pam\n"
	      "\n"
	      "  --from FILE    convert this image: PNG, PPM, PAM, NAME_6xHxW_u16le.bsq; else a scene is "
	      "rendered\n"
	      "  --seed N       of the rendered scene (default 1)\n"
	      "  --index N      which one of that seed: clear and overcast, sea, coast and land take turns "
	      "(default 1)\n"
	      "  --rgb          8 bit RGB at 3 m instead of six bands at 10 m\n"
	      "  --size WxH     pixels (default 512x512)\n"
	      "  --picture PNG  and a picture of it\n"
	      "\n"
	      "Exit status: 0, 64 usage, 66 the image cannot be read, 73 a file cannot be written.\n",
		to);
}

static bool read_options(int argc, char **argv, struct frame_options *o, int *ret_status)
{
	static const struct option longs[] = {{"from", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 's'}, {"index", required_argument, NULL, 'i'},
		{"rgb", no_argument, NULL, 'r'}, {"size", required_argument, NULL, 'z'},
		{"picture", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};

	*ret_status = EX_USAGE;
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'f':
			o->from = optarg;
			break;
		case 's':
			o->spec.seed = strtoull(optarg, NULL, 10);
			break;
		case 'i':
			o->spec.index = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			o->spec.rgb = true;
			o->spec.gsd_m = 3;
			break;
		case 'z':
			if (sscanf(optarg, "%ux%u", &o->spec.width, &o->spec.height) != 2)
				return false;
			break;
		case 'p':
			o->picture = optarg;
			break;
		case 'h':
			*ret_status = 0;
			return false;
		default:
			return false;
		}
	}
	if (argc - optind != 1)
		return false;
	o->out = argv[optind];
	return true;
}

static int render(const struct frame_options *o, struct image *ret_image)
{
	struct image im = {.form = scene_form(&o->spec)};

	im.data = malloc(pam_data_bytes(&im.form));
	int r = im.data ? scene_render(&o->spec, im.data, NULL, NULL) : -ENOMEM;
	if (r < 0) {
		free(im.data);
		fprintf(stderr, "perigee-twin frame: expected a size of %dx%d to %dx%d\n", SCENE_SIDE_MIN,
			SCENE_SIDE_MIN, SCENE_SIDE_MAX, SCENE_SIDE_MAX);
		return r;
	}
	*ret_image = im;
	return 0;
}

static int write_frame(const char *path, const struct image *im)
{
	size_t data_len = pam_data_bytes(&im->form);
	CLEAN_FREE char *file = malloc(PAM_HEADER_BYTES_MAX + data_len);
	int head = file ? pam_format(&im->form, file, PAM_HEADER_BYTES_MAX) : -1;

	if (head < 0)
		return -ENOMEM;
	memcpy(file + head, im->data, data_len);
	return file_replace(path, file, (size_t)head + data_len, 0644);
}

int command_frame(int argc, char **argv)
{
	struct frame_options o = {.spec = {.seed = 1,
					  .index = 1,
					  .width = 512,
					  .height = 512,
					  .gsd_m = 10,
					  .exposure = 1,
					  .gain = 1}};
	struct image im = {0};
	char why[IMAGE_REASON_BYTES];
	int status;

	if (!read_options(argc, argv, &o, &status)) {
		help(status == 0 ? stdout : stderr);
		return status;
	}
	if (!o.from && render(&o, &im) < 0)
		return EX_USAGE;
	if (o.from && image_load(o.from, &im, why) < 0) {
		fprintf(stderr, "perigee-twin frame: %s: %s\n", o.from, why);
		return EX_NOINPUT;
	}
	int r = write_frame(o.out, &im);
	if (r < 0)
		fprintf(stderr, "perigee-twin frame: %s: %s\n", o.out, err_text(r));
	if (r == 0 && o.picture) {
		r = picture_write(o.picture, &im.form, im.data, NULL, NULL, 0, NULL);
		if (r < 0)
			fprintf(stderr, "perigee-twin frame: %s: %s\n", o.picture, err_text(r));
	}
	if (r == 0)
		printf("%s: %u x %u, %s\n", o.out, im.form.width, im.form.height, im.form.tupltype);
	image_finish(&im);
	return r == 0 ? 0 : EX_CANTCREAT;
}
