/* SPDX-License-Identifier: Apache-2.0 */
/* A run by an operator's command, with files that came along with the request. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "asks.h"
#include "core/file.h"
#include "core/json.h"

#define NAME_BYTES 64
#define INPUT_BYTES_MAX (INT64_C(4) << 30)

struct trigger {
	struct perigeed *d;
	struct control_call *call;
	uv_work_t work;
	char workflow[NAME_BYTES], who[ASK_WHO_BYTES];
	cJSON *params; /* may be NULL */
	struct trigger_input {
		char name[NAME_BYTES];
		int fd;
		struct digest digest;
		uint64_t bytes;
	} in[CONTROL_FDS_MAX];
	size_t n;
	int imported;  /* 0, or why not */
	size_t failed; /* which */
};

static void trigger_free(struct trigger *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (t->in[i].fd >= 0)
			close(t->in[i].fd);
	cJSON_Delete(t->params);
	free(t);
}

/* Copies the files into the store. They are files (see take_input): reading them comes to an end. */
static void import_worker(uv_work_t *w)
{
	struct trigger *t = w->data;

	for (size_t i = 0; i < t->n && t->imported == 0; i++) {
		t->imported =
			artifact_import_fd(t->d->artifacts, t->in[i].fd, &t->in[i].digest, &t->in[i].bytes);
		t->failed = i;
	}
}

static int start(struct trigger *t, cJSON **ret_body, char *ret_reason, size_t cap)
{
	struct run_input in[CONTROL_FDS_MAX];
	struct run_request request = {
		.workflow = t->workflow, .inputs = in, .n_inputs = t->n, .params = t->params, .who = t->who};
	int64_t run;

	if (t->imported < 0) {
		snprintf(ret_reason, cap, "input %s: %s", t->in[t->failed].name, err_text(t->imported));
		return t->imported;
	}
	const struct workflow *w = pipelines_workflow(t->d->pipelines, t->workflow);
	for (size_t i = 0; i < t->n; i++)
		in[i] = (struct run_input){.name = workflow_input_name(w, t->in[i].name),
			.digest = t->in[i].digest,
			.bytes = t->in[i].bytes};
	int r = pipelines_run(t->d->pipelines, &request, &run, ret_reason, cap);
	if (r < 0)
		return r;
	*ret_body = cJSON_CreateObject();
	cJSON_AddNumberToObject(*ret_body, "run", (double)run);
	return 0;
}

static void on_imported(uv_work_t *w, int status)
{
	struct trigger *t = w->data;
	char reason[ASK_REASON_BYTES] = "";
	cJSON *body = NULL;
	int r = start(t, &body, reason, sizeof(reason));

	if (r < 0)
		control_refuse(t->call, r, "%s", *reason ? reason : err_text(r));
	else
		reply_committed(t->d, t->call, body);
	trigger_free(t);
}

static int take_input(struct trigger *t, const char *name, char *ret_reason, size_t cap)
{
	struct trigger_input *in = &t->in[t->n];
	struct stat st;

	in->fd = control_call_take_fd(t->call, t->n);
	if (in->fd < 0) {
		snprintf(
			ret_reason, cap, "inputs: no file came along for %.64s", name ? name : "one of them");
		return -EINVAL;
	}
	t->n++;
	if (!name || !*name || strlen(name) >= NAME_BYTES) {
		snprintf(ret_reason, cap, "inputs: expected a list of names of less than %d bytes",
			NAME_BYTES);
		return -EINVAL;
	}
	memcpy(in->name, name, strlen(name) + 1);
	if (!workflow_input_name(pipelines_workflow(t->d->pipelines, t->workflow), name)) {
		snprintf(ret_reason, cap, "workflow %s has no input %s", t->workflow, name);
		return -EINVAL;
	}
	for (size_t i = 0; i + 1 < t->n; i++) {
		if (!strcmp(t->in[i].name, name)) {
			snprintf(ret_reason, cap, "input %s is given twice", name);
			return -EINVAL;
		}
	}
	/* A pipe that nobody writes to would keep a worker for ever. */
	int flags = fcntl(in->fd, F_GETFL);
	if (fstat(in->fd, &st) < 0 || !S_ISREG(st.st_mode) || flags < 0 || (flags & O_ACCMODE) == O_WRONLY ||
		(flags & O_PATH)) {
		snprintf(ret_reason, cap, "input %s: expected a file that can be read", name);
		return -EINVAL;
	}
	if (st.st_size > INPUT_BYTES_MAX) {
		snprintf(ret_reason, cap, "input %s: %jd bytes, more than %" PRId64, name,
			(intmax_t)st.st_size, INPUT_BYTES_MAX);
		return -EFBIG;
	}
	return 0;
}

static int read_request(struct trigger *t, const cJSON *request, char *ret_reason, size_t cap)
{
	const char *workflow = json_str(request, "workflow");
	const cJSON *params = cJSON_GetObjectItemCaseSensitive(request, "params"),
		    *inputs = cJSON_GetObjectItemCaseSensitive(request, "inputs"), *name;
	int r = 0;

	if (!workflow || strlen(workflow) >= NAME_BYTES) {
		snprintf(ret_reason, cap, "workflow: expected the name of a workflow");
		return -EINVAL;
	}
	memcpy(t->workflow, workflow, strlen(workflow) + 1);
	if (!pipelines_workflow(t->d->pipelines, workflow)) {
		snprintf(ret_reason, cap, "there is no workflow %s", workflow);
		return ERR_UNKNOWN;
	}
	if ((params && !cJSON_IsObject(params)) || (inputs && !cJSON_IsArray(inputs)) ||
		cJSON_GetArraySize(inputs) > CONTROL_FDS_MAX) {
		snprintf(ret_reason, cap, "params: expected an object; inputs: a list of at most %d names",
			CONTROL_FDS_MAX);
		return -EINVAL;
	}
	cJSON_ArrayForEach(name, inputs)
	{
		r = take_input(t, cJSON_GetStringValue(name), ret_reason, cap);
		if (r < 0)
			return r;
	}
	if (params && !(t->params = cJSON_Duplicate(params, true)))
		return -ENOMEM;
	return 0;
}

int ask_trigger(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	struct trigger *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->d = d;
	t->call = call;
	t->work.data = t;
	ask_who(call, t->who);
	int r = read_request(t, request, ret_reason, cap);
	if (r == 0)
		r = uv_queue_work(&d->loop, &t->work, import_worker, on_imported);
	if (r < 0) {
		trigger_free(t);
		return r;
	}
	return ASK_LATER;
}
