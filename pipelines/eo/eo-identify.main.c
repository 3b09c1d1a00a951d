/* SPDX-License-Identifier: Apache-2.0 */
/* Stage identify: scene, mask -> candidates, crops. */
#include "program.h"

int main(void)
{
	struct eo_params params = program_params();
	struct eo_buf candidates = {0}, crops = {0};
	char reason[EO_REASON_BYTES];
	size_t scene_len, mask_len;
	const void *scene = program_input("scene", &scene_len), *mask = program_input("mask", &mask_len);

	if (eo_stage_identify(scene, scene_len, mask, mask_len, &params, &candidates, &crops, reason) < 0)
		perigee_fail("%s", reason);
	perigee_log("%zu bytes of candidates, %zu bytes of crops", candidates.len, crops.len);
	program_output("candidates", &candidates);
	program_output("crops", &crops);
	return 0;
}
