/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the mission file that is about the queue: `queue:`, `quotas:` and `energy:`. */
#ifndef CORE_MISSION_QUEUE_H
#define CORE_MISSION_QUEUE_H

#include "core/mission.h"
#include "core/yaml.h"

/* The defaults, then what the maps say; NULL: nothing. */
void mission_read_queue(struct mission *m, struct ynode *queue, struct ynode *quotas, struct complaints *c);
/* The same; before the quotas, which may ask for what stands here. The policy has been read. */
void mission_read_energy(struct mission *m, struct ynode *energy, struct complaints *c);

#endif
