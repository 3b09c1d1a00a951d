/* SPDX-License-Identifier: Apache-2.0 */
/* Results as STAC 1.0.0: https://github.com/radiantearth/stac-spec, items and catalog; extensions eo,
 * processing, file. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "results.h"

#define METRES_A_DEGREE 111319.49 /* of latitude; of longitude at the equator */
#define REPORT_BYTES_MAX (1u << 20)
#define ITEMS_MAX 100000

static const cJSON *at(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* A number, or a text that is one: device attributes are texts. */
static bool number(const cJSON *o, const char *key, double min, double max, double *ret)
{
	const cJSON *v = at(o, key);
	double d = NAN;
	char *end;
	if (cJSON_IsNumber(v)) {
		d = v->valuedouble;
	} else if (cJSON_IsString(v)) {
		d = strtod(v->valuestring, &end);
		if (end == v->valuestring || *end)
			return false;
	}
	if (!isfinite(d) || d < min || d > max)
		return false;
	*ret = d;
	return true;
}

static cJSON *ring(double west, double south, double east, double north)
{
	const double corner[5][2] = {
		{west, south}, {east, south}, {east, north}, {west, north}, {west, south}};
	cJSON *list = cJSON_CreateArray(), *polygon = cJSON_CreateArray();
	for (int i = 0; i < 5; i++)
		cJSON_AddItemToArray(list, cJSON_CreateDoubleArray(corner[i], 2));
	cJSON_AddItemToArray(polygon, list);
	return polygon;
}

static double round6(double v)
{
	return round(v * 1e6) / 1e6; /* a tenth of a metre */
}

/* The frame's footprint, north up, on a sphere. Across the antimeridian it is two polygons, as RFC 7946 has
 * it. */
static bool footprint(const cJSON *attrs, cJSON *item)
{
	double latitude, longitude, gsd, width, height;
	if (!number(attrs, "frame_latitude", -90, 90, &latitude) ||
		!number(attrs, "frame_longitude", -180, 180, &longitude) ||
		!number(attrs, "frame_gsd_m", 1e-3, 1e5, &gsd) ||
		!number(attrs, "frame_width", 1, 1e6, &width) ||
		!number(attrs, "frame_height", 1, 1e6, &height))
		return false;
	double up = gsd * height / 2 / METRES_A_DEGREE, scale = cos(latitude * M_PI / 180);
	double side = scale < 1e-6 ? 180 : gsd * width / 2 / (METRES_A_DEGREE * scale);
	double south = round6(fmax(latitude - up, -90)), north = round6(fmin(latitude + up, 90));
	double west = round6(longitude - side), east = round6(longitude + side);
	cJSON *geometry = cJSON_AddObjectToObject(item, "geometry");
	if (side >= 180) {
		west = -180;
		east = 180;
	}
	if (west >= -180 && east <= 180) {
		cJSON_AddStringToObject(geometry, "type", "Polygon");
		cJSON_AddItemToObject(geometry, "coordinates", ring(west, south, east, north));
	} else {
		west = west < -180 ? west + 360 : west;
		east = east > 180 ? east - 360 : east;
		cJSON_AddStringToObject(geometry, "type", "MultiPolygon");
		cJSON *both = cJSON_AddArrayToObject(geometry, "coordinates");
		cJSON_AddItemToArray(both, ring(west, south, 180, north));
		cJSON_AddItemToArray(both, ring(-180, south, east, north));
	}
	const double box[4] = {west, south, east, north};
	cJSON_AddItemToObject(item, "bbox", cJSON_CreateDoubleArray(box, 4));
	return true;
}

static void add_link(cJSON *links, const char *rel, const char *href, const char *type)
{
	cJSON *link = cJSON_CreateObject();
	cJSON_AddStringToObject(link, "rel", rel);
	cJSON_AddStringToObject(link, "href", href);
	cJSON_AddStringToObject(link, "type", type);
	cJSON_AddItemToArray(links, link);
}

static const char *media_type(const char *type)
{
	static const char *const known[][2] = {
		{"json", "application/json"},
		{"geojson", "application/geo+json"},
		{"png", "image/png"},
		{"jpeg", "image/jpeg"},
		{"tiff", "image/tiff"},
		{"pam", "image/x-portable-anymap"},
		{"pgm", "image/x-portable-graymap"},
		{"ppm", "image/x-portable-pixmap"},
		{"csv", "text/csv"},
		{"txt", "text/plain"},
		{"tar", "application/x-tar"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(type, known[i][0]) == 0)
			return known[i][1];
	return "application/octet-stream";
}

/* The cloud fraction of the run, from the report of a stage that says it; the stage "cloud" is believed
 * first. */
static bool cloud_cover(const char *out, const char *dir, const cJSON *products, double *ret_percent)
{
	bool found = false;
	const cJSON *p;
	cJSON_ArrayForEach(p, products)
	{
		const char *type = json_str(p, "type"), *file = json_str(p, "file"),
			   *stage = json_str(p, "stage");
		char path[PATH_MAX];
		CLEAN_JSON cJSON *report = NULL;
		double fraction;
		bool cloud = stage && strcmp(stage, "cloud") == 0;
		if (!type || strcmp(type, "json") != 0 || !file || (found && !cloud))
			continue;
		if (path_format(path, sizeof(path), "%s/results/%s/%s", out, dir, file) < 0 ||
			json_load(path, REPORT_BYTES_MAX, &report) < 0)
			continue;
		if (!number(report, "cloud_fraction", 0, 1, &fraction))
			continue;
		*ret_percent = round(fraction * 1e4) / 100;
		found = true;
		if (cloud)
			break;
	}
	return found;
}

static void copy_as(cJSON *to, const char *key, const cJSON *from, const char *from_key)
{
	const cJSON *v = at(from, from_key);
	if (v && !cJSON_IsNull(v))
		cJSON_AddItemToObject(to, key, cJSON_Duplicate(v, true));
}

/* "cloud (cloud-detect), identify (find-ships)": what was done, for people. */
static void lineage(cJSON *properties, const cJSON *stages)
{
	char text[1024] = "";
	size_t len = 0;
	const cJSON *s;
	cJSON_ArrayForEach(s, stages)
	{
		const char *stage = json_str(s, "stage"), *image = json_str(s, "image"),
			   *state = json_str(s, "state");
		if (!stage || !state || strcmp(state, "done") != 0 || len >= sizeof(text) - 1)
			continue;
		int n = snprintf(text + len, sizeof(text) - len, "%s%s (%s)", len ? ", " : "", stage,
			image ? image : "?");
		len += n > 0 ? (size_t)n : 0;
	}
	if (len)
		cJSON_AddStringToObject(properties, "processing:lineage", text);
}

static void add_properties(cJSON *item, const char *out, const char *dir, const cJSON *run)
{
	static const char *const of_run[] = {
		"workflow", "workflow_digest", "payload", "priority", "state", "reason"};
	const cJSON *provenance = at(run, "provenance"), *event = at(provenance, "event"), *s;
	const cJSON *attrs = at(event, "attrs");
	cJSON *p = cJSON_AddObjectToObject(item, "properties");
	struct utc_time t;
	double v;

	const char *time = json_str(event, "time");
	if (!time || utc_parse(time, &t) < 0)
		time = json_str(provenance, "created");
	if (!time || utc_parse(time, &t) < 0)
		time = json_str(run, "received");
	cJSON_AddStringToObject(p, "datetime", time ? time : "1970-01-01T00:00:00Z");
	copy_as(p, "platform", run, "spacecraft");
	copy_as(p, "mission", run, "mission");
	if (json_str(event, "device")) {
		cJSON *list = cJSON_AddArrayToObject(p, "instruments");
		cJSON_AddItemToArray(list, cJSON_CreateString(json_str(event, "device")));
	}
	if (number(attrs, "frame_gsd_m", 1e-3, 1e5, &v))
		cJSON_AddNumberToObject(p, "gsd", v);
	if (cloud_cover(out, dir, at(run, "products"), &v))
		cJSON_AddNumberToObject(p, "eo:cloud_cover", v);
	cJSON *software = cJSON_AddObjectToObject(p, "processing:software");
	cJSON_AddStringToObject(software, "perigee", PERIGEE_VERSION);
	cJSON_AddStringToObject(p, "processing:facility", "on board");
	lineage(p, at(provenance, "stages"));
	copy_as(p, "perigee:run", run, "run");
	for (size_t i = 0; i < ARRAY_LEN(of_run); i++) {
		char key[64];
		snprintf(key, sizeof(key), "perigee:%s", of_run[i]);
		copy_as(p, key, provenance, of_run[i]);
	}
	copy_as(p, "perigee:frame", attrs, "frame_name");
	copy_as(p, "perigee:frame_digest", event, "digest");
	copy_as(p, "perigee:batches", run, "batches");
	cJSON *stages = cJSON_AddArrayToObject(p, "perigee:stages");
	cJSON_ArrayForEach(s, at(provenance, "stages"))
	{
		static const char *const keys[] = {"stage", "state", "reason", "image", "image_digest",
			"attempts", "cpu_ms", "memory_peak_bytes"};
		cJSON *o = cJSON_CreateObject();
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			copy_as(o, keys[i], s, keys[i]);
		cJSON_AddItemToArray(stages, o);
	}
}

static void add_asset(cJSON *assets, const char *key, const char *href, const char *type, const char *role)
{
	cJSON *asset = cJSON_AddObjectToObject(assets, key);
	cJSON_AddStringToObject(asset, "href", href);
	cJSON_AddStringToObject(asset, "type", type);
	cJSON *roles = cJSON_AddArrayToObject(asset, "roles");
	cJSON_AddItemToArray(roles, cJSON_CreateString(role));
}

static void add_assets(cJSON *item, const char *dir, const cJSON *run)
{
	cJSON *assets = cJSON_AddObjectToObject(item, "assets");
	const cJSON *p;
	char href[512], key[256];
	cJSON_ArrayForEach(p, at(run, "products"))
	{
		const char *file = json_str(p, "file"), *digest = json_str(p, "digest"),
			   *type = json_str(p, "type");
		if (!file || !digest || !type)
			continue;
		snprintf(href, sizeof(href), "../results/%s/%s", dir, file);
		snprintf(key, sizeof(key), "%s", file);
		add_asset(assets, key, href, media_type(type), "data");
		cJSON *asset = cJSON_GetObjectItemCaseSensitive(assets, key);
		copy_as(asset, "file:size", p, "bytes");
		snprintf(key, sizeof(key), "a0e40220%s", digest); /* multihash: blake2b-256, 32 bytes */
		cJSON_AddStringToObject(asset, "file:checksum", key);
		copy_as(asset, "perigee:stage", p, "stage");
		copy_as(asset, "perigee:priority", p, "priority");
	}
	snprintf(href, sizeof(href), "../results/%s/run.json", dir);
	add_asset(assets, "provenance", href, "application/json", "metadata");
}

static int write_json(const char *path, const cJSON *json)
{
	CLEAN_FREE char *text = cJSON_Print(json);
	return text ? file_replace(path, text, strlen(text), 0644) : -ENOMEM;
}

int stac_item(const char *out, const char *dir, const cJSON *run)
{
	static const char *const extensions[] = {
		"https://stac-extensions.github.io/processing/v1.1.0/schema.json",
		"https://stac-extensions.github.io/file/v2.1.0/schema.json",
		"https://stac-extensions.github.io/eo/v1.1.0/schema.json", /* only with a cloud cover */
	};
	char id[128], path[PATH_MAX];
	CLEAN_JSON cJSON *item = cJSON_CreateObject();
	const char *spacecraft = json_str(run, "spacecraft");
	if (!item)
		return -ENOMEM;
	int n = path_format(id, sizeof(id), "%s-run-%s", spacecraft ? spacecraft : "spacecraft", dir);
	if (n >= 0)
		n = path_format(path, sizeof(path), "%s/stac/%s.json", out, id);
	if (n < 0)
		return n;
	cJSON_AddStringToObject(item, "type", "Feature");
	cJSON_AddStringToObject(item, "stac_version", "1.0.0");
	double percent;
	int n_extensions = (int)ARRAY_LEN(extensions) - !cloud_cover(out, dir, at(run, "products"), &percent);
	cJSON_AddItemToObject(item, "stac_extensions", cJSON_CreateStringArray(extensions, n_extensions));
	cJSON_AddStringToObject(item, "id", id);
	if (!footprint(at(at(at(run, "provenance"), "event"), "attrs"), item))
		cJSON_AddNullToObject(item, "geometry"); /* and then no bbox */
	add_properties(item, out, dir, run);
	cJSON *links = cJSON_AddArrayToObject(item, "links");
	add_link(links, "root", "./catalog.json", "application/json");
	add_link(links, "parent", "./catalog.json", "application/json");
	add_assets(item, dir, run);
	return write_json(path, item);
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static bool is_item(const char *name)
{
	size_t n = strlen(name);
	return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".json") == 0 &&
	       strcmp(name, "catalog.json") != 0;
}

int stac_catalog(const char *out)
{
	char path[PATH_MAX], **names = NULL;
	size_t n_names = 0, cap = 0;
	int n = path_format(path, sizeof(path), "%s/stac", out);
	if (n < 0)
		return n;
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	for (struct dirent *e; n >= 0 && (e = readdir(dir));) {
		if (!is_item(e->d_name) || n_names == ITEMS_MAX)
			continue;
		if (n_names == cap) {
			cap = cap ? 2 * cap : 64;
			char **more = reallocarray(names, cap, sizeof(*names));
			if (!more) {
				n = -ENOMEM;
				break;
			}
			names = more;
		}
		names[n_names] = strdup(e->d_name);
		n = names[n_names] ? 0 : -ENOMEM;
		n_names += n >= 0;
	}
	closedir(dir);
	if (names)
		qsort(names, n_names, sizeof(*names), by_name);

	CLEAN_JSON cJSON *c = cJSON_CreateObject();
	cJSON_AddStringToObject(c, "type", "Catalog");
	cJSON_AddStringToObject(c, "stac_version", "1.0.0");
	cJSON_AddStringToObject(c, "id", "perigee");
	cJSON_AddStringToObject(c, "title", "Results received from Perigee");
	cJSON_AddStringToObject(
		c, "description", "One item a run: what was computed on board, from which image, by what.");
	cJSON *links = cJSON_AddArrayToObject(c, "links");
	add_link(links, "root", "./catalog.json", "application/json");
	for (size_t i = 0; i < n_names; i++) {
		snprintf(path, sizeof(path), "./%s", names[i]);
		add_link(links, "item", path, "application/geo+json");
		free(names[i]);
	}
	free(names);
	if (n >= 0)
		n = path_format(path, sizeof(path), "%s/stac/catalog.json", out);
	return n < 0 ? n : write_json(path, c);
}
