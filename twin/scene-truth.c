/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "scene.h"

static double rounded(double v, double step)
{
	return round(v / step) * step;
}

static cJSON *ship_json(const struct scene_ship *s)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "x", rounded(s->x, 0.01));
	cJSON_AddNumberToObject(o, "y", rounded(s->y, 0.01));
	cJSON_AddNumberToObject(o, "length_m", rounded(s->length_m, 0.1));
	cJSON_AddNumberToObject(o, "beam_m", rounded(s->beam_m, 0.1));
	cJSON_AddNumberToObject(o, "heading_deg", rounded(s->heading_deg, 0.1));
	cJSON_AddNumberToObject(o, "speed_m_s", rounded(s->speed_m_s, 0.1));
	cJSON_AddItemToObject(o, "box", cJSON_CreateIntArray((int[]){s->x0, s->y0, s->x1, s->y1}, 4));
	cJSON_AddNumberToObject(o, "cloud", rounded(s->cloud, 0.001));
	cJSON_AddBoolToObject(o, "hidden", s->hidden);
	return o;
}

cJSON *scene_truth_json(const struct scene_spec *spec, const struct scene_truth *truth, const char *frame_id)
{
	CLEAN_JSON cJSON *o = cJSON_CreateObject();

	if (!o)
		return NULL;
	cJSON_AddStringToObject(o, "frame_id", frame_id);
	cJSON_AddStringToObject(o, "scene", scene_name(spec));
	cJSON_AddNumberToObject(o, "seed", (double)spec->seed);
	cJSON_AddNumberToObject(o, "index", (double)spec->index);
	cJSON_AddNumberToObject(o, "width", spec->width);
	cJSON_AddNumberToObject(o, "height", spec->height);
	cJSON_AddNumberToObject(o, "gsd_m", spec->gsd_m);
	cJSON_AddNumberToObject(o, "sun_azimuth_deg", rounded(truth->sun_azimuth_deg, 0.01));
	cJSON_AddNumberToObject(o, "sun_elevation_deg", rounded(truth->sun_elevation_deg, 0.01));
	cJSON_AddNumberToObject(o, "cloud_fraction", rounded(truth->cloud_fraction, 1e-5));
	cJSON_AddNumberToObject(o, "shadow_fraction", rounded(truth->shadow_fraction, 1e-5));
	cJSON_AddNumberToObject(o, "water_fraction", rounded(truth->water_fraction, 1e-5));
	cJSON *ships = cJSON_AddArrayToObject(o, "ships");
	for (size_t i = 0; ships && i < truth->n_ships; i++)
		cJSON_AddItemToArray(ships, ship_json(&truth->ships[i]));
	if (!ships || cJSON_GetArraySize(ships) != (int)truth->n_ships)
		return NULL;
	return TAKE_PTR(o);
}

int scene_truth_write(const char *dir, const struct scene_spec *spec, const struct scene_truth *truth,
	const uint8_t *mask, const char *frame_id)
{
	char path[PATH_MAX], head[64];
	size_t n = (size_t)spec->width * spec->height;
	CLEAN_JSON cJSON *json = scene_truth_json(spec, truth, frame_id);
	CLEAN_FREE char *text = json ? cJSON_Print(json) : NULL;

	if (!text)
		return -ENOMEM;
	int err = path_format(path, sizeof(path), "%s/%s.json", dir, frame_id);
	if (!err)
		err = file_replace(path, text, strlen(text), 0644);
	if (err < 0)
		return err;
	int head_len = snprintf(head, sizeof(head), "P5\n%u %u\n255\n", spec->width, spec->height);
	CLEAN_FREE uint8_t *pgm = malloc((size_t)head_len + n);
	if (!pgm)
		return -ENOMEM;
	memcpy(pgm, head, (size_t)head_len);
	memcpy(pgm + head_len, mask, n);
	err = path_format(path, sizeof(path), "%s/%s_mask.pgm", dir, frame_id);
	return err < 0 ? err : file_replace(path, pgm, (size_t)head_len + n, 0644);
}
