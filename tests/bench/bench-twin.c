/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The twin's renderer, and the sample payload on what it renders: bench-twin [SCENES [PICTURES]]. SCENES (20)
 * of each camera, of seeds 1, 2, …, four of each; with PICTURES, a folder, pictures of the mistakes go there:
 * green what was found, red what is no ship, orange what was missed. A ship is found when a detection's
 * centre lies in its box; those with more than 0.3 of cloud over them do not count. Prints one line a figure.
 */
#include <math.h>
#include <string.h>
#include <sysexits.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "eo.h"
#include "picture.h"
#include "scene.h"

#define SIDE 512
#define VISIBLE 0.3
#define OVERCAST 0.7 /* from here on the workflow does not look for ships */

struct sums {
	double cloud_both, cloud_true, cloud_said, pixels;
	size_t hit, false_ones, missed, visible;
	int64_t render_ns;
};

static void add_clouds(struct sums *s, const uint8_t *truth, const uint8_t *said, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool t = truth[i] == SCENE_CLASS_CLOUD, d = said[i] == SCENE_CLASS_CLOUD;
		s->cloud_both += t && d;
		s->cloud_true += t;
		s->cloud_said += d;
	}
	s->pixels += (double)n;
}

/* Cohen's kappa of cloud against the rest. */
static double kappa(const struct sums *s)
{
	double t = s->cloud_true / s->pixels, d = s->cloud_said / s->pixels;
	double agree = 1 - t - d + 2 * s->cloud_both / s->pixels, chance = t * d + (1 - t) * (1 - d);

	return (agree - chance) / (1 - chance);
}

struct marks {
	struct picture_box box[SCENE_SHIPS_MAX + 256];
	size_t n;
};

static void mark(struct marks *m, int x0, int y0, int x1, int y1, const char *label, uint32_t rgb)
{
	if (m->n < ARRAY_LEN(m->box))
		m->box[m->n++] = (struct picture_box){x0, y0, x1, y1, label, rgb};
}

/* The number of mistakes. */
static size_t add_ships(struct sums *s, const struct scene_truth *truth, const cJSON *report, struct marks *m)
{
	bool seen[SCENE_SHIPS_MAX] = {0};
	size_t mistakes = 0;
	const cJSON *found;

	cJSON_ArrayForEach(found, cJSON_GetObjectItemCaseSensitive(report, "ships"))
	{
		double x = json_num(found, "x", -9), y = json_num(found, "y", -9);
		const cJSON *box = cJSON_GetObjectItemCaseSensitive(found, "box");
		int b[4] = {0};
		bool right = false;
		for (int i = 0; i < 4 && cJSON_GetArrayItem(box, i); i++)
			b[i] = cJSON_GetArrayItem(box, i)->valueint;
		for (size_t k = 0; k < truth->n_ships && !right; k++) {
			const struct scene_ship *t = &truth->ships[k];
			right = !seen[k] && x >= t->x0 - 1 && x <= t->x1 + 2 && y >= t->y0 - 1 &&
				y <= t->y1 + 2;
			seen[k] |= right;
		}
		mistakes += !right;
		s->false_ones += !right;
		mark(m, b[0], b[1], b[2], b[3], right ? "" : "false", right ? 0x00ff00 : 0xff2020);
	}
	for (size_t k = 0; k < truth->n_ships; k++) {
		const struct scene_ship *t = &truth->ships[k];
		if (t->cloud > VISIBLE)
			continue;
		s->visible++;
		s->hit += seen[k];
		s->missed += !seen[k];
		mistakes += !seen[k];
		if (!seen[k])
			mark(m, t->x0, t->y0, t->x1, t->y1, "missed", 0xff9900);
	}
	return mistakes;
}

struct stages {
	struct eo_buf mask, cloud, candidates, crops, count;
};

static void stages_finish(struct stages *s)
{
	eo_buf_finish(&s->mask);
	eo_buf_finish(&s->cloud);
	eo_buf_finish(&s->candidates);
	eo_buf_finish(&s->crops);
	eo_buf_finish(&s->count);
}

