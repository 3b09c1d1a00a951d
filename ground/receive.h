/* SPDX-License-Identifier: Apache-2.0 */
/* Between receive.c and its command. */
#ifndef GROUND_RECEIVE_H
#define GROUND_RECEIVE_H

#include "ground.h"

/* once_batches or once_runs reached, though the sender may not know yet. */
bool receive_reached(const struct receive *r);
/* Called after each datagram and timer. */
void receive_on_turn(struct receive *r, void (*on_turn)(void *user), void *user);

#endif
