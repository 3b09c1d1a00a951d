/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "broker-policy.h"
#include "core/yaml.h"

const char *const policy_operation_names[POLICY_OPERATION_MAX] = {
	[POLICY_CAPTURE] = "capture",
	[POLICY_READ] = "read",
};

/* Which of these names is it? Complains with the nearest one. */
static bool one_of(struct complaints *c, const struct ynode *n, const char *const *names, size_t n_names,
	size_t *ret_index)
{
	char list[256] = "";
	const char *text;

	if (!y_text(c, n, &text))
		return false;
	for (size_t i = 0; i < n_names; i++) {
		size_t len = strlen(list);

		if (strcmp(text, names[i]) == 0) {
			*ret_index = i;
			return true;
		}
		snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", names[i]);
	}
	const char *near = nearest_name(text, names, n_names);
	if (near)
		y_complain(c, n, "expected one of %s, found \"%s\": did you mean \"%s\"?", list, text, near);
	else
		y_complain(c, n, "expected one of %s, found \"%s\"", list, text);
	return false;
}

static bool bounded_text(struct complaints *c, const struct ynode *n, char *ret_text, size_t cap)
{
	const char *text;

	if (!y_text(c, n, &text))
		return false;
	if (!*text || strlen(text) >= cap) {
		y_complain(c, n, "expected 1 to %zu bytes, found %zu", cap - 1, strlen(text));
		return false;
	}
	snprintf(ret_text, cap, "%s", text);
	return true;
}

static void check_uri(
	struct complaints *c, const struct ynode *n, struct device_spec *d, struct device_uri *ret_uri)
{
	const char *expected;

	if (bounded_text(c, n, d->uri, sizeof(d->uri)) && device_uri_parse(d->uri, ret_uri, &expected) < 0)
		y_complain(c, n, "expected %s, found \"%s\"", expected, d->uri);
}

static void check_device(struct complaints *c, struct ynode *n, struct policy *p)
{
	static const char *const keys[] = {"class", "driver", "uri", "device", "timeout"};
	struct ynode named = *n;
	const char *name;
	size_t index;

	/* The key is a name of ours: checked as if it were a value, at its own place. */
	named.kind = YNODE_SCALAR;
	named.text = n->key;
	named.line = n->key_line;
	named.column = n->key_column;
	named.key = NULL;
	if (!y_name(c, &named, &name) || !y_is(c, n, YNODE_MAP))
		return;
	if (p->n_devices == POLICY_DEVICES_MAX) {
		y_complain(c, n, "more than %d devices", POLICY_DEVICES_MAX);
		return;
	}
	struct device_spec *d = &p->devices[p->n_devices];
	struct device_uri *uri = &p->uris[p->n_devices];
	p->n_devices++;
	snprintf(d->name, sizeof(d->name), "%s", name);

	if (one_of(c, y_need(c, n, "class"), device_class_names, DEVICE_CLASS_MAX, &index))
		d->class = (enum device_class)index;
	if (one_of(c, y_need(c, n, "driver"), device_driver_names, device_driver_names_n, &index))
		d->driver = device_driver_names[index];
	check_uri(c, y_need(c, n, "uri"), d, uri);
	(void)bounded_text(c, y_need(c, n, "device"), d->device, sizeof(d->device));
	d->timeout_ns = POLICY_TIMEOUT_DEFAULT_NS;
	struct ynode *timeout = y_get(n, "timeout");
	if (timeout && y_duration(c, timeout, POLICY_TIMEOUT_MAX_NS, &d->timeout_ns) &&
		d->timeout_ns < 10 * NS_PER_MS)
		y_complain(c, timeout, "expected at least 10ms, found \"%s\"", timeout->text);
	y_no_others(c, n, keys, ARRAY_LEN(keys));
}

static uint32_t check_operations(struct complaints *c, struct ynode *n, const struct device_spec *d)
{
	uint32_t mask = 0;

	if (!n || !y_is(c, n, YNODE_SEQ))
		return 0;
	if (n->n == 0)
		y_complain(c, n, "expected at least one operation");
	for (struct ynode *o = n->first; o; o = o->next) {
		size_t op;

		if (!one_of(c, o, policy_operation_names, POLICY_OPERATION_MAX, &op))
			continue;
		if (mask & 1u << op)
			y_complain(c, o, "\"%s\" is here twice", policy_operation_names[op]);
		if (op == POLICY_CAPTURE && d && d->class != DEVICE_CAMERA)
			y_complain(c, o, "\"%s\" is no camera: it cannot be granted capture", d->name);
		mask |= 1u << op;
	}
	return mask;
}

