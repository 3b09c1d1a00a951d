/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/json.h"
#include "demo.h"

static const char *colour(const char *code)
{
	return isatty(STDOUT_FILENO) == 1 ? code : "";
}

static const char *size_text(double bytes, char text[16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	size_t u = 0;

	while (bytes >= 1024 && u + 1 < ARRAY_LEN(units)) {
		bytes /= 1024;
		u++;
	}
	snprintf(text, 16, bytes < 10 && u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
	return text;
}

static double stage_ms(const cJSON *image, const char *name)
{
	const cJSON *s;

	cJSON_ArrayForEach(
		s, cJSON_GetObjectItemCaseSensitive(
			   image, "stages")) if (!strcmp(json_str(s, "stage"), name) &&
						 cJSON_HasObjectItem(s, "ms")) return json_num(s, "ms", 0);
	return -1;
}

static void print_ms(double ms)
{
	if (ms < 0)
		printf(" %8s", "-");
	else
		printf(" %8.0f", ms);
}

static void print_image(const cJSON *i)
{
	char in[16], down[16], cloud[8] = "?", found[16] = "-", truth_text[16] = "";
	const char *decision = json_str(i, "decision");
	const cJSON *truth = cJSON_GetObjectItemCaseSensitive(i, "truth");
	bool searched = cJSON_HasObjectItem(i, "ships");
	bool verified = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(i, "verified"));

	if (cJSON_HasObjectItem(i, "cloud_fraction"))
		snprintf(cloud, sizeof(cloud), "%.0f%%", 100 * json_num(i, "cloud_fraction", 0));
	if (searched)
		snprintf(found, sizeof(found), "%.0f", json_num(i, "ships", 0));
	if (searched && truth)
		snprintf(truth_text, sizeof(truth_text), " of %.0f", json_num(truth, "ships_visible", 0));
	const char *word = searched ? "searched" : !strncmp(decision, "left out", 8) ? "overcast" : "failed";
	printf("%-26.26s %5s  %-9s %4s%-7s", json_str(i, "image"), cloud, word, found, truth_text);
	print_ms(stage_ms(i, "cloud"));
	print_ms(stage_ms(i, "identify"));
	print_ms(stage_ms(i, "count"));
	printf(" %9s %9s  %s%s%s\n", size_text(json_num(i, "bytes_in", 0), in),
		size_text(json_num(i, "bytes_down", 0), down), colour(verified ? "\033[32m" : "\033[31m"),
		verified ? "verified" : "missing", colour("\033[0m"));
	if (!strcmp(word, "failed"))
		printf("  %s\n", decision);
}

void demo_table(const struct demo *d, const cJSON *report)
{
	const cJSON *i, *t = cJSON_GetObjectItemCaseSensitive(report, "totals");
	char in[16], down[16];

	printf("%s%-26s %5s  %-9s %-11s %8s %8s %8s %9s %9s  %s%s\n", colour("\033[1m"), "IMAGE", "CLOUD",
		"DECISION", d->scenes ? "SHIPS" : "SHIPS FOUND", "CLOUD ms", "IDENT ms", "COUNT ms", "IN",
		"DOWN", "SIGNATURE", colour("\033[0m"));
	cJSON_ArrayForEach(i, cJSON_GetObjectItemCaseSensitive(report, "images")) print_image(i);
	printf("\n%.0f images, %.0f searched, %.0f ships", json_num(t, "images", 0),
		json_num(t, "images_searched", 0), json_num(t, "ships", 0));
	if (cJSON_HasObjectItem(t, "ships_visible_in_searched"))
		printf(" (%.0f of the %.0f that could be seen)", json_num(t, "ships_hit", 0),
			json_num(t, "ships_visible_in_searched", 0));
	printf("; %s taken in, %s sent down signed (%.0f times less), %.0f of %.0f verified, in %.1f s\n",
		size_text(json_num(t, "bytes_in", 0), in), size_text(json_num(t, "bytes_down", 0), down),
		json_num(t, "bytes_in_over_down", 0), json_num(t, "images_verified", 0),
		json_num(t, "images", 0), json_num(t, "seconds", 0));
	printf("Look: %s/pictures/*.png, %s/results, %s/stac/catalog.json, %s/report.json\n", d->out, d->out,
		d->out, d->out);
	printf("Check a batch: minisign -V -p %s/downlink.pub -m %s/batches/NAME.tar\n", d->out, d->out);
}
