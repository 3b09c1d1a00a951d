/* SPDX-License-Identifier: Apache-2.0 */
/* Stage cloud: scene -> mask, report. */
#include "program.h"

int main(void)
{
	struct eo_params params = program_params();
	struct eo_buf mask = {0}, report = {0};
	char reason[EO_REASON_BYTES];
	size_t len;
	const void *scene = program_input("scene", &len);

	if (eo_stage_cloud(scene, len, &params, &mask, &report, reason) < 0)
		perigee_fail("%s", reason);
	perigee_log("%.*s", (int)report.len - 1, (const char *)report.data);
	program_output("mask", &mask);
	program_output("report", &report);
	return 0;
}
