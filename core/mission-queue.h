/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the mission file that is about the queue: `queue:` and `quotas:`. */
#ifndef CORE_MISSION_QUEUE_H
#define CORE_MISSION_QUEUE_H

#include "core/mission.h"
#include "core/yaml.h"

/* The defaults, then what the maps say; NULL: nothing. */
void mission_read_queue(struct mission *m, struct ynode *queue, struct ynode *quotas, struct complaints *c);

#endif
