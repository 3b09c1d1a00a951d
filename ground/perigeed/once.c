/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "perigeed.h"

int start_run(struct perigeed *d)
{
	struct run_input in[INPUTS_MAX] = {0};
	struct complaints c;
	struct workflow *w;
	int r = 0;

	if (!d->o->run)
		return 0;
	/* Read again for its input names only: the one that runs has been taken over. */
	if (complaints_init(&c, d->mission->workflows[0]) < 0 ||
		workflow_load(d->mission->workflows[0], &(struct workflow_limits){0}, &c, &w) < 0)
		return ERR_CHECKED;
	complaints_finish(&c);
	for (size_t i = 0; r == 0 && i < d->o->n_inputs; i++) {
		in[i].name = workflow_input_name(w, d->o->input_names[i]);
		if (!in[i].name) {
			log_error("workflow %s has no input %s", workflow_name(w), d->o->input_names[i]);
			r = ERR_UNKNOWN;
			break;
		}
		r = artifact_import_fd(d->artifacts, d->o->input_fds[i], &in[i].digest, &in[i].bytes);
	}
	const char *needed;
	for (size_t i = 0; r == 0 && (needed = workflow_trigger_input(w, i)); i++) {
		size_t k = 0;
		while (k < d->o->n_inputs && strcmp(in[k].name, needed))
			k++;
		if (k == d->o->n_inputs) {
			log_error("workflow %s needs --input %s=FILE", workflow_name(w), needed);
			r = -EINVAL;
		}
	}
	if (r == 0)
		r = pipelines_run(d->pipelines, workflow_name(w), in, d->o->n_inputs, &d->run);
	workflow_destroy(w);
	return r;
}
