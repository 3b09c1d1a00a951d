/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random workflows (lists, retries, caches, conditions, approvals, workflows inside, handlers, timeouts) go
 * through random turns: ends in any order, time, decisions, cancellations, and the power goes at any moment.
 * Whatever happens, by what is committed: nothing that is settled changes or runs again, states follow each
 * other as they may, nothing begins before what it needs, outputs of what is done are there, and every run
 * comes to an end that its stages account for.
 *
 *   PERIGEE_SEEDS=FROM-TO test-runs-random      other workflows than the usual ones
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "mission-bench.h"
#include "stage-run.h"

#define STAGES_MAX 6
#define STEPS 120
#define CUTS_MAX 8
#define FACTS_MAX 2048

static uint64_t random_state;

/* 0 <= x < n (splitmix64). */
static unsigned any(unsigned n)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (unsigned)((z ^ (z >> 31)) >> 11) % n;
}

static bool once_in(unsigned n)
{
	return any(n) == 0;
}

/* ---- a workflow ---- */

static struct {
	unsigned n;
	unsigned needs[STAGES_MAX]; /* bits */
	bool list[STAGES_MAX], inside[STAGES_MAX], goes_on[STAGES_MAX];
	char text[4096], inner[2048];
} plan;

static void put(char *text, size_t cap, const char *fmt, ...) PRINTF(3, 4);
static void put(char *text, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text + len, cap - len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < cap - len);
}

#define PUT(...) put(plan.text, sizeof(plan.text), __VA_ARGS__)

static void put_behaviour(char *text, size_t cap, const char *out)
{
	static const struct {
		const char *arg, *retry;
	} ways[] = {{"exit=75@1", ", retry: {limit: 2, backoff: 1s}"}, {"exit=75@2", ", retry: {limit: 1}"},
		{"exit=3", ""}, {"end=memory@1", ", retry: {limit: 1, on: [memory]}"}, {"end=machine@1", ""},
		{"end=broke@1", ""}};

	if (once_in(2)) {
		put(text, cap, ", args: ['%s']", out);
	} else {
		unsigned way = any(ARRAY_LEN(ways));
		put(text, cap, ", args: ['%s', %s]%s", out, ways[way].arg, ways[way].retry);
	}
	put(text, cap, ", outputs: {z: 8B, r: {max: 64B, type: json}}");
}

/* An earlier stage that is not a workflow; none: n. */
static unsigned some_source(unsigned i, bool plain)
{
	for (unsigned tries = 0; i > 0 && tries < 4; tries++) {
		unsigned j = any(i);
		if (!plan.inside[j] && !(plain && plan.list[j]))
			return j;
	}
	return STAGES_MAX;
}

static void put_inner_stage(unsigned i)
{
	static const char *const ends[] = {"on_failure: fail", "on_failure: continue", "timeout: 40s"};
	unsigned way = any(4);

	PUT("  s%u: {uses: v", i);
	plan.inside[i] = true;
	if (way < 3)
		PUT(", %s", ends[way]);
	plan.goes_on[i] = way == 1;
	if (i > 0 && once_in(2)) {
		unsigned j = any(i);
		plan.needs[i] |= 1u << j;
		PUT(", needs: [s%u]", j);
	}
	PUT("}\n");
}

static void put_links(unsigned i)
{
	unsigned from = once_in(2) ? some_source(i, false) : STAGES_MAX;
	unsigned order = i > 0 && once_in(3) ? any(i) : STAGES_MAX;
	unsigned seen = once_in(4) ? some_source(i, true) : STAGES_MAX;

	if (from < STAGES_MAX) {
		plan.needs[i] |= 1u << from;
		PUT(", inputs: {x: s%u.z}", from);
	}
	if (order < STAGES_MAX) {
		plan.needs[i] |= 1u << order;
		PUT(", needs: [s%u]", order);
	}
	if (plan.list[i]) {
		if (once_in(2))
			PUT(", when: '%s'", once_in(2) ? "item != 2" : "index < 1");
	} else if (seen < STAGES_MAX) {
		plan.needs[i] |= 1u << seen;
		PUT(", when: 's%u.r[0] == 1'", seen);
	}
}

