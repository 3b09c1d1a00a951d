/* SPDX-License-Identifier: Apache-2.0 */
/* References in params, args and env, and what they are worth. */
#include "wf-values.h"

#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "members.h"

int wf_ref_parse(const char *text, struct wf_ref *ret)
{
	*ret = (struct wf_ref){.kind = WF_REF_NONE, .rest = text};
	if (text[0] != '$')
		return 0;
	if (text[1] == '$')
		*ret = (struct wf_ref){.kind = WF_REF_DOLLAR, .rest = text + 1};
	else if (!strncmp(text, "$params.", 8) && text[8])
		*ret = (struct wf_ref){.kind = WF_REF_PARAM, .rest = text + 8};
	else if (!strncmp(text, "$item", 5) && members_valid(text + 5))
		*ret = (struct wf_ref){.kind = WF_REF_ITEM, .rest = text + 5};
	else if (!strcmp(text, "$index"))
		*ret = (struct wf_ref){.kind = WF_REF_INDEX, .rest = ""};
	else
		return ERR_FORMAT;
	return 0;
}

const char *wf_word_value(const char *word)
{
	const char *equals = word[0] == '$' ? NULL : strchr(word, '=');

	return equals ? equals + 1 : word;
}

/* The value of a text: borrowed, or NULL with *ret_own set to a new one; both NULL with the reason. */
static const cJSON *value_of(
	const char *text, const struct wf_scope *scope, cJSON **ret_own, char reason[WF_REASON_BYTES])
{
	const cJSON *v = NULL;
	struct wf_ref ref;
	size_t upto;

	*ret_own = NULL;
	if (wf_ref_parse(text, &ref) < 0) {
		snprintf(reason, WF_REASON_BYTES, "\"%.80s\" refers to nothing that is known", text);
		return NULL;
	}
	switch (ref.kind) {
	case WF_REF_NONE:
	case WF_REF_DOLLAR:
		*ret_own = cJSON_CreateString(ref.rest);
		break;
	case WF_REF_INDEX:
		*ret_own = scope->item ? cJSON_CreateNumber((double)scope->index) : NULL;
		break;
	case WF_REF_PARAM:
		v = cJSON_GetObjectItemCaseSensitive(scope->params, ref.rest);
		break;
	case WF_REF_ITEM:
		v = members_walk(scope->item, ref.rest, &upto);
		break;
	}
	if (!v && !*ret_own)
		snprintf(reason, WF_REASON_BYTES, "\"%.80s\" has no value%s", text,
			ref.kind == WF_REF_ITEM && scope->item ? ": there is no such member" : "");
	return v;
}

static int fill(const cJSON *in, const struct wf_scope *scope, cJSON **ret, char *reason)
{
	CLEAN_JSON cJSON *out = NULL;

	if (cJSON_IsString(in)) {
		const cJSON *v = value_of(in->valuestring, scope, &out, reason);
		if (v && !(out = cJSON_Duplicate(v, true)))
			return -ENOMEM;
		if (!out)
			return ERR_CHECKED;
		*ret = TAKE_PTR(out);
		return 0;
	}
	if (!cJSON_IsArray(in) && !cJSON_IsObject(in)) {
		*ret = cJSON_Duplicate(in, false);
		return *ret ? 0 : -ENOMEM;
	}
	out = cJSON_IsArray(in) ? cJSON_CreateArray() : cJSON_CreateObject();
	if (!out)
		return -ENOMEM;
	const cJSON *i;
	cJSON_ArrayForEach(i, in)
	{
		cJSON *inner;
		int r = fill(i, scope, &inner, reason);

		if (r < 0)
			return r;
		if (!(cJSON_IsArray(in) ? cJSON_AddItemToArray(out, inner)
					: cJSON_AddItemToObject(out, i->string, inner))) {
			cJSON_Delete(inner);
			return -ENOMEM;
		}
	}
	*ret = TAKE_PTR(out);
	return 0;
}

int wf_fill_json(
	const cJSON *in, const struct wf_scope *scope, cJSON **ret_json, char ret_reason[WF_REASON_BYTES])
{
	cJSON *out;

	snprintf(ret_reason, WF_REASON_BYTES, "out of memory");
	int r = fill(in, scope, &out, ret_reason);
	if (r == 0)
		*ret_json = out;
	return r;
}

/* One word, filled in: owned. */
static int fill_word(const char *word, const struct wf_scope *scope, char **ret, char *reason)
{
	const char *text = wf_word_value(word);
	CLEAN_JSON cJSON *own = NULL;
	const cJSON *v = value_of(text, scope, &own, reason);
	CLEAN_FREE char *written = NULL;

	if (!v)
		v = own;
	if (!v)
		return ERR_CHECKED;
	if (!cJSON_IsString(v) && !cJSON_IsNumber(v) && !cJSON_IsBool(v)) {
		snprintf(reason, WF_REASON_BYTES,
			"\"%.80s\" is %s, expected a text, a number or true or false", text,
			cJSON_IsNull(v) ? "null" : "a list or an object");
		return ERR_CHECKED;
	}
	written = cJSON_IsString(v) ? strdup(v->valuestring) : cJSON_PrintUnformatted(v);
	if (!written || asprintf(ret, "%.*s%s", (int)(text - word), word, written) < 0)
		return -ENOMEM;
	if (v == own || strlen(*ret) <= WF_TEXT_BYTES_MAX)
		return 0;
	snprintf(reason, WF_REASON_BYTES, "\"%.80s\" is %zu bytes long, expected at most %d", text,
		strlen(*ret), WF_TEXT_BYTES_MAX);
	free(*ret);
	return ERR_CHECKED;
}

/* The words one after the other behind their pointers. */
static const char **pack(char *const *words, size_t n)
{
	size_t bytes = (n + 1) * sizeof(char *);

	for (size_t i = 0; i < n; i++)
		bytes += strlen(words[i]) + 1;
	const char **block = malloc(bytes);
	char *at = block ? (char *)(block + n + 1) : NULL;
	for (size_t i = 0; block && i < n; i++) {
		block[i] = at;
		at = stpcpy(at, words[i]) + 1;
	}
	if (block)
		block[n] = NULL;
	return block;
}

int wf_fill_words(const char *const *in, const struct wf_scope *scope, const char ***ret_words,
	char ret_reason[WF_REASON_BYTES])
{
	char *words[WF_ARGS_MAX];
	const char **block = NULL;
	size_t n = 0;
	int r = 0;

	if (!in) {
		*ret_words = NULL;
		return 0;
	}
	snprintf(ret_reason, WF_REASON_BYTES, "out of memory");
	for (; r == 0 && in[n]; n += r == 0) {
		ensure(n < WF_ARGS_MAX); /* what was read has no more */
		r = fill_word(in[n], scope, &words[n], ret_reason);
	}
	if (r == 0 && !(block = pack(words, n)))
		r = -ENOMEM;
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	if (r == 0)
		*ret_words = block;
	return r;
}
