/* SPDX-License-Identifier: Apache-2.0 */
/* The policy file: which devices there are, and which payload may do what with them. What is not granted is
 * denied. */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include "core/complain.h"
#include "devices.h"

#define POLICY_DEVICES_MAX 32
#define POLICY_GRANTS_MAX 256
#define POLICY_TIMEOUT_DEFAULT_NS (INT64_C(20) * NS_PER_S)
#define POLICY_TIMEOUT_MAX_NS (INT64_C(3600) * NS_PER_S)

enum policy_operation { POLICY_CAPTURE, POLICY_READ, POLICY_OPERATION_MAX };
extern const char *const policy_operation_names[POLICY_OPERATION_MAX];

struct policy_grant {
	char payload[DEVICE_NAME_BYTES];
	size_t device;       /* index */
	uint32_t operations; /* bit mask */
};

struct policy {
	char name[DEVICE_NAME_BYTES];
	struct device_spec devices[POLICY_DEVICES_MAX];
	struct device_uri
		uris[POLICY_DEVICES_MAX]; /* of the device with the same index; path borrows from it */
	size_t n_devices;
	struct policy_grant grants[POLICY_GRANTS_MAX];
	size_t n_grants;
};

/* Reads and checks the whole file. ERR_CHECKED with the complaints made, -ENOMEM. The caller frees it. */
WARN_UNUSED int policy_load(const char *path, struct complaints *c, struct policy **ret_policy);
void policy_destroy(struct policy *p);

/* The device's index, or ERR_UNKNOWN. */
WARN_UNUSED int policy_device(const struct policy *p, const char *name);
bool policy_allows(const struct policy *p, const char *payload, size_t device, enum policy_operation op);

#endif
