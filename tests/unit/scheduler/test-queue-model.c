/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue against a simple model: random operations from many seeds, with crashes.
 *
 * The model knows no lanes, no indexes and no standing orders: it keeps every command that was ever accepted,
 * and of those about a task the latest counts. All tasks are of one size, so that whoever preempts takes the
 * place of one: either frozen, or (given as the argument) stopped.
 */
#include "bench.h"

#define SEEDS 8
#ifdef __SANITIZE_ADDRESS__
#define STEPS 4000
#else
#define STEPS 64000 /* in both tests, with 8 seeds each, more than a million */
#endif
#define TASKS 4
#define LIVE_MAX 120
#define RETRIES 2
#define COMMANDS_MAX 4096

enum model_state { M_READY, M_RUNNING, M_DONE, M_FAILED, M_CANCELLED, M_STATE_MAX };

struct model_task {
	int64_t id, run;
	uint8_t priority;
	int64_t age_s;
	enum model_state state;
	int tries;
	bool cancelled; /* will end as such */
	bool frozen, stopping;
};

struct model_command {
	struct queue_target on;
	bool is_hold;
	int value; /* held or not; the priority */
};

static struct model {
	struct model_task live[LIVE_MAX];
	size_t n;
	struct model_command commands[COMMANDS_MAX];
	size_t n_commands;
	int64_t over[M_STATE_MAX];
} model, committed;

static bool stops; /* nothing can be frozen */
static int64_t n_preempted, n_thawed;

static const char *const workflows[] = {"u", "v", "w"}, *const payloads[] = {"p", "q", "q"};
static char why[256];

static uint64_t rng;
static uint32_t next_random(uint32_t below)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(((rng >> 33) * below) >> 31);
}

static bool is_about(const struct queue_target *on, const struct model_task *t)
{
	switch (on->scope) {
	case QUEUE_TASK:
		return on->id == t->id;
	case QUEUE_RUN:
		return on->id == t->run;
	case QUEUE_WORKFLOW:
		return on->name == workflows[t->run % 3];
	case QUEUE_PAYLOAD:
		return on->name == payloads[t->run % 3];
	default:
		return true;
	}
}

static int latest(const struct model_task *t, bool is_hold, int otherwise)
{
	for (size_t i = model.n_commands; i-- > 0;)
		if (model.commands[i].is_hold == is_hold && is_about(&model.commands[i].on, t))
			return model.commands[i].value;
	return otherwise;
}

static struct model_task *model_head(void)
{
	struct model_task *best = NULL;
	int best_priority = 0;

	for (size_t i = 0; i < model.n; i++) {
		struct model_task *t = &model.live[i];
		if (t->state != M_READY || latest(t, true, 0))
			continue;
		int priority = latest(t, false, t->priority);
		if (!best || priority > best_priority ||
			(priority == best_priority &&
				(t->age_s < best->age_s || (t->age_s == best->age_s && t->id < best->id)))) {
			best = t;
			best_priority = priority;
		}
	}
	return best;
}

static size_t count(enum model_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < model.n; i++)
		n += model.live[i].state == state;
	return n;
}

static void end(struct model_task *t, enum model_state state)
{
	model.over[state]++;
	*t = model.live[--model.n];
}

static bool is_ending(const struct model_task *t)
{
	return t->cancelled || t->stopping;
}

/* Those that hold a place; without those that are ending, when only what will be counts. */
static size_t places_taken(bool soon)
{
	size_t n = 0;

	for (size_t i = 0; i < model.n; i++)
		n += model.live[i].state == M_RUNNING && !model.live[i].frozen &&
		     !(soon && is_ending(&model.live[i]));
	return n;
}

/* The least or the most important of those that run, or stand still; what is ending is of no use. */
static struct model_task *model_running(bool frozen_ones, bool most)
{
	struct model_task *best = NULL;

	for (size_t i = 0; i < model.n; i++) {
		struct model_task *t = &model.live[i];
		if (t->state != M_RUNNING || t->frozen != frozen_ones || is_ending(t))
			continue;
		int priority = latest(t, false, t->priority);
		int best_priority = best ? latest(best, false, best->priority) : 0;
		bool more =
			priority > best_priority || (priority == best_priority && best && t->id < best->id);
		if (!best || more == most)
			best = t;
	}
	return best;
}

static bool model_may_preempt(const struct model_task *head, const struct model_task *victim)
{
	return head && victim && latest(head, false, head->priority) >= queue_rules_default.critical &&
	       latest(victim, false, victim->priority) < queue_rules_default.critical;
}