static int look(struct sums *s, const struct scene_spec *spec, const struct scene_truth *truth,
	const uint8_t *mask, const uint8_t *file, size_t len, size_t head, const char *pictures)
{
	CLEAN(stages_finish) struct stages st = {0};
	const struct eo_params params = {.gsd_rgb_m = 3, .gsd_multi_m = 10};
	char reason[EO_REASON_BYTES] = "", png[512], title[128];
	CLEAN_JSON cJSON *cloud = NULL;
	CLEAN_JSON cJSON *count = NULL;
	struct marks marks = {.n = 0};
	struct pam form = scene_form(spec), mask_form;

	int err = eo_stage_cloud(file, len, &params, &st.mask, &st.cloud, reason);
	int mask_head = err < 0 ? -1 : pam_parse(st.mask.data, st.mask.len, &mask_form);
	if (err >= 0)
		err = json_parse((const char *)st.cloud.data, st.cloud.len, 1 << 16, &cloud, NULL, NULL);
	if (err < 0 || mask_head < 0) {
		fprintf(stderr, "cloud: %s\n", reason);
		return -1;
	}
	const uint8_t *said = (const uint8_t *)st.mask.data + mask_head;
	add_clouds(s, mask, said, (size_t)spec->width * spec->height);
	if (json_num(cloud, "cloud_fraction", 0) >= OVERCAST)
		return 0;
	err = eo_stage_identify(
		file, len, st.mask.data, st.mask.len, &params, &st.candidates, &st.crops, reason);
	if (err >= 0)
		err = eo_stage_count(st.candidates.data, st.candidates.len, st.crops.data, st.crops.len,
			&params, &st.count, reason);
	if (err >= 0)
		err = json_parse((const char *)st.count.data, st.count.len, 1 << 20, &count, NULL, NULL);
	if (err < 0) {
		fprintf(stderr, "ships: %s\n", reason);
		return -1;
	}
	size_t mistakes = add_ships(s, truth, count, &marks);
	if (!mistakes || !pictures)
		return 0;
	(void)snprintf(title, sizeof(title), "seed %llu index %llu %s: cloud %.3f, said %.3f",
		(unsigned long long)spec->seed, (unsigned long long)spec->index, scene_name(spec),
		truth->cloud_fraction, json_num(cloud, "cloud_fraction", 0));
	(void)snprintf(png, sizeof(png), "%s/%s-%llu-%llu.png", pictures, spec->rgb ? "rgb" : "multi",
		(unsigned long long)spec->seed, (unsigned long long)spec->index);
	return picture_write(png, &form, file + head, said, marks.box, marks.n, title);
}

static int scenes(struct sums *s, unsigned n, bool rgb, const char *pictures)
{
	for (unsigned i = 0; i < n; i++) {
		struct scene_spec spec = {.seed = 1 + i / 4,
			.index = i % 4,
			.width = SIDE,
			.height = SIDE,
			.gsd_m = rgb ? 3 : 10,
			.rgb = rgb,
			.exposure = 1,
			.gain = 1};
		struct pam form = scene_form(&spec);
		struct scene_truth truth;
		CLEAN_FREE uint8_t *mask = malloc(SIDE * SIDE);
		CLEAN_FREE uint8_t *file = malloc(PAM_HEADER_BYTES_MAX + (size_t)pam_data_bytes(&form));
		if (!mask || !file)
			return -1;
		int head = pam_format(&form, (char *)file, PAM_HEADER_BYTES_MAX);
		struct mono_time start = clock_mono();
		if (head < 0 || scene_render(&spec, file + head, mask, &truth) < 0)
			return -1;
		s->render_ns += clock_mono().ns - start.ns;
		if (look(s, &spec, &truth, mask, file, (size_t)head + (size_t)pam_data_bytes(&form),
			    (size_t)head, pictures) < 0)
			return -1;
	}
	const char *name = rgb ? "rgb" : "multi";
	printf("figure twin.render_%s_ms %.1f ms\n", name, (double)s->render_ns / n / (double)NS_PER_MS);
	printf("figure eo.twin_kappa_%s %.4f kappa\n", name, kappa(s));
	printf("figure eo.twin_ships_%s %zu of_%zu\n", name, s->hit, s->visible);
	printf("figure eo.twin_false_%s %zu objects\n", name, s->false_ones);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 20;
	const char *pictures = argc > 2 ? argv[2] : NULL;

	if (argc > 3 || n < 1 || n > 10000) {
		fprintf(stderr, "usage: bench-twin [SCENES [PICTURES]]\n");
		return EX_USAGE;
	}
	for (int rgb = 0; rgb < 2; rgb++) {
		struct sums s = {0};
		if (scenes(&s, (unsigned)n, rgb, pictures) < 0)
			return EXIT_FAILURE;
	}
	return 0;
}
