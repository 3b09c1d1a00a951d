/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stage sees. /in holds hard links to artifacts, /out hard links to empty temporary files of the
 * artifact store: no byte is copied to get in or out, and the stage, which is another user, can create
 * nothing beside what it declared.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/log.h"
#include "stage-run.h"

static int missing_input(struct active *a, size_t i, int err)
{
	snprintf(a->why, sizeof(a->why), "input %s: %s", a->stage->inputs[i].name,
		err == -ENOENT || err == ERR_UNKNOWN ? "it is not there" : err_text(err));
	return err == -ENOENT ? ERR_UNKNOWN : err; /* its artifact is gone: no other try will find it */
}

int stage_find_inputs(struct active *a)
{
	for (size_t i = 0; i < a->stage->n_inputs; i++) {
		char text[DIGEST_TEXT_BYTES];
		uint64_t bytes;
		int r = run_input_of(a->p->o.store, a->w, a->task.run, &a->stage->inputs[i], text, &bytes);

		if (r == ERR_UNKNOWN && a->stage->role != WF_NORMAL)
			continue; /* a handler takes what there is */
		if (r == 0)
			r = digest_parse(text, &a->sources[i]);
		if (r < 0)
			return missing_input(a, i, r);
		a->has_source[i] = true;
	}
	return 0;
}

static int link_input(struct active *a, size_t i)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (!a->has_source[i])
		return 0;
	int r = artifact_path(a->p->o.artifacts, &a->sources[i], from, sizeof(from));
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/in/%s", a->work, a->stage->inputs[i].name);
	if (r == 0 && link(from, to) < 0)
		r = -errno;
	return r < 0 ? missing_input(a, i, r) : 0;
}

static int write_params(struct active *a)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/in/params.json", a->work);

	if (r < 0)
		return r;
	CLEAN_FREE char *text = cJSON_PrintUnformatted(a->values.params);
	if (!text)
		return -ENOMEM;
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

static int make_output(struct active *a, size_t i)
{
	char from[PATH_MAX], to[PATH_MAX], name[ARTIFACT_NAME_BYTES];
	CLEAN_FD int fd = -1;
	int r = artifact_new(a->p->o.artifacts, 0666, name, &fd);

	if (r < 0)
		return r;
	memcpy(a->tmp_names[i], name, sizeof(name));
	r = path_format(from, sizeof(from), "%s/tmp/%s", artifacts_dir(a->p->o.artifacts), name);
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/out/%s", a->work, a->stage->outputs[i].name);
	if (r == 0 && link(from, to) < 0)
		r = -errno;
	return r;
}

static int open_folder(const struct active *a, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/%s", a->work, name);

	if (r == 0 && mkdir(path, 0755) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int make_folders(struct active *a)
{
	int r = path_format(a->work, sizeof(a->work), "%s/work/%lld", a->p->state_dir, (long long)a->task.id);

	if (r == 0)
		r = dir_remove(a->work); /* of an attempt before */
	if (r == 0 && mkdir(a->work, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = open_folder(a, "in", &a->in_fd);
	if (r == 0)
		r = open_folder(a, "out", &a->out_fd);
	for (size_t i = 0; r == 0 && i < a->stage->n_inputs; i++)
		r = link_input(a, i);
	if (r == 0)
		r = write_params(a);
	for (size_t i = 0; r == 0 && i < a->stage->n_outputs; i++)
		r = make_output(a, i);
	return r;
}

int stage_runs_prepare(struct pipelines *p)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/work", p->state_dir);

	if (r == 0)
		r = dir_remove(path);
	if (r == 0)
		r = dir_make(path, 0700);
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/logs", p->state_dir);
	return r == 0 ? dir_make(path, 0755) : r;
}

static int name_log(struct active *a)
{
	const struct task *t = &a->task;

	if (t->item >= 0)
		return path_format(a->log, sizeof(a->log), "%s/logs/%lld/%s.%lld.%u.log", a->p->state_dir,
			(long long)t->run, a->stage->name, (long long)t->item, t->attempt);
	return path_format(a->log, sizeof(a->log), "%s/logs/%lld/%s.%u.log", a->p->state_dir,
		(long long)t->run, a->stage->name, t->attempt);
}

static int open_log(struct active *a)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/logs/%lld", a->p->state_dir, (long long)a->task.run);

	if (r == 0)
		r = dir_make(path, 0755);
	if (r == 0)
		r = name_log(a);
	if (r < 0)
		return r;
	a->log_file = open(a->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return a->log_file < 0 ? -errno : 0;
}

int stage_make_files(struct active *a)
{
	int r = make_folders(a);

	return r == 0 ? open_log(a) : r;
}
