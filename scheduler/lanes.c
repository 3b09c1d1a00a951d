/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "queue.h"

static int find_payload(struct scheduler *s, const char *name, size_t *ret_payload)
{
	for (size_t i = 0; i < s->n_payloads; i++) {
		if (strcmp(s->payloads[i].name, name))
			continue;
		*ret_payload = i;
		return 0;
	}
	if (s->n_payloads == s->cap_payloads) {
		size_t cap = s->cap_payloads ? 2 * s->cap_payloads : 4;
		struct payload *grown = reallocarray(s->payloads, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->payloads = grown;
		s->cap_payloads = cap;
	}
	struct payload *p = &s->payloads[s->n_payloads];
	*p = (struct payload){.quota = quota_of(s, name)};
	snprintf(p->name, sizeof(p->name), "%s", name);
	int r = usage_load(s, p);
	if (r == 0)
		*ret_payload = s->n_payloads++;
	return r;
}

static int add_lane(struct scheduler *s, int64_t id, const char *payload, const char *workflow, bool exempt,
	size_t *ret_lane)
{
	size_t p = 0;
	int r = find_payload(s, payload, &p);

	if (r < 0)
		return r;
	if (s->n_lanes == s->cap_lanes) {
		size_t cap = s->cap_lanes ? 2 * s->cap_lanes : 8;
		struct lane *grown = reallocarray(s->lanes, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->lanes = grown;
		s->cap_lanes = cap;
	}
	struct lane *l = &s->lanes[s->n_lanes];
	*l = (struct lane){.id = id, .payload = p, .exempt = exempt};
	snprintf(l->workflow, sizeof(l->workflow), "%s", workflow);
	l->held = !exempt && order_holds_lane(s, l);
	*ret_lane = s->n_lanes++;
	return 0;
}

int lanes_load(struct scheduler *s)
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT id, payload, workflow, exempt FROM lane ORDER BY id", "");
	int rc = SQLITE_ERROR;
	size_t lane;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int r = add_lane(s, sqlite3_column_int64(q, 0), (const char *)sqlite3_column_text(q, 1),
			(const char *)sqlite3_column_text(q, 2), sqlite3_column_int(q, 3) != 0, &lane);
		if (r < 0)
			return r;
	}
	if (rc != SQLITE_DONE)
		return ERR_STORE;
	q = store_query(s->store, "SELECT lane, state, count(*) FROM task GROUP BY lane, state", "");
	rc = SQLITE_ERROR;
	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t state = sqlite3_column_int64(q, 1), n = sqlite3_column_int64(q, 2);
		lane = lane_of_id(s, sqlite3_column_int64(q, 0));
		if (state < 0 || state >= TASK_STATE_MAX || lane == s->n_lanes)
			return ERR_STORE;
		s->counts[state] += n;
		if (state == TASK_READY) {
			s->lanes[lane].waiting += (uint64_t)n;
			s->payloads[s->lanes[lane].payload].waiting += (uint64_t)n;
		}
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

void lanes_free(struct scheduler *s)
{
	free(s->lanes);
	free(s->payloads);
}

static bool is_lane(
	const struct scheduler *s, size_t i, const char *payload, const char *workflow, bool exempt)
{
	return s->lanes[i].exempt == exempt && !strcmp(s->lanes[i].workflow, workflow) &&
	       !strcmp(s->payloads[s->lanes[i].payload].name, payload);
}

int lane_get(struct scheduler *s, const char *payload, const char *workflow, bool exempt, size_t *ret_lane)
{
	if (s->last_lane < s->n_lanes && is_lane(s, s->last_lane, payload, workflow, exempt)) {
		*ret_lane = s->last_lane;
		return 0;
	}
	for (size_t i = 0; i < s->n_lanes; i++) {
		if (!is_lane(s, i, payload, workflow, exempt))
			continue;
		*ret_lane = s->last_lane = i;
		return 0;
	}
	if (s->n_lanes == LANES_MAX || strlen(payload) >= TASK_PAYLOAD_BYTES ||
		strlen(workflow) >= TASK_WORKFLOW_BYTES)
		return ERR_LIMIT;
	int r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store, "INSERT INTO lane(payload, workflow, exempt) VALUES(?, ?, ?)", "tti",
			payload, workflow, (int64_t)exempt);
	if (r == 0)
		r = add_lane(s, sqlite3_last_insert_rowid(store_db(s->store)), payload, workflow, exempt,
			ret_lane);
	return r;
}

