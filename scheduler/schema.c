/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's tables. A step that has flown never changes. */
#include "queue.h"

const char *const scheduler_schema[] = {
	"CREATE TABLE task("
	" id INTEGER PRIMARY KEY,"
	" run INTEGER NOT NULL,"
	" stage TEXT NOT NULL,"
	" payload TEXT NOT NULL,"
	" priority INTEGER NOT NULL,"
	" age_from_ns INTEGER NOT NULL,"
	" deadline_ns INTEGER NOT NULL,"
	" cpus_milli INTEGER NOT NULL,"
	" memory_bytes INTEGER NOT NULL,"
	" retry_limit INTEGER NOT NULL,"
	" backoff_ns INTEGER NOT NULL,"
	" not_before_ns INTEGER NOT NULL DEFAULT 0,"
	" state INTEGER NOT NULL DEFAULT 0,"
	" attempts INTEGER NOT NULL DEFAULT 0,"
	" interrupted INTEGER NOT NULL DEFAULT 0,"
	" tries_failed INTEGER NOT NULL DEFAULT 0,"
	" started_ns INTEGER, ended_ns INTEGER,"
	" reason TEXT,"
	" wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER);"
	"CREATE INDEX task_ready ON task(priority DESC, age_from_ns, id) WHERE state = 0;"
	"CREATE INDEX task_deadline ON task(deadline_ns) WHERE state = 0 AND deadline_ns > 0;"
	"CREATE INDEX task_backoff ON task(not_before_ns) WHERE state = 0 AND not_before_ns > 0;"
	"CREATE INDEX task_running ON task(id) WHERE state = 1;"
	"CREATE INDEX task_of_run ON task(run)",

	"ALTER TABLE task ADD COLUMN machine_failed INTEGER NOT NULL DEFAULT 0",

	"CREATE TABLE lane("
	" id INTEGER PRIMARY KEY, payload TEXT NOT NULL, workflow TEXT NOT NULL, UNIQUE(payload, workflow));"
	/* Attempts that were not the last of their task. */
	"CREATE TABLE attempt("
	" task INTEGER NOT NULL, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT,"
	" started_ns INTEGER, ended_ns INTEGER, wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER,"
	" PRIMARY KEY(task, attempt)) WITHOUT ROWID;"
	"CREATE TABLE payload_usage("
	" payload TEXT NOT NULL, day INTEGER NOT NULL, cpu_ns INTEGER NOT NULL,"
	" PRIMARY KEY(payload, day)) WITHOUT ROWID;"
	/* What must be known of the process before: rules that are in the tasks' ranks, the boot it ran in.
	 */
	"CREATE TABLE queue_fact(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
	"ALTER TABLE task ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN due_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN waits_from_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN time_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN suspected INTEGER NOT NULL DEFAULT 0;"   /* ends that count as poison */
	"ALTER TABLE task ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;"      /* enum choice */
	"ALTER TABLE task ADD COLUMN chosen_over INTEGER NOT NULL DEFAULT 0;" /* a task, 0: none waited */
	"ALTER TABLE task ADD COLUMN item INTEGER NOT NULL DEFAULT -1;"
	"ALTER TABLE task ADD COLUMN retry_on INTEGER NOT NULL DEFAULT 1;" /* bits of enum task_class */
	"ALTER TABLE task ADD COLUMN max_backoff_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN jitter REAL NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN energy_mj INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN body BLOB;"
	"INSERT INTO lane(payload, workflow) SELECT DISTINCT payload, '' FROM task;"
	"UPDATE task SET lane = (SELECT id FROM lane WHERE lane.payload = task.payload),"
	" due_ns = CASE WHEN deadline_ns > 0 THEN deadline_ns ELSE 9223372036854775807 END,"
	" waits_from_ns = max(age_from_ns, 0),"
	" blocked = CASE WHEN state = 0 AND not_before_ns > 0 THEN 4 ELSE 0 END;"
	"DROP INDEX task_ready; DROP INDEX task_backoff;"
	"CREATE INDEX task_order ON task(lane, rank, due_ns, age_from_ns, id) WHERE state = 0 AND blocked = "
	"0;"
	"CREATE INDEX task_backoff ON task(not_before_ns) WHERE state = 0 AND not_before_ns > 0;"
	"CREATE INDEX task_condemned ON task(id) WHERE state = 0 AND blocked >= 8;"
	"CREATE INDEX task_suspected ON task(id) WHERE state = 0 AND suspected > 0;"
	"CREATE INDEX task_over ON task(id) WHERE state >= 2",

	/* What operators have ordered: orders.c, commands.c. */
	"CREATE TABLE queue_order("
	" scope INTEGER NOT NULL, target INTEGER NOT NULL, name TEXT NOT NULL,"
	" hold INTEGER NOT NULL, priority INTEGER NOT NULL, PRIMARY KEY(scope, target, name)) WITHOUT ROWID;"
	"CREATE TABLE queue_sweep("
	" id INTEGER PRIMARY KEY, cancels INTEGER NOT NULL, scope INTEGER NOT NULL, name TEXT NOT NULL,"
	" next INTEGER NOT NULL, last INTEGER NOT NULL, why TEXT NOT NULL);"
	"CREATE TABLE lane_new("
	" id INTEGER PRIMARY KEY, payload TEXT NOT NULL, workflow TEXT NOT NULL,"
	" exempt INTEGER NOT NULL DEFAULT 0, UNIQUE(payload, workflow, exempt));"
	"INSERT INTO lane_new(id, payload, workflow) SELECT id, payload, workflow FROM lane;"
	"DROP TABLE lane; ALTER TABLE lane_new RENAME TO lane;"
	"ALTER TABLE task ADD COLUMN declared INTEGER NOT NULL DEFAULT 0;" /* the priority it was put with */
	"UPDATE task SET declared = priority",

	"CREATE INDEX task_blocked ON task(id) WHERE state = 0 AND blocked > 0",

	/* What payloads have used of their quotas, and all of them together (payload ''), in the slices of
	 * time that they are given for: usage.c. */
	"CREATE TABLE usage("
	" payload TEXT NOT NULL, span INTEGER NOT NULL, slice INTEGER NOT NULL,"
	" cpu_ns INTEGER NOT NULL, energy_mj INTEGER NOT NULL,"
	" PRIMARY KEY(payload, span, slice)) WITHOUT ROWID;"
	"INSERT INTO usage SELECT payload, 0, day, cpu_ns, 0 FROM payload_usage;"
	"DROP TABLE payload_usage",
};
const size_t scheduler_schema_steps = ARRAY_LEN(scheduler_schema);
