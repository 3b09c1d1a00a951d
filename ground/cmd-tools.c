/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd-tools.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "control.h"
#include "core/file.h"
#include "core/json.h"

#define PARAM_NAME_BYTES 64

const char *state_dir(const char *given)
{
	const char *env = getenv("PERIGEE_STATE");

	if (given)
		return given;
	if (env && *env)
		return env;
	return access(STATE_OF_RUNS, X_OK) == 0 ? STATE_OF_RUNS : STATE_OF_FLIGHT;
}

int64_t whole_number(const char *text, int64_t max)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	return *end || errno || n > max ? -1 : n;
}

void print_json(const cJSON *j)
{
	char *text = cJSON_Print(j);

	puts(text ? text : "null");
	free(text);
}

const char *or_dash(const char *text)
{
	return text ? text : "-";
}

void print_harmless(FILE *to, const char *text, size_t len, bool keep_lines)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		/* Above 0x7f it is UTF-8, of which U+0080 to U+009f (0xc2 0x80 …) are control characters,
		 * too. */
		if (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] >= 0x80 &&
			(unsigned char)text[i + 1] < 0xa0)
			fprintf(to, "\\x%02x", (unsigned char)text[++i]);
		else if (c == '\t' || (c == '\n' && keep_lines) || (c >= 0x20 && c != 0x7f))
			fputc(c, to);
		else
			fprintf(to, "\\x%02x", c);
	}
}

int add_param(cJSON *params, const char *arg)
{
	const char *eq = strchr(arg, '=');
	char name[PARAM_NAME_BYTES];
	cJSON *value;

	if (!params || !eq || eq == arg || (size_t)(eq - arg) >= sizeof(name))
		return -EINVAL;
	snprintf(name, sizeof(name), "%.*s", (int)(eq - arg), arg);
	if (cJSON_HasObjectItem(params, name))
		return -EINVAL;
	if (json_parse(eq + 1, strlen(eq + 1), CONTROL_LINE_BYTES_MAX, &value, NULL, NULL) < 0)
		value = cJSON_CreateString(eq + 1);
	if (value && cJSON_AddItemToObject(params, name, value))
		return 0;
	cJSON_Delete(value);
	return -EINVAL;
}

static int exit_of(const char *code)
{
	static const struct {
		const char *code;
		int status;
	} of[] = {
		{"ERR_UNKNOWN", EX_NOINPUT},
		{"ENOENT", EX_NOINPUT},
		{"ERR_STATE", EX_DATAERR},
		{"ERR_CHECKED", EX_DATAERR},
		{"ERR_FORMAT", EX_DATAERR},
		{"EINVAL", EX_DATAERR},
		{"ERR_LIMIT", EX_TEMPFAIL},
		{"ERR_STORE", EX_TEMPFAIL},
		{"ENOSPC", EX_TEMPFAIL},
		{"EFBIG", EX_DATAERR},
	};

	for (size_t i = 0; code && i < ARRAY_LEN(of); i++)
		if (!strcmp(of[i].code, code))
			return of[i].status;
	return EX_SOFTWARE;
}

int ask_supervisor(
	const char *state, cJSON *request, const int *fds, size_t n_fds, int timeout_s, cJSON **ret_reply)
{
	char path[PATH_MAX];
	CLEAN_JSON cJSON *reply = NULL;
	int r = path_format(path, sizeof(path), "%s/control.sock", state);

	if (r == 0)
		r = control_ask(path, request, fds, n_fds, timeout_s, &reply);
	cJSON_Delete(request);
	if (r == ERR_LIMIT) {
		fprintf(stderr, "perigee: the request is too long\n");
		return EX_DATAERR;
	}
	if (r == -EACCES) {
		fprintf(stderr, "perigee: %s: %s; the supervisor's user and root may ask it\n", path,
			err_text(r));
		return EX_NOPERM;
	}
	if (r < 0) {
		fprintf(stderr,
			"perigee: no supervisor answers at %s: %s\nStart one with `perigeed --mission FILE "
			"--state %s`, or name its folder with --state.\n",
			path, err_text(r), state);
		return EX_UNAVAILABLE;
	}
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "ok"))) {
		const char *error = json_str(reply, "error");

		fprintf(stderr, "perigee: %s\n", error ? error : "the supervisor's answer cannot be read");
		return exit_of(json_str(reply, "code"));
	}
	*ret_reply = TAKE_PTR(reply);
	return 0;
}