size_t lane_of_id(const struct scheduler *s, int64_t id)
{
	/* They are numbered from 1 and never removed. */
	if (id >= 1 && (uint64_t)id <= s->n_lanes && s->lanes[id - 1].id == id)
		return (size_t)id - 1;
	size_t i = 0;
	while (i < s->n_lanes && s->lanes[i].id != id)
		i++;
	return i;
}

bool candidate_before(const struct candidate *a, const struct candidate *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank;
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	if (a->age_ns != b->age_ns)
		return a->age_ns < b->age_ns;
	return a->task.id < b->task.id;
}

void candidate_read(struct scheduler *s, sqlite3_stmt *q, struct candidate *ret)
{
	*ret = (struct candidate){
		.task = {.id = sqlite3_column_int64(q, 0),
			.run = sqlite3_column_int64(q, 1),
			.priority = (uint8_t)sqlite3_column_int64(q, 3),
			.cpus_milli = (uint32_t)sqlite3_column_int64(q, 4),
			.memory_bytes = (uint64_t)sqlite3_column_int64(q, 5),
			.time_ns = sqlite3_column_int64(q, 6),
			.attempt = (uint32_t)sqlite3_column_int64(q, 7) + 1},
		.rank = sqlite3_column_int64(q, 8),
		.due_ns = sqlite3_column_int64(q, 9),
		.age_ns = sqlite3_column_int64(q, 10),
		.deadline_ns = sqlite3_column_int64(q, 11),
		.lane = lane_of_id(s, sqlite3_column_int64(q, 12)),
	};
	ensure(ret->lane < s->n_lanes);
	ret->task.item = sqlite3_column_int64(q, 13);
	ret->suspected = sqlite3_column_int64(q, 14) > 0;
	ret->energy_mj = (uint64_t)sqlite3_column_int64(q, 15);
	snprintf(ret->task.stage, sizeof(ret->task.stage), "%s", (const char *)sqlite3_column_text(q, 2));
	const struct lane *l = &s->lanes[ret->lane];
	memcpy(ret->task.workflow, l->workflow, sizeof(l->workflow));
	memcpy(ret->task.payload, s->payloads[l->payload].name, sizeof(ret->task.payload));
}

int lane_after(
	struct scheduler *s, size_t lane, const struct candidate *after, struct candidate *ret, size_t cap)
{
	sqlite3_stmt *q = after ? store_query(s->store,
					  "SELECT " CANDIDATE_COLUMNS " FROM task INDEXED BY task_order"
					  " WHERE lane = ? AND state = 0 AND blocked = 0"
					  " AND (rank, due_ns, age_from_ns, id) > (?, ?, ?, ?)"
					  " ORDER BY rank, due_ns, age_from_ns, id LIMIT ?",
					  "iiiiii", s->lanes[lane].id, after->rank, after->due_ns,
					  after->age_ns, after->task.id, (int64_t)cap)
				: store_query(s->store,
					  "SELECT " CANDIDATE_COLUMNS " FROM task INDEXED BY task_order"
					  " WHERE lane = ? AND state = 0 AND blocked = 0"
					  " ORDER BY rank, due_ns, age_from_ns, id LIMIT ?",
					  "ii", s->lanes[lane].id, (int64_t)cap);
	size_t n = 0;
	int rc = SQLITE_ERROR;

	while (q && n < cap && (rc = sqlite3_step(q)) == SQLITE_ROW)
		candidate_read(s, q, &ret[n++]);
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? (int)n : ERR_STORE;
}

int lane_ahead(struct scheduler *s, size_t lane, const struct candidate *c, int64_t most)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_order"
		" WHERE lane = ? AND state = 0 AND blocked = 0 AND (rank, due_ns, age_from_ns, id) < (?, ?, "
		"?, ?)"
		" LIMIT ?)",
		"iiiiii", s->lanes[lane].id, c->rank, c->due_ns, c->age_ns, c->task.id, most);
	int n = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int(q, 0) : ERR_STORE;

	if (q)
		sqlite3_reset(q);
	return n;
}

int lane_head(struct scheduler *s, size_t lane, struct candidate **ret_head)
{
	struct lane *l = &s->lanes[lane];

	if (!l->known) {
		int n = lane_after(s, lane, NULL, &l->head, 1);
		if (n < 0)
			return n;
		l->known = true;
		l->empty = n == 0;
	}
	*ret_head = &l->head;
	return l->empty ? 0 : 1;
}

void lane_forget(struct scheduler *s, size_t lane)
{
	s->lanes[lane].known = false;
	s->dirty = true;
}