static void put_list(unsigned i)
{
	unsigned over = once_in(2) ? some_source(i, true) : STAGES_MAX;

	plan.list[i] = true;
	if (over < STAGES_MAX) {
		plan.needs[i] |= 1u << over;
		PUT(", foreach: {over: s%u.r, parallel: %u}", over, 1 + any(3));
	} else {
		PUT(", foreach: {over: [4, 2, 7, 2], parallel: %u}", 1 + any(3));
	}
}

static void put_stage(unsigned i)
{
	static const char *const lists[] = {"r=[1, 2, 3]", "r=[1]", "r=[]", "r=[2, 5]"};

	if (once_in(7)) {
		put_inner_stage(i);
		return;
	}
	PUT("  s%u: {image: i", i);
	if (once_in(3))
		put_list(i);
	put_behaviour(plan.text, sizeof(plan.text), plan.list[i] ? "r=$item" : lists[any(ARRAY_LEN(lists))]);
	put_links(i);
	if (once_in(4))
		PUT(", cache: true");
	if (once_in(6))
		PUT(", approve: 'shall it?'");
	if (once_in(6))
		PUT(", timeout: 30s");
	if (once_in(3)) {
		plan.goes_on[i] = once_in(2);
		PUT(", on_failure: %s", plan.goes_on[i] ? "continue" : "cancel");
	}
	PUT("}\n");
}

static void make_plan(uint64_t seed)
{
	bool on_exit = false, on_failure = false;

	random_state = seed;
	memset(&plan, 0, sizeof(plan));
	plan.n = 1 + any(STAGES_MAX);
	PUT("perigee: v1\nworkflow: w\npayload: p\n");
	if (once_in(4))
		PUT("max_runs: 1\n");
	if (once_in(5))
		PUT("timeout: 60s\n");
	PUT("stages:\n");
	for (unsigned i = 0; i < plan.n; i++)
		put_stage(i);
	if ((on_exit = once_in(2)))
		PUT("  last: {image: i, outputs: {z: 8B}}\n");
	if ((on_failure = once_in(2)))
		PUT("  tell: {image: i, outputs: {z: 8B}}\n");
	if (on_exit)
		PUT("on_exit: [last]\n");
	if (on_failure)
		PUT("on_failure: [tell]\n");
	put(plan.inner, sizeof(plan.inner), "perigee: v1\nworkflow: v\npayload: p\nstages:\n  a: {image: i");
	put_behaviour(plan.inner, sizeof(plan.inner), "r=[1]");
	put(plan.inner, sizeof(plan.inner), "}\n  b: {image: i, needs: [a], outputs: {z: 8B}}\n");
	bench.texts[0] = plan.text;
	bench.texts[1] = plan.inner;
}

/* ---- what is committed ---- */

enum kind { RUN, STAGE, ITEM, TASK };
struct fact {
	enum kind kind;
	int64_t id, item;
	char name[24];
	int64_t state;
};
static struct facts {
	struct fact list[FACTS_MAX];
	size_t n;
} now, before;

static void read_facts(struct facts *f)
{
	sqlite3_stmt *q = store_query(bench.store,
		"SELECT 0, id, '', -1, state FROM run"
		" UNION ALL SELECT 1, run, stage, -1, state FROM run_stage"
		" UNION ALL SELECT 2, run, stage, item, state FROM run_item"
		" UNION ALL SELECT 3, id, '', -1, state FROM task",
		"");

	assert_non_null(q);
	f->n = 0;
	while (sqlite3_step(q) == SQLITE_ROW) {
		assert_true(f->n < FACTS_MAX);
		struct fact *fact = &f->list[f->n++];
		fact->kind = (enum kind)sqlite3_column_int(q, 0);
		fact->id = sqlite3_column_int64(q, 1);
		snprintf(fact->name, sizeof(fact->name), "%s", (const char *)sqlite3_column_text(q, 2));
		fact->item = sqlite3_column_int64(q, 3);
		fact->state = sqlite3_column_int64(q, 4);
	}
	sqlite3_reset(q);
}