/* What the scheduler is to do next: it must have done it. False: nothing. */
static bool model_step(size_t *starts, size_t *freezes, size_t *stops_seen)
{
	struct model_task *still = model_running(true, true), *head = model_head();
	struct model_task *victim = model_running(false, false);
	size_t all = count(M_RUNNING);

	if (still && !model_may_preempt(head, still)) {
		if (places_taken(false) >= TASKS)
			return false;
		assert_true(*freezes < n_frozen);
		assert_int_equal(frozen[*freezes].id, still->id);
		assert_false(frozen[(*freezes)++].frozen);
		still->frozen = false;
		n_thawed++;
		return true;
	}
	if (!head)
		return false;
	if (places_taken(false) < TASKS && all < QUEUE_RUNNING_MAX) {
		assert_true(*starts < n_started);
		assert_int_equal(started[(*starts)++].id, head->id);
		head->state = M_RUNNING;
		return true;
	}
	if (places_taken(true) < TASKS || !model_may_preempt(head, victim))
		return false;
	n_preempted++;
	if (stops) {
		assert_true(*stops_seen < n_stopped);
		assert_int_equal(stopped[(*stops_seen)++], victim->id);
		victim->stopping = true;
	} else {
		assert_true(*freezes < n_frozen);
		assert_int_equal(frozen[*freezes].id, victim->id);
		assert_true(frozen[(*freezes)++].frozen);
		victim->frozen = true;
	}
	return true;
}

static bool is_told_before(int64_t task)
{
	for (size_t i = 0; i < model.n; i++)
		if (model.live[i].id == task)
			return model.live[i].cancelled;
	return false;
}

static void model_turn(void)
{
	size_t starts = 0, freezes = 0, stops_seen;

	n_started = n_ended = n_again = n_frozen = n_told_frozen = 0;
	stops_seen = n_stopped = 0;
	turn();
	/* Cancelled ones were told to stop, in any order, before anything was decided. */
	while (stops_seen < n_stopped && is_told_before(stopped[stops_seen]))
		stops_seen++;
	for (size_t i = 0; i < model.n;)
		if (model.live[i].state == M_READY && model.live[i].cancelled)
			end(&model.live[i], M_CANCELLED);
		else
			i++;
	while (model_step(&starts, &freezes, &stops_seen))
		;
	assert_int_equal(starts, n_started);
	assert_int_equal(freezes, n_frozen);
	assert_int_equal(n_told_frozen, n_frozen);
	assert_int_equal(stops_seen, n_stopped);
	committed = model;
}

static void open_with_rules(void)
{
	struct queue_rules rules = queue_rules_default;

	rules.history = 50;
	open_all();
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
}

static void model_crash(void)
{
	close_all();
	model = committed;
	for (size_t i = 0; i < model.n; i++) {
		model.live[i].frozen = model.live[i].stopping = false;
		if (model.live[i].state == M_RUNNING)
			model.live[i].state = M_READY;
	}
	open_with_rules(); /* which commits that */
	committed = model;
}

static void model_put(int step)
{
	struct model_task *t = &model.live[model.n++];

	*t = (struct model_task){.run = 1 + step / 500 + next_random(6),
		.priority = (uint8_t)(next_random(5) * 60),
		.age_s = next_random(4)};
	t->id = put_spec((struct task_spec){.run = t->run,
		.item = -1,
		.workflow = workflows[t->run % 3],
		.payload = payloads[t->run % 3],
		.priority = t->priority,
		.age_from.ns = t->age_s * NS_PER_S,
		.cpus_milli = 1,
		.retry = {.limit = RETRIES}});
}

static size_t can_end(void)
{
	size_t n = 0;

	for (size_t i = 0; i < model.n; i++)
		n += model.live[i].state == M_RUNNING && (!model.live[i].frozen || model.live[i].cancelled);
	return n;
}

static void model_finish(void)
{
	struct model_task *t = model.live;

	/* What stands still does not end, but for an order. */
	for (size_t skip = next_random((uint32_t)can_end()) + 1; skip; t++)
		skip -= t->state == M_RUNNING && (!t->frozen || t->cancelled);
	t--;
	n_ended = n_again = 0;
	uint32_t luck = next_random(8);
	if (luck < 5)
		succeed(t->id);
	else
		failed(t->id, luck == 5 ? CLASS_BROKEN : CLASS_TEMPORARY);
	bool put_back = luck == 5 && t->stopping && !t->cancelled;
	bool retried = put_back || (luck > 5 && !t->cancelled && t->tries++ < RETRIES);
	assert_int_equal(n_again, retried);
	assert_int_equal(n_ended, !retried);
	t->frozen = t->stopping = false;
	if (retried)
		t->state = M_READY;
	else
		end(t, t->cancelled ? M_CANCELLED : luck < 5 ? M_DONE : M_FAILED);
}

static struct queue_target random_target(void)
{
	struct model_task *t = &model.live[next_random((uint32_t)model.n)];

