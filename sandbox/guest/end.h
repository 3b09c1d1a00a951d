/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUEST_END_H
#define GUEST_END_H

#include "guest.h"

/* One line on the control port: order.h says which there are. */
void tell(const char *fmt, ...) PRINTF(1, 2);

#endif