static const struct fact *find_fact(
	const struct facts *f, enum kind kind, int64_t id, const char *name, int64_t item)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct fact *x = &f->list[i];
		if (x->kind == kind && x->id == id && x->item == item && !strcmp(x->name, name))
			return x;
	}
	return NULL;
}

static bool is_over(const struct fact *f)
{
	switch (f->kind) {
	case RUN:
		return f->state != RUN_OPEN && f->state != RUN_PENDING;
	case TASK:
		return f->state != TASK_READY && f->state != TASK_RUNNING;
	default:
		return stage_settled(f->state);
	}
}

/* Between two commits several things may have happened to one; but nothing goes back to these. */
static bool may_follow(const struct fact *was, const struct fact *is)
{
	if (was->state == is->state)
		return true;
	if (is_over(was))
		return false;
	if (was->kind == RUN)
		return is->state != RUN_PENDING;
	if (was->kind == TASK)
		return true;
	return is->state != STAGE_WAITING && !(is->state == STAGE_ASKING && was->state != STAGE_WAITING);
}

static void check_facts(void)
{
	for (size_t i = 0; i < before.n; i++) {
		const struct fact *was = &before.list[i];
		const struct fact *is = find_fact(&now, was->kind, was->id, was->name, was->item);

		if (!is || !may_follow(was, is))
			fail_msg("kind %d, %lld %s[%lld]: %lld became %lld", (int)was->kind,
				(long long)was->id, was->name, (long long)was->item, (long long)was->state,
				is ? (long long)is->state : -1);
	}
}

static bool is_outer(int64_t run)
{
	sqlite3_stmt *q = store_query(bench.store, "SELECT workflow FROM run WHERE id = ?", "i", run);

	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	bool outer = !strcmp((const char *)sqlite3_column_text(q, 0), "w");
	sqlite3_reset(q);
	return outer;
}

/* What has begun, or was looked at and failed, has all that it needs settled. */
static void check_needs(void)
{
	for (size_t i = 0; i < now.n; i++) {
		const struct fact *f = &now.list[i];
		char name[24];

		if (f->kind != STAGE || f->name[0] != 's' || f->state == STAGE_WAITING ||
			f->state == STAGE_SKIPPED || f->state == STAGE_CANCELLED || !is_outer(f->id))
			continue;
		unsigned needs = plan.needs[atoi(f->name + 1)];
		for (unsigned j = 0; j < plan.n; j++) {
			snprintf(name, sizeof(name), "s%u", j);
			const struct fact *need = find_fact(&now, STAGE, f->id, name, -1);
			assert_non_null(need);
			if ((needs & (1u << j)) && !is_over(need))
				fail_msg("run %lld: %s is %s before %s is settled", (long long)f->id, f->name,
					stage_state_name(f->state), name);
		}
	}
}

/* What is started was not over by the last commit but one. */
static void check_starts(size_t from)
{
	for (size_t i = from; i < bench.n_starts; i++) {
		long long run, item = -1;
		char stage[24];

		assert_true(sscanf(bench.starts[i].label, "run-%lld.%23[^#]#%lld", &run, stage, &item) >= 2);
		const struct fact *s = find_fact(&before, STAGE, run, stage, -1);
		const struct fact *element = item < 0 ? NULL : find_fact(&before, ITEM, run, stage, item);
		const struct fact *task = find_fact(&before, TASK, bench.starts[i].exit.task, "", -1);
		if ((s && is_over(s)) || (element && is_over(element)) || (task && is_over(task)))
			fail_msg("%s runs again", bench.starts[i].label);
	}
}

