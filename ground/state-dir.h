/* SPDX-License-Identifier: Apache-2.0 */
/* Where the commands look for a supervisor's state when --state is not given. */
#ifndef GROUND_STATE_DIR_H
#define GROUND_STATE_DIR_H

#define STATE_OF_RUNS "perigee-runs" /* of `perigee run`, in the current folder */
#define STATE_OF_FLIGHT "/var/lib/perigee"

/* `given`, else $PERIGEE_STATE, else ./perigee-runs if it is there, else /var/lib/perigee. Borrowed. */
const char *state_dir(const char *given);

#endif
