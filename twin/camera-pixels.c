/* SPDX-License-Identifier: Apache-2.0 */
/* The pixels of a frame: rendered, or read from its file, in a worker that touches nothing of the camera. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "camera-parts.h"

struct job {
	uv_work_t work;
	struct camera *camera; /* for the loop's thread */
	uint64_t number;
	char frame_id[CAMERA_FRAME_ID_BYTES];
	const char *truth_dir;
	const char *path; /* NULL: render */
	struct scene_spec spec;
	struct pam form; /* of the frame as it is delivered */
	double factor;   /* gain times relative exposure */
	uint8_t *data;   /* the result */
	int err;
	char reason[IMAGE_REASON_BYTES];
};

static int render(struct job *j)
{
	size_t n = (size_t)j->spec.width * j->spec.height;
	CLEAN_FREE uint8_t *mask = malloc(n);
	struct scene_truth truth;

	j->data = malloc((size_t)pam_data_bytes(&j->form));
	if (!mask || !j->data)
		return -ENOMEM;
	int err = scene_render(&j->spec, j->data, mask, &truth);
	if (err < 0 || !j->truth_dir)
		return err;
	/* A truth that cannot be written does not hold up the mission. */
	int written = scene_truth_write(j->truth_dir, &j->spec, &truth, mask, j->frame_id);
	if (written < 0)
		(void)snprintf(j->reason, sizeof(j->reason), "writing the truth into %s: %s", j->truth_dir,
			err_text(written));
	return 0;
}

static unsigned clip(double v, unsigned max)
{
	return v >= max ? max : (unsigned)lround(v);
}

/* A file's samples in the camera's form, as exposure and gain make them. At the nominal ones 8-bit and 16-bit
 * samples pass unchanged. */
static int load(struct job *j)
{
	struct image image;
	int err = image_load(j->path, &image, j->reason);

	if (err < 0)
		return err;
	if (image.form.width != j->form.width || image.form.height != j->form.height ||
		image.form.depth != j->form.depth) {
		image_finish(&image);
		(void)snprintf(j->reason, sizeof(j->reason), "is not what it was when the folder was read");
		return ERR_IMAGE;
	}
	size_t n = (size_t)j->form.width * j->form.height * j->form.depth;
	bool wide = image.form.maxval > 255, same = wide == (j->form.maxval > 255);
	/* Six bands are numbers (reflectance x 10000), three are shades up to the file's own white. */
	double scale = j->factor * (j->form.depth == 3 ? (double)j->form.maxval / image.form.maxval : 1);
	if (same && scale == 1) {
		j->data = TAKE_PTR(image.data);
		return 0;
	}
	j->data = malloc((size_t)pam_data_bytes(&j->form));
	for (size_t i = 0; j->data && i < n; i++) {
		unsigned v = wide ? (unsigned)image.data[2 * i] << 8 | image.data[2 * i + 1] : image.data[i];
		v = clip(v * scale, j->form.maxval);
		if (j->form.maxval > 255) {
			j->data[2 * i] = (uint8_t)(v >> 8);
			j->data[2 * i + 1] = (uint8_t)v;
		} else {
			j->data[i] = (uint8_t)v;
		}
	}
	image_finish(&image);
	return j->data ? 0 : -ENOMEM;
}

static void on_work(uv_work_t *w)
{
	struct job *j = w->data;

	j->err = j->path ? load(j) : render(j);
}

static void on_drop(struct iiod_frame *frame)
{
	pixels_unref((struct pixels *)frame);
}

void pixels_unref(struct pixels *p)
{
	if (--p->refs)
		return;
	camera_unref(p->camera);
	free(p->data);
	free(p);
}

static void tell(const struct camera *c, const struct job *j, bool error)
{
	char text[CAMERA_FRAME_ID_BYTES + IMAGE_REASON_BYTES + 300];
	const char *why = j->reason[0] ? j->reason : err_text(j->err);

	(void)snprintf(text, sizeof(text), "frame %s: %s%s%s", j->frame_id, j->path ? j->path : "",
		j->path ? ": " : "", why);
	if (c->opt.warn)
		c->opt.warn(c->opt.user, error, text);
}

static void take_result(struct camera *c, struct job *j)
{
	if (j->err < 0) {
		tell(c, j, true);
		c->failed = -EIO;
		c->failed_number = j->number;
		return;
	}
	if (j->reason[0])
		tell(c, j, false);
	if (!c->n_waiting || c->memory[0].number != j->number || c->head_pixels)
		return; /* released meanwhile */
	struct pixels *p = calloc(1, sizeof(*p));
	if (!p) {
		c->failed = -ENOMEM;
		c->failed_number = j->number;
		return;
	}
	p->data = TAKE_PTR(j->data);
	p->number = j->number;
	p->camera = c;
	p->refs = 1;
	p->frame = (struct iiod_frame){
		.data = p->data, .n_samples = j->form.width * j->form.height, .user = p, .drop = on_drop};
	camera_ref(c);
	c->head_pixels = p;
}

static void on_done(uv_work_t *w, int status)
{
	struct job *j = w->data;
	struct camera *c = j->camera;

	c->job_running = false;
	if (status == 0 && !c->closing) {
		take_result(c, j);
		if (c->server)
			iiod_server_ready(c->server, &c->device);
	}
	free(j->data);
	free(j);
	camera_unref(c);
}

static int begin(struct camera *c, const struct shot *s)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	const struct image_file *file = shot_file(c, s);
	j->camera = c;
	j->number = s->number;
	j->truth_dir = c->opt.truth_dir;
	j->path = file ? file->path : NULL;
	j->spec = shot_spec(c, s);
	j->factor = j->spec.exposure * j->spec.gain;
	shot_id(c, s, j->frame_id);
	j->form = scene_form(&j->spec);
	shot_size(c, s, &j->form.width, &j->form.height);
	j->work.data = j;
	int err = uv_queue_work(c->loop, &j->work, on_work, on_done);
	if (err) {
		free(j);
		return err;
	}
	c->job_running = true;
	camera_ref(c);
	return 0;
}

int camera_frame(void *user, uint32_t n_samples, struct iiod_frame **ret_frame)
{
	struct camera *c = user;
	uint32_t w, h;

	if (!c->n_waiting)
		return -EAGAIN;
	const struct shot *head = &c->memory[0];
	shot_size(c, head, &w, &h);
	if ((uint64_t)w * h != n_samples)
		return -ESTALE;
	if (c->head_pixels) {
		c->head_pixels->refs++;
		c->counts.delivered++;
		*ret_frame = &c->head_pixels->frame;
		return 0;
	}
	if (c->failed && c->failed_number == head->number) {
		int err = c->failed; /* told once; the next READBUF tries again */
		c->failed = 0;
		return err;
	}
	if (c->job_running)
		return -EAGAIN;
	int err = begin(c, head);
	return err ? err : -EAGAIN;
}