static void commit(void)
{
	static size_t starts;

	if (bench.n_starts < starts)
		starts = 0; /* another workflow */
	bench_turn();
	before = now;
	read_facts(&now);
	check_facts();
	check_needs();
	check_starts(starts);
	starts = bench.n_starts;
}

/* ---- what happens ---- */

static void report_any(void)
{
	size_t waiting = 0;

	for (size_t i = 0; i < bench.n_starts; i++)
		waiting += !bench.starts[i].reported;
	if (!waiting)
		return;
	size_t chosen = any((unsigned)waiting);
	for (size_t i = 0; i < bench.n_starts; i++) {
		struct bench_start *s = &bench.starts[i];
		if (s->reported || chosen-- > 0)
			continue;
		s->reported = true;
		pipelines_stage_exited(bench.pipelines, &s->exit);
		return;
	}
}

static void make_run(void)
{
	struct run_request request = {.workflow = "w"};
	char why[256];
	int64_t run;

	assert_int_equal(pipelines_run(bench.pipelines, &request, &run, why, sizeof(why)), 0);
}

static void decide(bool yes)
{
	char why[256], stage[24];
	sqlite3_stmt *q =
		store_query(bench.store, "SELECT run, stage FROM run_stage WHERE state = 7 LIMIT 1", "");

	if (sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_reset(q);
		return;
	}
	int64_t run = sqlite3_column_int64(q, 0);
	snprintf(stage, sizeof(stage), "%s", (const char *)sqlite3_column_text(q, 1));
	sqlite3_reset(q);
	assert_int_equal(pipelines_approve(bench.pipelines, run, stage, yes, "kim", why, sizeof(why)), 0);
}

static void cancel_any(void)
{
	struct queue_target t = {.scope = once_in(2) ? QUEUE_RUN : QUEUE_TASK, .id = 1 + any(4)};
	char why[256];
	int r = pipelines_cancel(bench.pipelines, &t, "by test", why, sizeof(why));

	assert_true(r >= 0 || r == ERR_UNKNOWN || r == ERR_STATE);
}

static void cut_power(void)
{
	bench_close();
	bench_open();
}

static void pass_time(unsigned seconds)
{
	bench.now_s += seconds;
	bench.mono_s += seconds;
	clock_set_fake(
		(struct mono_time){bench.mono_s * NS_PER_S}, (struct utc_time){bench.now_s * NS_PER_S});
	scheduler_poke(bench.scheduler);
	pipelines_poke(bench.pipelines);
}

static void one_step(unsigned *runs, unsigned *cuts)
{
	switch (any(16)) {
	case 0:
		if (*runs < 3 && (*runs)++ < 3)
			make_run();
		break;
	case 1:
		if (*cuts < CUTS_MAX && once_in(2) && (*cuts)++ < CUTS_MAX)
			cut_power(); /* what was not committed has not happened */
		break;
	case 2:
		decide(!once_in(4));
		break;
	case 3:
		pass_time(any(8));
		break;
	case 4:
		if (once_in(6))
			cancel_any();
		break;
	case 5:
	case 6:
	case 7:
		uv_run(&bench.loop, UV_RUN_DEFAULT);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		report_any();
		break;
	default:
		commit();
	}
}

/* ---- the end ---- */

