/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a folder are scenes. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/json.h"
#include "image.h"

#define STEM_MAX 36 /* characters of a name that go into a frame's id */

struct scan {
	const char *dir;
	struct dirent **entries;
	int n_entries;
	void (*warn)(void *user, bool error, const char *text);
	void *user;
	struct image_files files;
};

PRINTF(3, 4) static void tell(const struct scan *s, bool error, const char *fmt, ...)
{
	char text[IMAGE_REASON_BYTES + 300];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (s->warn)
		s->warn(s->user, error, text);
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && !strcasecmp(name + n - e, end);
}

static bool is_image_name(const char *name)
{
	static const char *const ends[] = {".png", ".ppm", ".pgm", ".pnm", ".pam", ".bsq"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (ends_in(name, ends[i]))
			return true;
	return false;
}

/* X_rgb.png beside X_….bsq only shows the same scene. */
static const char *shown_better_by(const struct scan *s, const char *name)
{
	size_t n = strlen(name);

	if (!ends_in(name, "_rgb.png"))
		return NULL;
	n -= strlen("rgb.png"); /* keeps the underscore */
	for (int i = 0; i < s->n_entries; i++)
		if (!strncmp(s->entries[i]->d_name, name, n) && ends_in(s->entries[i]->d_name, ".bsq"))
			return s->entries[i]->d_name;
	return NULL;
}

/* STEM.json beside the scene may say "gsd_m". */
static double stated_gsd(const struct scan *s, const char *name)
{
	char path[PATH_MAX];
	const char *dot = strrchr(name, '.');
	CLEAN_JSON cJSON *json = NULL;

	if (!dot || path_format(path, sizeof(path), "%s/%.*s.json", s->dir, (int)(dot - name), name) < 0 ||
		access(path, F_OK))
		return 0;
	int err = json_load(path, 1 << 16, &json);
	double gsd = err < 0 ? 0 : json_num(json, "gsd_m", 0);
	if (err < 0 || (cJSON_GetObjectItemCaseSensitive(json, "gsd_m") && !(gsd >= 0.01 && gsd <= 10000))) {
		tell(s, true, "%s: %s", path,
			err < 0 ? err_text(err) : "gsd_m: expected metres, 0.01 to 10000");
		return 0;
	}
	return gsd;
}

static void clean_stem(const char *name, char ret[STEM_MAX + 1])
{
	const char *dot = strrchr(name, '.');
	size_t n = dot ? (size_t)(dot - name) : strlen(name);

	if (n > STEM_MAX)
		n = STEM_MAX;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-' || c == '.';
		ret[i] = fine ? c : '-';
	}
	ret[n] = 0;
}

static int keep(struct scan *s, const char *name, const char *path, const struct pam *form)
{
	char stem[STEM_MAX + 1];

	clean_stem(name, stem);
	struct image_file f = {
		.path = strdup(path), .stem = strdup(stem), .form = *form, .gsd_m = stated_gsd(s, name)};
	if (!f.path || !f.stem) {
		free(f.path);
		free(f.stem);
		return -ENOMEM;
	}
	s->files.item[s->files.n++] = f;
	return 0;
}

static int look_at(struct scan *s, const char *name)
{
	char path[PATH_MAX], reason[IMAGE_REASON_BYTES];
	struct stat st;
	struct image image;

	if (name[0] == '.')
		return 0;
	int err = path_format(path, sizeof(path), "%s/%s", s->dir, name);
	if (err < 0 || stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (ends_in(name, ".json"))
		return 0; /* may belong to a scene: stated_gsd */
	if (!is_image_name(name)) {
		tell(s, false, "%s: not an image, left out", path);
		return 0;
	}
	const char *better = shown_better_by(s, name);
	if (better) {
		tell(s, false, "%s: shows the same scene as %s, left out", path, better);
		return 0;
	}
	err = image_load(path, &image, reason);
	if (err < 0) {
		tell(s, true, "%s: %s", path, reason);
		return 0;
	}
	struct pam form = image.form;
	image_finish(&image);
	if (form.depth == 1) {
		tell(s, false, "%s: a single band (a mask?), not a scene, left out", path);
		return 0;
	}
	if (!(form.depth == 3 || (form.depth == 6 && form.maxval > 255))) {
		tell(s, true, "%s: %u bands up to %u: expected 3, or 6 of 16 bits", path, form.depth,
			form.maxval);
		return 0;
	}
	if (s->files.n == IMAGE_FILES_MAX) {
		tell(s, false, "%s: more than %d scenes, left out", path, IMAGE_FILES_MAX);
		return 0;
	}
	return keep(s, name, path, &form);
}

int image_files_scan(const char *dir, void (*warn)(void *user, bool error, const char *text), void *user,
	struct image_files *ret_files)
{
	struct scan s = {.dir = dir, .warn = warn, .user = user};

	s.n_entries = scandir(dir, &s.entries, NULL, alphasort);
	if (s.n_entries < 0)
		return -errno;
	int err = 0;
	s.files.item = calloc(IMAGE_FILES_MAX, sizeof(*s.files.item));
	if (!s.files.item)
		err = -ENOMEM;
	for (int i = 0; i < s.n_entries && !err; i++)
		err = look_at(&s, s.entries[i]->d_name);
	for (int i = 0; i < s.n_entries; i++)
		free(s.entries[i]);
	free(s.entries);
	if (!err && !s.files.n)
		err = -ENOENT;
	if (err) {
		image_files_finish(&s.files);
		return err;
	}
	*ret_files = s.files;
	return 0;
}

void image_files_finish(struct image_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		free(files->item[i].path);
		free(files->item[i].stem);
	}
	free(files->item);
	*files = (struct image_files){0};
}
