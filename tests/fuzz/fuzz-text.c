/* SPDX-License-Identifier: Apache-2.0 */
/* The small readers of one word: times, quantities, digests, names, and what makes text printable. */
#include <stdlib.h>
#include <string.h>

#include "core/artifact.h"
#include "core/clock.h"
#include "core/yaml.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const known[] = {"memory", "image", "inputs", "outputs", "deadline"};
	char *text = malloc(len + 1);
	struct utc_time t, u;
	struct digest d;
	struct complaints c;
	uint64_t bytes;
	int64_t ns;
	double j;

	if (!text)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	if (utc_parse(text, &t) == 0) {
		char again[UTC_TEXT_BYTES];
		utc_format(t, again);
		ensure(utc_parse(again, &u) == 0);
		ensure(t.ns >= u.ns && t.ns - u.ns < NS_PER_MS); /* milliseconds are what is printed */
	}
	if (digest_parse(text, &d) == 0) {
		char again[DIGEST_TEXT_BYTES];
		digest_format(&d, again);
		ensure(strcmp(again, text) == 0);
	}
	ensure(parse_size(text, &bytes) < 0 || bytes <= INT64_MAX);
	ensure(parse_duration(text, &ns) < 0 || ns >= 0);
	ensure(parse_energy(text, &j) < 0 || j >= 0);
	const char *near = nearest_name(text, known, ARRAY_LEN(known));
	ensure(!near || strlen(near) * 3 <= strlen(text) * 4 + 3);
	if (complaints_init(&c, text) == 0) {
		complain(&c, 1, 1, "%s", text);
		ensure(c.n == 1);
		for (const char *p = c.item[0].text; *p; p++)
			ensure((unsigned char)*p >= 0x20 && *p != 0x7f);
		complaints_finish(&c);
	}
	free(text);
	return 0;
}
