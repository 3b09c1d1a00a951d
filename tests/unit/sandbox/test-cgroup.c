/* SPDX-License-Identifier: Apache-2.0 */
/* Which hierarchy is used for which controller, on machines that we do not have here too. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cgroup-find.h"

static const char *controllers;
static char reason[256];

static void unified(const char *mount, char *ret_text, size_t cap)
{
	snprintf(ret_text, cap, "%s", controllers);
}

static int find(const char *text, struct cgroups *ret)
{
	char *copy = strdup(text);
	int err;

	assert_non_null(copy);
	reason[0] = '\0';
	err = cgroup_find_in(copy, unified, ret, reason, sizeof(reason));
	free(copy);
	return err;
}

static void assert_tree(const struct cgroups *g, enum cgroup_controller c, const char *path, bool v2)
{
	const struct cgroup_tree *t = &g->tree[g->tree_of[c]];

	assert_string_equal(t->path, path);
	assert_int_equal(t->v2, v2);
}

static void test_version_2(void **state)
{
	struct cgroups g;

	controllers = "cpuset cpu io memory hugetlb pids rdma misc\n";
	assert_int_equal(
		find("22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
		     "28 22 0:25 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
			&g),
		0);
	assert_int_equal(g.n_trees, 1);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		assert_tree(&g, (enum cgroup_controller)c, "/sys/fs/cgroup", true);
	assert_int_equal(g.freezer, 0);
}

static void test_hybrid(void **state)
{
	struct cgroups g;

	/* cpu and cpuacct together, as systemd has it; version 2 mounted, but without controllers. */
	controllers = "\n";
	assert_int_equal(
		find("28 22 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		     "29 22 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
		     "30 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n"
		     "31 22 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		     "32 22 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
			&g),
		0);
	assert_int_equal(g.n_trees, 4);
	assert_tree(&g, CGROUP_CPU, "/sys/fs/cgroup/cpu,cpuacct", false);
	assert_tree(&g, CGROUP_CPUACCT, "/sys/fs/cgroup/cpu,cpuacct", false);
	assert_tree(&g, CGROUP_MEMORY, "/sys/fs/cgroup/memory", false);
	assert_tree(&g, CGROUP_PIDS, "/sys/fs/cgroup/pids", false);
	/* Version 2 without any controller still freezes. */
	assert_string_equal(g.tree[g.freezer].path, "/sys/fs/cgroup/unified");
	assert_int_equal(g.tree[g.freezer].controllers, 0);
}

static void test_version_1(void **state)
{
	static const char text[] = "30 22 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
				   "31 22 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n"
				   "32 22 0:29 / /cg/pids rw - cgroup cgroup rw,pids\n"
				   "33 22 0:30 / /cg/freezer rw - cgroup cgroup rw,freezer\n";
	struct cgroups g;

	controllers = "";
	assert_int_equal(find(text, &g), 0);
	assert_int_equal(g.freezer, 3);
	assert_string_equal(g.tree[3].path, "/cg/freezer");
	assert_false(g.tree[3].v2);
	/* Nowhere to freeze. */
	assert_int_equal(find("30 22 0:27 / /cg/all rw - cgroup cgroup rw,cpu,cpuacct,memory,pids\n", &g), 0);
	assert_int_equal(g.freezer, CGROUP_NO_TREE);
	assert_int_equal(cgroup_freeze(&g, &(struct cgroup){0}, true), -EOPNOTSUPP);
}

static void test_mixed(void **state)
{
	struct cgroups g;

	/* Memory alone in version 1. */
	controllers = "cpu pids\n";
	assert_int_equal(find("28 22 0:25 / /cg2 rw - cgroup2 cgroup2 rw\n"
			      "31 22 0:28 / /cg1/memory rw - cgroup cgroup rw,memory\n",
				 &g),
		0);
	assert_tree(&g, CGROUP_CPU, "/cg2", true);
	assert_tree(&g, CGROUP_CPUACCT, "/cg2", true);
	assert_tree(&g, CGROUP_PIDS, "/cg2", true);
	assert_tree(&g, CGROUP_MEMORY, "/cg1/memory", false);
	assert_string_equal(g.tree[g.freezer].path, "/cg2");
	/* Only what is there is handed down. */
	assert_int_equal(
		g.tree[g.freezer].controllers, 1 << CGROUP_CPU | 1 << CGROUP_CPUACCT | 1 << CGROUP_PIDS);
}

static void test_missing(void **state)
{
	struct cgroups g;

	controllers = "cpu memory\n";
	assert_int_equal(find("28 22 0:25 / /cg2 rw - cgroup2 cgroup2 rw\n", &g), ERR_SANDBOX);
	assert_non_null(strstr(reason, "\"pids\""));
	/* Names within names are not taken for them, nor a part that is mounted elsewhere. */
	controllers = "cpuset pidsx xmemory\n";
	assert_int_equal(find("28 22 0:25 / /cg2 rw - cgroup2 cgroup2 rw\n", &g), ERR_SANDBOX);
	controllers = "cpu memory pids\n";
	assert_int_equal(find("28 22 0:25 /a /cg2 rw - cgroup2 cgroup2 rw\n", &g), ERR_SANDBOX);
	assert_int_equal(find("", &g), ERR_SANDBOX);
	assert_int_equal(find("garbage\n - \n - cgroup\n1 2 3 4 5 - cgroup2\n", &g), ERR_SANDBOX);
}

static void test_owner(void **state)
{
	char a[64], b[64];

	assert_int_equal(cgroup_owner_name(getpid(), a, sizeof(a)), 0);
	assert_int_equal(cgroup_owner_name(getpid(), b, sizeof(b)), 0);
	assert_string_equal(a, b);
	assert_int_equal(strtol(a, NULL, 10), getpid());
	assert_int_equal(cgroup_owner_name(0x7fffffff, a, sizeof(a)), ERR_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_hybrid),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