static int64_t count(const char *sql)
{
	sqlite3_stmt *q = NULL;

	assert_int_equal(sqlite3_prepare_v2(store_db(bench.store), sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

static void come_to_the_end(void)
{
	for (int i = 0; i < 400; i++) {
		commit();
		uv_run(&bench.loop, UV_RUN_DEFAULT);
		report_any();
		decide(true);
		pass_time(1);
		if (count("SELECT count(*) FROM run WHERE state IN (0, 4)") == 0)
			break;
	}
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	commit();
}

static void check_outputs(void)
{
	sqlite3_stmt *q = store_query(
		bench.store, "SELECT digest FROM run_output UNION SELECT digest FROM run_item_output", "");
	struct digest digest;

	while (sqlite3_step(q) == SQLITE_ROW) {
		CLEAN_FD int fd = -1;
		assert_int_equal(digest_parse((const char *)sqlite3_column_text(q, 0), &digest), 0);
		assert_int_equal(artifact_open(bench.artifacts, &digest, &fd), 0);
	}
	sqlite3_reset(q);
	/* Whatever is done has both. */
	assert_int_equal(
		count("SELECT count(*) FROM run_stage s JOIN run r ON r.id = s.run AND r.workflow = 'w' WHERE"
		      " s.state = 3 AND s.image != '' AND s.stage LIKE 's_' AND (SELECT count(*) FROM"
		      " run_output o WHERE o.run = s.run AND o.stage = s.stage) != 2"),
		0);
	assert_int_equal(count("SELECT count(*) FROM run_item i WHERE state = 3 AND (SELECT count(*) FROM"
			       " run_item_output o WHERE o.run = i.run AND o.stage = i.stage AND o.item ="
			       " i.item) != 2"),
		0);
}

/* A run is done when every stage is done, left out, or is one whose failure is borne. */
static void check_outcomes(void)
{
	char words[2048];

	for (size_t i = 0; i < now.n; i++) {
		const struct fact *run = &now.list[i];
		bool spoilt = false, handled = true;

		if (run->kind != RUN || !is_outer(run->id))
			continue;
		for (size_t k = 0; k < now.n; k++) {
			const struct fact *s = &now.list[k];
			if (s->kind != STAGE || s->id != run->id)
				continue;
			bool bad = s->state == STAGE_FAILED || s->state == STAGE_CANCELLED;
			assert_true(is_over(s));
			spoilt |= bad && !(s->name[0] == 's' && plan.goes_on[atoi(s->name + 1)]);
			handled &= strcmp(s->name, "last") != 0 || s->state == STAGE_DONE;
		}
		bool wrong =
			run->state == RUN_DONE ? spoilt || !handled : run->state == RUN_FAILED && !spoilt;
		if (!wrong)
			continue;
		bench_describe(run->id, words, sizeof(words));
		fail_msg("run %lld is %s\n%s", (long long)run->id, words, plan.text);
	}
}

static void check_end(void)
{
	assert_int_equal(count("SELECT count(*) FROM run WHERE state IN (0, 4)"), 0);
	assert_int_equal(count("SELECT count(*) FROM task WHERE state IN (0, 1)"), 0);
	assert_int_equal(count("SELECT count(*) FROM run_item WHERE state IN (1, 2, 6)"), 0);
	assert_null(bench.pipelines->active);
	assert_null(bench.pipelines->expansions);
	check_outputs();
	check_outcomes();
}

static void one_workflow(uint64_t seed)
{
	unsigned runs = 1, cuts = 0;

	assert_int_equal(bench_setup(NULL), 0);
	make_plan(seed);
	bench.tasks = 1 + any(4);
	now.n = before.n = 0;
	bench_open();
	make_run();
	for (int i = 0; i < STEPS; i++)
		one_step(&runs, &cuts);
	come_to_the_end();
	check_end();
	bench_close();
	assert_int_equal(bench_teardown(NULL), 0);
}

static uint64_t first_seed = 1, last_seed = 60;

static void test_random_workflows(void **state)
{
	for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		one_workflow(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_workflows)};
	const char *seeds = getenv("PERIGEE_SEEDS");
	unsigned long long from, to;

	if (seeds && sscanf(seeds, "%llu-%llu", &from, &to) == 2) {
		first_seed = from;
		last_seed = to;
	}
	/* One worker: a seed takes the same way each time. */
	setenv("UV_THREADPOOL_SIZE", "1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
