/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of runs. Never change a step that has flown: append. */
#include "run-schema.h"

#include "core/macro.h"
#include "runs.h"

static const char *const schema[] = {
	"CREATE TABLE workflow_text(digest TEXT PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL);"
	"CREATE TABLE frame("
	" device TEXT NOT NULL, frame_id TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
	" time_ns INTEGER NOT NULL, PRIMARY KEY(device, frame_id)) WITHOUT ROWID;"
	"CREATE TABLE run("
	" id INTEGER PRIMARY KEY, workflow TEXT NOT NULL, digest TEXT NOT NULL, payload TEXT NOT NULL,"
	" priority INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, reason TEXT,"
	" created_ns INTEGER NOT NULL, ended_ns INTEGER, age_from_ns INTEGER NOT NULL, event TEXT NOT NULL);"
	"CREATE INDEX run_open ON run(id) WHERE state = 0;"
	"CREATE TABLE run_input("
	" run INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
	" PRIMARY KEY(run, name)) WITHOUT ROWID;"
	"CREATE TABLE run_stage("
	" run INTEGER NOT NULL, stage TEXT NOT NULL, position INTEGER NOT NULL, state INTEGER NOT NULL "
	"DEFAULT 0,"
	" reason TEXT, image TEXT NOT NULL, image_digest TEXT, attempts INTEGER NOT NULL DEFAULT 0,"
	" started_ns INTEGER, ended_ns INTEGER, wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER,"
	" PRIMARY KEY(run, stage)) WITHOUT ROWID;"
	"CREATE TABLE run_output("
	" run INTEGER NOT NULL, stage TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,"
	" bytes INTEGER NOT NULL, json TEXT, PRIMARY KEY(run, stage, name)) WITHOUT ROWID",

	/* The whole language. Digests are text everywhere, in columns named so: retention looks for them. */
	"ALTER TABLE run ADD COLUMN params TEXT;"         /* JSON object; NULL: none */
	"ALTER TABLE run ADD COLUMN deadline_ns INTEGER;" /* 0: none; NULL: of a run from before this step */
	"ALTER TABLE run ADD COLUMN phase INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE run ADD COLUMN outcome INTEGER;" /* the state that it will end in, once that is known */
	"ALTER TABLE run ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0;" /* 1: to be cancelled, 2: is being */
	"ALTER TABLE run ADD COLUMN order_text TEXT;"
	"ALTER TABLE run ADD COLUMN parent INTEGER;"
	"ALTER TABLE run ADD COLUMN parent_stage TEXT;"
	"ALTER TABLE run ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE run ADD COLUMN rerun_of INTEGER;"
	"ALTER TABLE run ADD COLUMN opened_ns INTEGER;"
	"ALTER TABLE run ADD COLUMN opened_mono_ns INTEGER;"
	"ALTER TABLE run ADD COLUMN boot TEXT;" /* in which the monotonic times of the run were taken */
	"CREATE INDEX run_pending ON run(workflow, id) WHERE state = 4;"
	"CREATE INDEX run_open_of ON run(workflow) WHERE state = 0;"
	"CREATE INDEX run_ordered ON run(id) WHERE ordered = 1;"
	"ALTER TABLE run_stage ADD COLUMN task INTEGER;"
	"ALTER TABLE run_stage ADD COLUMN ending INTEGER;" /* the state that an ordered end leads to */
	"ALTER TABLE run_stage ADD COLUMN ready_ns INTEGER;"
	"ALTER TABLE run_stage ADD COLUMN ready_mono_ns INTEGER;"
	"ALTER TABLE run_stage ADD COLUMN items INTEGER;"     /* of a foreach, once it is known */
	"ALTER TABLE run_stage ADD COLUMN next_item INTEGER;" /* elements before it were queued or left out */
	"ALTER TABLE run_stage ADD COLUMN child INTEGER;"     /* the run of `uses` */
	"ALTER TABLE run_stage ADD COLUMN from_run INTEGER;"  /* whose result was taken over */
	"ALTER TABLE run_stage ADD COLUMN approved_by TEXT;"
	"ALTER TABLE run_stage ADD COLUMN approved_ns INTEGER;"
	"CREATE TABLE run_item(" /* elements that were queued */
	" run INTEGER NOT NULL, stage TEXT NOT NULL, item INTEGER NOT NULL, value TEXT NOT NULL,"
	" state INTEGER NOT NULL, task INTEGER, reason TEXT, attempts INTEGER NOT NULL DEFAULT 0,"
	" started_ns INTEGER, ended_ns INTEGER, wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER,"
	" from_run INTEGER, PRIMARY KEY(run, stage, item)) WITHOUT ROWID;"
	"CREATE TABLE run_item_output("
	" run INTEGER NOT NULL, stage TEXT NOT NULL, item INTEGER NOT NULL, name TEXT NOT NULL,"
	" digest TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(run, stage, item, name)) WITHOUT ROWID;"
	"CREATE TABLE run_attempt(" /* those that were not the last */
	" run INTEGER NOT NULL, stage TEXT NOT NULL, item INTEGER NOT NULL, attempt INTEGER NOT NULL,"
	" ended_ns INTEGER NOT NULL, reason TEXT,"
	" PRIMARY KEY(run, stage, item, attempt)) WITHOUT ROWID;"
	"CREATE TABLE stage_cache("
	" key TEXT PRIMARY KEY, run INTEGER NOT NULL, stage TEXT NOT NULL, item INTEGER NOT NULL,"
	" used_ns INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX stage_cache_used ON stage_cache(used_ns);"
	"CREATE TABLE stage_cache_output("
	" key TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL, json TEXT,"
	" PRIMARY KEY(key, name)) WITHOUT ROWID;"
	"CREATE TABLE trigger_state("
	" workflow TEXT NOT NULL, trigger TEXT NOT NULL, last_ns INTEGER NOT NULL, next_ns INTEGER NOT NULL,"
	" PRIMARY KEY(workflow, trigger)) WITHOUT ROWID;"
	"CREATE INDEX run_output_digest ON run_output(digest);"
	"CREATE INDEX run_item_output_digest ON run_item_output(digest)",

	/* Orbit events that were told, the newest: one that is told again makes no runs. */
	"CREATE TABLE orbit_event("
	" id INTEGER PRIMARY KEY, event TEXT NOT NULL, place TEXT NOT NULL, time_ns INTEGER NOT NULL,"
	" UNIQUE(event, place, time_ns))",

	/* How many events in a row a run stands for that was never made; NULL: it is a run. */
	"ALTER TABLE run ADD COLUMN refused INTEGER",

	/* Retention: what refers to an artifact, which runs are inside another. run.ordered 3: it is being
	   removed. */
	"CREATE INDEX run_child ON run(parent) WHERE parent IS NOT NULL;"
	"CREATE INDEX run_text ON run(digest);"
	"CREATE INDEX run_input_digest ON run_input(digest);"
	"CREATE INDEX stage_cache_output_digest ON stage_cache_output(digest);"
	"CREATE INDEX frame_digest ON frame(digest)",
};

int runs_schema(struct store *store)
{
	return store_schema(store, "pipelines", schema, ARRAY_LEN(schema));
}

const char *run_state_name(int64_t state)
{
	static const char *const names[] = {"open", "done", "failed", "cancelled", "pending"};

	return state >= 0 && state < RUN_STATE_MAX ? names[state] : "unknown";
}

const char *stage_state_name(int64_t state)
{
	static const char *const names[] = {"waiting", "queued", "running", "done", "failed", "skipped",
		"retrying", "asking", "cancelled", "frozen"};

	return state >= 0 && state < STAGE_STATE_MAX ? names[state] : "unknown";
}