static void check_grant(struct complaints *c, struct ynode *n, struct policy *p)
{
	static const char *const keys[] = {"payload", "device", "operations"};
	const char *payload = NULL, *device = NULL;
	int index = ERR_UNKNOWN;

	if (!y_is(c, n, YNODE_MAP))
		return;
	struct ynode *device_node = y_need(c, n, "device");
	bool named = y_name(c, y_need(c, n, "payload"), &payload);
	if (y_name(c, device_node, &device)) {
		index = policy_device(p, device);
		if (index < 0) {
			const char *names[POLICY_DEVICES_MAX];
			for (size_t i = 0; i < p->n_devices; i++)
				names[i] = p->devices[i].name;
			const char *near = nearest_name(device, names, p->n_devices);
			if (near)
				y_complain(c, device_node,
					"expected a device of this policy, found \"%s\": did you mean "
					"\"%s\"?",
					device, near);
			else
				y_complain(c, device_node, "expected a device of this policy, found \"%s\"",
					device);
		}
	}
	uint32_t operations =
		check_operations(c, y_need(c, n, "operations"), index < 0 ? NULL : &p->devices[index]);
	y_no_others(c, n, keys, ARRAY_LEN(keys));
	if (!named || index < 0)
		return;

	for (size_t i = 0; i < p->n_grants; i++) {
		if (p->grants[i].device == (size_t)index && strcmp(p->grants[i].payload, payload) == 0)
			y_complain(c, n, "%s has a grant for %s already: put the operations together",
				payload, device);
	}
	if (p->n_grants == POLICY_GRANTS_MAX) {
		y_complain(c, n, "more than %d grants", POLICY_GRANTS_MAX);
		return;
	}
	struct policy_grant *g = &p->grants[p->n_grants++];
	snprintf(g->payload, sizeof(g->payload), "%s", payload);
	g->device = (size_t)index;
	g->operations = operations;
}

static void check(struct complaints *c, struct ynode *root, struct policy *p)
{
	static const char *const keys[] = {"perigee", "policy", "devices", "grants"};
	const char *text;

	if (!y_is(c, root, YNODE_MAP))
		return;
	struct ynode *version = y_need(c, root, "perigee");
	if (y_text(c, version, &text) && strcmp(text, "v1") != 0)
		y_complain(c, version, "expected \"v1\", found \"%s\"", text);
	if (y_name(c, y_need(c, root, "policy"), &text))
		snprintf(p->name, sizeof(p->name), "%s", text);
	struct ynode *devices = y_need(c, root, "devices");
	if (devices && y_is(c, devices, YNODE_MAP)) {
		for (struct ynode *n = devices->first; n; n = n->next)
			check_device(c, n, p);
	}
	struct ynode *grants = y_need(c, root, "grants");
	if (grants && y_is(c, grants, YNODE_SEQ)) {
		for (struct ynode *n = grants->first; n; n = n->next)
			check_grant(c, n, p);
	}
	y_no_others(c, root, keys, ARRAY_LEN(keys));
}

int policy_load(const char *path, struct complaints *c, struct policy **ret_policy)
{
	struct policy *p = calloc(1, sizeof(*p));
	struct stat st;

	if (!p)
		return -ENOMEM;
	/* A policy that anybody may write grants everything. */
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
		complain(c, 0, 0, "everybody may write this file: expected at most mode 0664");
	struct ynode *root = yaml_load(path, c);
	if (root)
		check(c, root, p);
	yaml_destroy(root);
	if (c->total > 0) {
		policy_destroy(p);
		return ERR_CHECKED;
	}
	*ret_policy = p;
	return 0;
}

void policy_destroy(struct policy *p)
{
	free(p);
}

int policy_device(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_devices; i++) {
		if (strcmp(p->devices[i].name, name) == 0)
			return (int)i;
	}
	return ERR_UNKNOWN;
}

bool policy_allows(const struct policy *p, const char *payload, size_t device, enum policy_operation op)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];

		if (g->device == device && (g->operations & 1u << op) && strcmp(g->payload, payload) == 0)
			return true;
	}
	return false;
}
