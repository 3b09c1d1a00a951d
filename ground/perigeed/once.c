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
	struct run_request request = {
		.workflow = workflow_name(w), .inputs = in, .n_inputs = d->o->n_inputs, .who = "perigee run"};
	char why[TASK_REASON_BYTES] = "";
	if (r == 0 && (r = pipelines_run(d->pipelines, &request, &d->run, why, sizeof(why))) < 0)
		log_error("%s", why);
	workflow_destroy(w);
	return r;
}
