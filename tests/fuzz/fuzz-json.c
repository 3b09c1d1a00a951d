/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken prints, and the print is taken again and prints the same. A mistake has a place in the text.
 */
#include <string.h>

#include "core/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cJSON *json = NULL;
	int line = 0, column = 0;
	int r = json_parse((const char *)data, len, 1u << 20, &json, &line, &column);

	if (r < 0) {
		ensure(!json);
		ensure(r == ERR_LIMIT || r == ERR_FORMAT);
		ensure(r != ERR_FORMAT || (line >= 1 && column >= 1 && (size_t)(line + column) <= len + 2));
		return 0;
	}
	char *once = cJSON_PrintUnformatted(json);
	ensure(once);
	cJSON *again = NULL;
	ensure(json_parse(once, strlen(once), SIZE_MAX, &again, NULL, NULL) == 0);
	char *twice = cJSON_PrintUnformatted(again);
	ensure(twice && strcmp(once, twice) == 0);
	(void)json_str(json, "a");
	int64_t i = json_int(json, "a", 1);
	ensure(i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53);
	cJSON_free(once);
	cJSON_free(twice);
	cJSON_Delete(json);
	cJSON_Delete(again);
	return 0;
}
