/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "devices.h"
#include "iio-device.h"

const struct device_driver *device_driver_find(const char *name)
{
	static const struct device_driver *const drivers[] = {&iio_driver};

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}
