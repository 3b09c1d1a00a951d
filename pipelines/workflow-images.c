/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: whether its image is there. One that is not may still be on its way: worth a warning, no
 * mistake. */
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "workflow-read.h"

#define IMAGES_SEEN_MAX 256 /* for the nearest name */

static bool is_there(const char *images, const char *name)
{
	char path[PATH_MAX];

	/* One whose path is too long is not looked for. */
	return path_format(path, sizeof(path), "%s/%s/index.json", images, name) < 0 ||
	       access(path, F_OK) == 0;
}

/* The nearest name among the images that are there; owned; NULL: none is near. */
static char *nearest_image(const char *images, const char *name)
{
	char *names[IMAGES_SEEN_MAX];
	DIR *dir = opendir(images);
	const struct dirent *e;
	size_t n = 0;

	while (dir && n < IMAGES_SEEN_MAX && (e = readdir(dir)))
		if (e->d_name[0] != '.' && is_there(images, e->d_name) && (names[n] = strdup(e->d_name)))
			n++;
	if (dir)
		closedir(dir);
	const char *near = nearest_name(name, (const char *const *)names, n);
	char *found = near ? strdup(near) : NULL;
	while (n)
		free(names[--n]);
	return found;
}

void wf_check_image(struct wf_reader *r, const struct ynode *at, const char *name)
{
	const char *images = r->limits->images;

	if (!images || is_there(images, name))
		return;
	CLEAN_FREE char *near = nearest_image(images, name);
	if (near)
		complain_warning(r->c, at->line, at->column,
			"image: there is none called %.63s in %s; did you mean \"%s\"?", name, images, near);
	else
		complain_warning(r->c, at->line, at->column,
			"image: there is none called %.63s in %s: `perigee image build` makes one", name,
			images);
}
