/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "perigeed.h"

#define PARAMS_BYTES_MAX 65536

int start_run(struct perigeed *d)
{
	struct run_input in[INPUTS_MAX] = {0};
	CLEAN_JSON cJSON *params = NULL;
	char why[TASK_REASON_BYTES] = "";
	int r = 0;

	if (!d->o->run)
		return 0;
	const struct workflow *w = pipelines_workflow(d->pipelines, d->o->run);
	if (!w) {
		log_error("the mission has no workflow %s", d->o->run);
		return ERR_UNKNOWN;
	}
	for (size_t i = 0; r == 0 && i < d->o->n_inputs; i++) {
		in[i].name = workflow_input_name(w, d->o->input_names[i]);
		if (!in[i].name) {
			log_error("workflow %s has no input %s", workflow_name(w), d->o->input_names[i]);
			return ERR_UNKNOWN;
		}
		r = artifact_import_fd(d->artifacts, d->o->input_fds[i], &in[i].digest, &in[i].bytes);
	}
	if (r == 0 && d->o->params)
		r = json_parse(d->o->params, strlen(d->o->params), PARAMS_BYTES_MAX, &params, NULL, NULL);
	struct run_request request = {.workflow = d->o->run,
		.inputs = in,
		.n_inputs = d->o->n_inputs,
		.params = params,
		.who = "perigee run"};
	if (r == 0 && (r = pipelines_run(d->pipelines, &request, &d->run, why, sizeof(why))) < 0)
		log_error("%s", why);
	return r;
}
