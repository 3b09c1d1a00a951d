/* SPDX-License-Identifier: Apache-2.0 */
/* Mission files and policies: the same bytes to both; each takes them or complains. */
#include <fcntl.h>
#include <string.h>

#include "broker-policy.h"
#include "core/file.h"
#include "core/mission.h"
#include "fuzz.h"

static const char *as_file(const uint8_t *data, size_t len)
{
	static char path[64];

	/* The readers take a path: relative names in the file start from its folder. */
	snprintf(path, sizeof(path), "/tmp/perigee-fuzz.%d", (int)getpid());
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ensure(fd >= 0 && write_all(fd, data, len) == 0);
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *path = as_file(data, len);
	struct mission *m = NULL;
	struct policy *p = NULL;
	struct complaints c;

	if (complaints_init(&c, "f") < 0)
		return 0;
	int r = mission_load(path, &c, &m);
	ensure((r == 0) == (c.total == 0));
	if (r == 0)
		ensure(m->images && m->name[0] && m->budget.tasks >= 1 && m->budget.tasks <= 64 &&
			m->budget.cpus_milli > 0);
	mission_destroy(m);
	complaints_finish(&c);
	if (complaints_init(&c, "f") < 0)
		return 0;
	r = policy_load(path, &c, &p);
	ensure((r == 0) == (c.total == 0));
	if (r == 0)
		for (size_t i = 0; i < p->n_grants; i++)
			ensure(p->grants[i].device < p->n_devices && p->grants[i].operations);
	policy_destroy(p);
	complaints_finish(&c);
	unlink(path);
	return 0;
}
