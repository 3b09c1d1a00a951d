/* SPDX-License-Identifier: Apache-2.0 */
/* perigee-twin serve: options, the loop, the end. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#include "commands-twin.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/yaml.h"
#include "iiod.h"
#include "scene.h"
#include "serve.h"

static const char help[] =
	"usage: perigee-twin serve [options]\n"
	"\n"
	"Serves the twin's devices over the IIOD protocol, as a payload computer's iiod would: cam0 (six "
	"bands of\n"
	"reflectance x 10000), cam1 (RGB, with --rgb or pictures in --scenes), temp0, power0. Ends on SIGINT "
	"or SIGTERM.\n"
	"\n"
	"  --port N          TCP port; 0: a free one, printed (default 30431)\n"
	"  --bind ADDRESS    numeric address to listen at (default 127.0.0.1)\n"
	"  --seed N          all scenes follow from it (default 1)\n"
	"  --scenes DIR      take these images instead of rendering: PNG, PPM, PAM (three bands: cam1; six: "
	"cam0) and\n"
	"                    NAME_6xHxW_u16le.bsq; NAME.json beside one may say its {\"gsd_m\": metres}\n"
	"  --rgb N           cam1 renders N frames\n"
	"  --count N         frames of each camera; 0: without end (default: each file of --scenes once, "
	"else 0)\n"
	"  --interval TIME   between exposures, such as 500ms or 2s (default 2s); 0s: whenever there is room "
	"in the\n"
	"                    camera's memory; none: only when trigger_exposures is written\n"
	"  --size WxH        of rendered frames, pixels (default 512x512)\n"
	"  --truth DIR       write what is really in each rendered frame: FRAME.json and FRAME_mask.pgm (1 "
	"water, 2 cloud\n"
	"                    shadow, 3 land, 4 cloud)\n"
	"  --time-scale X    the power and heat model runs X times as fast (default 1)\n"
	"  --json            the lines on standard output are JSON objects\n"
	"\n"
	"Look at it with libiio's own tools:\n"
	"  iio_info -u ip:127.0.0.1:30431\n"
	"  iio_attr -u ip:127.0.0.1:30431 -d cam0 frame_id\n"
	"  iio_readdev -u ip:127.0.0.1:30431 -b 262144 -s 262144 cam0 > frame.raw\n"
	"One buffer is one frame: its size must be frame_width x frame_height. The camera delivers the same "
	"frame until\n"
	"its frame_id is written to frame_release; so nothing is lost when a reader crashes.\n";

struct session {
	struct serve *serve;
	uv_signal_t signals[2];
	bool json;
};

static void on_signal(uv_signal_t *h, int number)
{
	struct session *s = h->data;

	struct serve_counts n = serve_counts(s->serve);
	if (s->json)
		printf("{\"event\":\"end\",\"frames_taken\":%llu,\"frames_missed\":%llu,\"frames_delivered\":"
		       "%llu,"
		       "\"frames_released\":%llu,\"frame_bytes\":%llu}\n",
			(unsigned long long)n.frames_taken, (unsigned long long)n.frames_missed,
			(unsigned long long)n.frames_delivered, (unsigned long long)n.frames_released,
			(unsigned long long)n.frame_bytes);
	else
		printf("%llu frames taken, %llu delivered, %llu released, %.1f MiB sent\n",
			(unsigned long long)n.frames_taken, (unsigned long long)n.frames_delivered,
			(unsigned long long)n.frames_released, (double)n.frame_bytes / (1 << 20));
	(void)fflush(stdout);
	serve_stop(s->serve);
	for (size_t i = 0; i < ARRAY_LEN(s->signals); i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
}

static void on_warning(void *user, bool error, const char *text)
{
	if (error)
		log_error("%s", text);
	else
		log_warning("%s", text);
}

static int usage(const char *option, const char *expected, const char *found)
{
	fprintf(stderr, "perigee-twin serve: --%s: expected %s, found \"%s\"\n", option, expected, found);
	return -EINVAL;
}

static int number(const char *option, const char *text, uint64_t max, uint64_t *ret)
{
	char expected[64], *end;

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v > max) {
		(void)snprintf(expected, sizeof(expected), "a number of 0 to %llu", (unsigned long long)max);
		return usage(option, expected, text);
	}
	*ret = v;
	return 0;
}

static int size(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
	unsigned w = 0, h = 0;
	int used = 0;

	if (sscanf(text, "%4ux%4u%n", &w, &h, &used) != 2 || text[used] || w < SCENE_SIDE_MIN ||
		h < SCENE_SIDE_MIN || w > SCENE_SIDE_MAX || h > SCENE_SIDE_MAX)
		return usage("size", "WxH with sides of 32 to 2048 pixels", text);
	*ret_width = w;
	*ret_height = h;
	return 0;
}

static int interval(const char *text, int64_t *ret_ns)
{
	if (!strcmp(text, "none")) {
		*ret_ns = -1;
		return 0;
	}
	if (parse_duration(text, ret_ns) < 0 || *ret_ns < 0)
		return usage("interval", "a duration such as 500ms, 2s or 0s, or none", text);
	return 0;
}

/* 1: asked for help, 0: go on, negative: said what is wrong. */
static int options(int argc, char **argv, struct serve_options *o, bool *ret_json)
{
	enum { BIND = 1, PORT, SEED, SCENES, RGB, COUNT, INTERVAL, SIZE, TRUTH, TIME_SCALE, JSON, HELP };
	static const struct option known[] = {{"bind", required_argument, NULL, BIND},
		{"port", required_argument, NULL, PORT}, {"seed", required_argument, NULL, SEED},
		{"scenes", required_argument, NULL, SCENES}, {"rgb", required_argument, NULL, RGB},
		{"count", required_argument, NULL, COUNT}, {"interval", required_argument, NULL, INTERVAL},
		{"size", required_argument, NULL, SIZE}, {"truth", required_argument, NULL, TRUTH},
		{"time-scale", required_argument, NULL, TIME_SCALE}, {"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, HELP}, {0}};
	uint64_t v = 0;
	char *end;

	for (int opt, err; (opt = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		err = 0;
		switch (opt) {
		case BIND:
			o->bind = optarg;
			break;
		case PORT:
			err = number("port", optarg, 65535, &v);
			o->port = (uint16_t)v;
			break;
		case SEED:
			err = number("seed", optarg, UINT32_MAX, &v);
			o->seed = (uint32_t)v;
			break;
		case SCENES:
			o->scenes = optarg;
			break;
		case RGB:
			err = number("rgb", optarg, 1000000, &v);
			o->rgb = (uint32_t)v;
			break;
		case COUNT:
			err = number("count", optarg, 1000000000, &o->count);
			o->count_given = true;
			break;
		case INTERVAL:
			err = interval(optarg, &o->interval_ns);
			break;
		case SIZE:
			err = size(optarg, &o->width, &o->height);
			break;
		case TRUTH:
			o->truth_dir = optarg;
			break;
		case TIME_SCALE:
			o->time_scale = strtod(optarg, &end);
			if (*end || !(o->time_scale > 0 && o->time_scale <= 100000))
				err = usage("time-scale", "a factor above 0 to 100000", optarg);
			break;
		case JSON:
			*ret_json = true;
			break;
		case HELP:
			fputs(help, stdout);
			return 1;
		default:
			err = -EINVAL;
		}
		if (err) {
			fprintf(stderr, "Try: perigee-twin serve --help\n");
			return err;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "perigee-twin serve: unexpected \"%s\"\nTry: perigee-twin serve --help\n",
			argv[optind]);
		return -EINVAL;
	}
	return 0;
}

int command_serve(int argc, char **argv)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	struct serve_options o = serve_defaults();
	struct session s = {0};
	char reason[256];
	uv_loop_t loop;

	int err = options(argc, argv, &o, &s.json);
	if (err)
		return err < 0 ? EX_USAGE : 0;
	(void)signal(SIGPIPE, SIG_IGN); /* a client that went away is an error of a write, not an end */
	if (uv_loop_init(&loop))
		return EX_OSERR;
	err = serve_create(&loop, &o, on_warning, NULL, &s.serve, reason);
	if (err) {
		log_error("%s", reason);
		(void)uv_loop_close(&loop);
		return err == -ENOENT || err == -ENOTDIR ? EX_NOINPUT
		       : err == -EADDRINUSE              ? EX_UNAVAILABLE
							 : 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(s.signals); i++) {
		ensure(uv_signal_init(&loop, &s.signals[i]) == 0);
		s.signals[i].data = &s;
		ensure(uv_signal_start_oneshot(&s.signals[i], on_signal, numbers[i]) == 0);
	}
	if (s.json)
		printf("{\"event\":\"listening\",\"address\":\"%s\",\"port\":%u}\n", o.bind,
			serve_port(s.serve));
	else
		printf("listening on %s:%u\n", o.bind, serve_port(s.serve));
	(void)fflush(stdout);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	serve_free(s.serve);
	(void)uv_loop_close(&loop);
	return 0;
}