	switch (next_random(12)) {
	case 0:
		return (struct queue_target){.scope = QUEUE_ALL};
	case 1:
		return (struct queue_target){.scope = QUEUE_PAYLOAD, .name = payloads[t->run % 3]};
	case 2:
	case 3:
		return (struct queue_target){.scope = QUEUE_WORKFLOW, .name = workflows[t->run % 3]};
	case 4:
	case 5:
	case 6:
		return (struct queue_target){.scope = QUEUE_RUN, .id = t->run};
	default:
		return (struct queue_target){.scope = QUEUE_TASK, .id = t->id};
	}
}

static void command(struct queue_target on, bool is_hold, int value)
{
	size_t kept = 0;

	/* Those within are of no use any more: not needed for what is right, but for the room. */
	for (size_t i = 0; i < model.n_commands; i++) {
		const struct model_command *c = &model.commands[i];
		bool same = c->is_hold == is_hold && c->on.scope == on.scope && c->on.id == on.id &&
			    c->on.name == on.name;
		if (!same && !(c->is_hold == is_hold && on.scope == QUEUE_ALL))
			model.commands[kept++] = *c;
	}
	model.n_commands = kept;
	assert_true(model.n_commands < COMMANDS_MAX);
	model.commands[model.n_commands++] =
		(struct model_command){.on = on, .is_hold = is_hold, .value = value};
}

static int64_t concerned(const struct queue_target *on, bool running, bool held_only)
{
	int64_t n = 0;

	for (size_t i = 0; i < model.n; i++) {
		const struct model_task *t = &model.live[i];
		n += is_about(on, t) && (t->state == M_READY || (running && t->state == M_RUNNING)) &&
		     (!held_only || latest(t, true, 0));
	}
	return n;
}

static void model_command(void)
{
	struct queue_target on = random_target();
	uint32_t what = next_random(16);

	if (what < 4) {
		int r = scheduler_hold(sched, &on, why, sizeof(why));
		if (r == ERR_STATE) { /* one that runs */
			assert_int_equal(on.scope, QUEUE_TASK);
			assert_int_equal(concerned(&on, false, false), 0);
			return;
		}
		assert_int_equal(r, concerned(&on, false, false));
		command(on, true, 1);
	} else if (what < 11) {
		int r = scheduler_release(sched, &on, why, sizeof(why));
		int64_t held = concerned(&on, false, true);
		if (r == ERR_STATE) {
			assert_int_equal(held, 0);
			return;
		}
		assert_int_equal(r, held);
		command(on, true, 0);
	} else if (what < 15) {
		int priority = (int)next_random(256);
		assert_int_equal(scheduler_reprioritise(sched, &on, priority, why, sizeof(why)),
			concerned(&on, false, false));
		command(on, false, priority);
	} else {
		int r = scheduler_cancel(sched, &on, "no need of it", why, sizeof(why));
		if (r == ERR_STATE)
			assert_int_equal(concerned(&on, true, false), 0);
		else
			assert_int_equal(r, concerned(&on, true, false));
		for (size_t i = 0; i < model.n; i++)
			model.live[i].cancelled |= is_about(&on, &model.live[i]);
	}
}

static void check_counts(void)
{
	int64_t counts[TASK_STATE_MAX];

	assert_int_equal(scheduler_counts(sched, counts), 0);
	assert_int_equal(counts[TASK_READY], count(M_READY));
	assert_int_equal(counts[TASK_RUNNING], count(M_RUNNING));
	assert_int_equal(scheduler_running(sched), count(M_RUNNING));
	assert_int_equal(counts[TASK_POISON] + counts[TASK_EXPIRED], 0);
	assert_int_equal(number_of("SELECT count(*) FROM task WHERE state = 0"), count(M_READY));
}

static void run_model(uint32_t seed)
{
	rng = seed;
	model = committed = (struct model){0};
	for (int step = 0; step < STEPS; step++) {
		uint32_t what = next_random(2000);

		if (what < 1)
			model_crash();
		else if (what < 100)
			model_turn();
		else if (what < 160 && model.n)
			model_command();
		else if (what < 1100 && model.n < LIVE_MAX)
			model_put(step);
		else if (can_end())
			model_finish();
		else
			model_turn();
		if (step % 1000 == 0)
			check_counts();
	}
	model_turn();
	check_counts();
	/* It was worth something: all kinds of ends were met. */
	for (int i = M_DONE; i < M_STATE_MAX; i++)
		assert_true(model.over[i] > STEPS / 1000);
}

static void test_random_operations_and_crashes_agree_with_the_model(void **state)
{
	budget.tasks = TASKS;
	can_freeze = !stops;
	for (uint32_t seed = 1; seed <= SEEDS; seed++) {
		empty_database();
		close_all();
		open_with_rules();
		run_model(seed);
	}
	assert_true(n_preempted > SEEDS * STEPS / 2000);
	assert_true(stops || n_thawed > SEEDS * STEPS / 4000);
}

int main(int argc, char **argv)
{
	stops = argc > 1 && !strcmp(argv[1], "stops");
	const struct CMUnitTest tests[] = {
		TEST(test_random_operations_and_crashes_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
