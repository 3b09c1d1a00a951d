/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER_BYTES 128

/* The length of the first step of the way, ".name" or "[3]"; 0 when it is neither. */
static size_t step_length(const char *at)
{
	size_t n = 1;

	if (*at == '[') {
		while (isdigit((unsigned char)at[n]))
			n++;
		return n > 1 && at[n] == ']' ? n + 1 : 0;
	}
	if (*at != '.' || !(isalpha((unsigned char)at[1]) || at[1] == '_'))
		return 0;
	while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == '-')
		n++;
	return n;
}

bool members_valid(const char *members)
{
	while (*members) {
		size_t n = step_length(members);

		if (n == 0)
			return false;
		members += n;
	}
	return true;
}

static const cJSON *step(const cJSON *from, const char *at, size_t len)
{
	char name[MEMBER_BYTES];

	if (*at == '[') {
		errno = 0;
		unsigned long i = strtoul(at + 1, NULL, 10);
		return cJSON_IsArray(from) && errno == 0 && i < INT_MAX ? cJSON_GetArrayItem(from, (int)i)
									: NULL;
	}
	if (!cJSON_IsObject(from) || len > sizeof(name))
		return NULL;
	memcpy(name, at + 1, len - 1);
	name[len - 1] = '\0';
	return cJSON_GetObjectItemCaseSensitive(from, name);
}

const cJSON *members_walk(const cJSON *from, const char *members, size_t *ret_upto)
{
	const char *at = members;

	while (*at && from) {
		size_t len = step_length(at);

		from = len ? step(from, at, len) : NULL;
		at += len ? len : strlen(at);
	}
	if (!from && ret_upto)
		*ret_upto = (size_t)(at - members);
	return from;
}
