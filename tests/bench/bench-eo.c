/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sample payload on real scenes: bench-eo [DATA], by default ../shared/data. Prints one line a figure,
 * and nothing where the data is absent. What its reference answers are, the data's own README says.
 */
#include <stdio.h>
#include <string.h>

#include "eo_data.h"

static const char *data;

static int load(const char *name, int (*how)(const char *, struct raster *), struct raster *ret)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/imagery/%s", data, name);
	return how(path, ret);
}

static int bsq(const char *path, struct raster *ret)
{
	return eo_data_bsq6(path, 512, ret);
}

static int kappa(const char *name)
{
	struct raster scene = {0}, truth = {0};
	struct eo_run_of run = {0};
	char file[64];
	int r = -1;

	snprintf(file, sizeof(file), "%s_6x512x512_u16le.bsq", name);
	if (load(file, bsq, &scene) < 0)
		goto end;
	snprintf(file, sizeof(file), "%s_mask.png", name);
	if (load(file, eo_data_gray, &truth) < 0)
		goto end;
	r = eo_data_run(&scene, &run);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", name, run.reason);
	else
		printf("figure eo.kappa_%s %.4f kappa\n", name,
			eo_data_kappa(eo_data_classes(&run.mask, truth.len), truth.data, truth.len, 4));
end:
	eo_run_finish(&run);
	raster_finish(&scene);
	raster_finish(&truth);
	return r;
}

static int ships(const char *name)
{
	static struct data_box truth[EO_DATA_BOXES_MAX], found[EO_DATA_BOXES_MAX];
	struct raster scene = {0};
	struct eo_run_of run = {0};
	char file[64], path[1024];
	int n_truth, n_found, r = -1;

	snprintf(file, sizeof(file), "%s.png", name);
	snprintf(path, sizeof(path), "%s/imagery/%s_boxes.csv", data, name);
	n_truth = eo_data_boxes(path, truth);
	if (n_truth < 0 || load(file, eo_data_rgb, &scene) < 0)
		goto end;
	r = eo_data_run(&scene, &run);
	n_found = r < 0 ? -1 : eo_data_ships(run.ships.data, run.ships.len, found);
	if (n_found < 0) {
		fprintf(stderr, "%s: %s\n", name, run.reason);
		r = -1;
		goto end;
	}
	printf("figure eo.%s %.4f F1\n", name, eo_data_match(found, n_found, truth, n_truth, 0.3).f1);
	printf("figure eo.%s_found %d ships\n", name, n_found);
	printf("figure eo.cloud_ms %.1f ms\n", run.ms[0]);
	printf("figure eo.identify_ms %.1f ms\n", run.ms[1]);
	printf("figure eo.count_ms %.1f ms\n", run.ms[2]);
end:
	eo_run_finish(&run);
	raster_finish(&scene);
	return r;
}

int main(int argc, char **argv)
{
	char path[1024];
	FILE *f;
	int r;

	data = argc > 1 ? argv[1] : "../shared/data";
	snprintf(path, sizeof(path), "%s/imagery/sentinel2_mask.png", data);
	f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "eo: left out, there is no %s\n", path);
		return 0;
	}
	fclose(f);
	r = kappa("sentinel2");
	r |= kappa("landsat5");
	r |= ships("ships_bay_1");
	return r < 0;
}
