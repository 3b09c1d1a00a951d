/* SPDX-License-Identifier: Apache-2.0 */
#include "launch-wire.h"

#include <errno.h>
#include <string.h>

#define MEMORY_BYTES_MIN (UINT64_C(1) << 20)
#define BYTES_MAX (UINT64_C(1) << 50)
#define WALL_NS_MAX (INT64_C(30) * 24 * 3600 * 1000000000)

const char *launch_end_name(enum launch_end how)
{
	static const char *const names[LAUNCH_END_MAX] = {
		[LAUNCH_EXITED] = "exited",
		[LAUNCH_SIGNALLED] = "signalled",
		[LAUNCH_LIMIT_MEMORY] = "limit-memory",
		[LAUNCH_LIMIT_TIME] = "limit-time",
		[LAUNCH_LIMIT_PIDS] = "limit-pids",
		[LAUNCH_LIMIT_OUTPUT] = "limit-output",
		[LAUNCH_KILLED] = "killed",
		[LAUNCH_SETUP_FAILED] = "setup-failed",
		[LAUNCH_BROKE] = "broke",
	};

	return how >= 0 && how < LAUNCH_END_MAX ? names[how] : "unknown";
}

int launch_limits_check(const struct launch_limits *l)
{
	if (l->memory_bytes < MEMORY_BYTES_MIN || l->memory_bytes > BYTES_MAX)
		return -EINVAL;
	if (l->file_bytes > BYTES_MAX || l->tmp_bytes > l->memory_bytes)
		return -EINVAL;
	if (l->wall_ns <= 0 || l->wall_ns > WALL_NS_MAX)
		return -EINVAL;
	if (l->cpus_milli < 10 || l->cpus_milli > 1000000)
		return -EINVAL;
	if (l->guest_bytes > l->memory_bytes)
		return -EINVAL;
	if (l->pids < 1 || l->pids > 4096)
		return -EINVAL;
	return 0;
}

static int write_words(struct wbuf *w, const char *const *words, size_t *left_bytes)
{
	size_t n = 0;

	while (words[n])
		n++;
	if (n > LAUNCH_WORDS_MAX)
		return ERR_LIMIT;
	wbuf_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		size_t bytes = strlen(words[i]) + 1;

		if (bytes > *left_bytes)
			return ERR_LIMIT;
		*left_bytes -= bytes;
		wbuf_str(w, words[i]);
	}
	return w->err;
}

int launch_order_write(struct wbuf *w, uint64_t task, const struct launch_limits *limits,
	const char *const *argv, const char *const *env)
{
	size_t left_bytes = LAUNCH_WORDS_BYTES_MAX;
	int err = launch_limits_check(limits);

	if (err < 0)
		return err;
	if (!argv[0] || argv[0][0] != '/')
		return -EINVAL;
	wbuf_u64(w, task);
	wbuf_u64(w, limits->memory_bytes);
	wbuf_u64(w, limits->file_bytes);
	wbuf_u64(w, limits->tmp_bytes);
	wbuf_u64(w, (uint64_t)limits->wall_ns);
	wbuf_u32(w, limits->cpus_milli);
	wbuf_u32(w, limits->pids);
	wbuf_u64(w, limits->guest_bytes);
	err = write_words(w, argv, &left_bytes);
	if (err < 0)
		return err;
	return write_words(w, env, &left_bytes);
}

static int read_words(struct rbuf *r, struct launch_order *o, size_t *used, char **ret_words)
{
	size_t n = rbuf_u16(r);

	if (n > LAUNCH_WORDS_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		if (*used == sizeof(o->words))
			return ERR_LIMIT;
		(void)rbuf_str(r, o->words + *used, sizeof(o->words) - *used);
		if (r->err)
			return r->err;
		ret_words[i] = o->words + *used;
		*used += strlen(ret_words[i]) + 1;
	}
	ret_words[n] = NULL;
	return r->err;
}

int launch_order_read(struct rbuf *r, struct launch_order *o)
{
	size_t used = 0;
	int err;

	o->task = rbuf_u64(r);
	o->limits.memory_bytes = rbuf_u64(r);
	o->limits.file_bytes = rbuf_u64(r);
	o->limits.tmp_bytes = rbuf_u64(r);
	o->limits.wall_ns = (int64_t)rbuf_u64(r);
	o->limits.cpus_milli = rbuf_u32(r);
	o->limits.pids = rbuf_u32(r);
	o->limits.guest_bytes = rbuf_u64(r);
	if (r->err)
		return r->err;
	err = launch_limits_check(&o->limits);
	if (err < 0)
		return err;
	err = read_words(r, o, &used, o->argv);
	if (err < 0)
		return err;
	if (!o->argv[0] || o->argv[0][0] != '/')
		return -EINVAL;
	return read_words(r, o, &used, o->env);
}

void launch_result_write(struct wbuf *w, const struct launch_result *result)
{
	wbuf_u64(w, result->task);
	wbuf_u8(w, (uint8_t)result->how);
	wbuf_u32(w, (uint32_t)result->code);
	wbuf_u64(w, result->wall_ns);
	wbuf_u64(w, result->cpu_ns);
	wbuf_u64(w, result->peak_memory_bytes);
	wbuf_u64(w, result->frozen_ns);
	wbuf_u8(w, result->io_known);
	wbuf_u64(w, result->read_bytes);
	wbuf_u64(w, result->written_bytes);
	wbuf_str(w, result->reason);
}

int launch_result_read(struct rbuf *r, struct launch_result *ret_result)
{
	struct launch_result result = {.task = rbuf_u64(r)};
	unsigned how = rbuf_u8(r), io_known;

	result.code = (int)rbuf_u32(r);
	result.wall_ns = rbuf_u64(r);
	result.cpu_ns = rbuf_u64(r);
	result.peak_memory_bytes = rbuf_u64(r);
	result.frozen_ns = rbuf_u64(r);
	io_known = rbuf_u8(r);
	result.read_bytes = rbuf_u64(r);
	result.written_bytes = rbuf_u64(r);
	(void)rbuf_str(r, result.reason, sizeof(result.reason));
	if (r->err)
		return r->err;
	if (how >= LAUNCH_END_MAX || io_known > 1)
		return ERR_FORMAT;
	result.io_known = io_known;
	result.how = (enum launch_end)how;
	*ret_result = result;
	return 0;
}
