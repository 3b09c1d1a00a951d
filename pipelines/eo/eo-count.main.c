/* SPDX-License-Identifier: Apache-2.0 */
/* Stage count: candidates, crops -> report. */
#include "program.h"

int main(void)
{
	struct eo_params params = program_params();
	struct eo_buf report = {0};
	char reason[EO_REASON_BYTES];
	size_t candidates_len, crops_len;
	const void *candidates = program_input("candidates", &candidates_len);
	const void *crops = program_input("crops", &crops_len);

	if (eo_stage_count(candidates, candidates_len, crops, crops_len, &params, &report, reason) < 0)
		perigee_fail("%s", reason);
	program_output("report", &report);
	return 0;
}
