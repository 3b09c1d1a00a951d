/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each keyword of the workflow language does when it runs: a table of small workflows with what is done
 * to them and the sequence of states that must follow. mission-bench.h says how their stages behave.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "mission-bench.h"

struct row {
	const char *name;
	const char *text[3]; /* what follows the head of each workflow; the second is called v, the third u */
	const char *script;
	const char *trace;
	const char *ends;         /* NULL, or run 1 in words */
	const char *output[2][3]; /* stage, output, text, of run 1 (or "2.stage") */
};

static const struct row rows[] = {
	{"needs: in order, and what failed leaves out what needs it",
		{"stages:\n"
		 "  a: {image: i, args: ['x=1'], outputs: {x: 8B}}\n"
		 "  b: {image: i, inputs: {y: a.x}, args: [exit=3], outputs: {z: 8B}}\n"
		 "  c: {image: i, needs: [b], outputs: {z: 8B}}\n"},
		"run", "a:queued a:running a:done b:queued b:running b:failed c:skipped run1:failed",
		"failed (stage b failed): a done; b failed (exit 3); c skipped (needs b, which failed);"},

	/* ---- params ---- */
	{"params: defaults and what a run gives, with their types",
		{"params:\n"
		 "  limit: {type: number, default: 0.7}\n"
		 "  mode: {type: text, default: fast}\n"
		 "stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    args: ['x<params', 'y=$params.mode', 'z=$params.limit']\n"
		 "    params: {l: $params.limit, m: $params.mode, n: 5}\n"
		 "    outputs: {x: 64B, y: 8B, z: 8B}\n"},
		"run w {\"limit\": 0.25}", "a:queued a:running a:done run1:done", NULL,
		{{"a", "x", "{\"l\":0.25,\"m\":\"fast\",\"n\":5}"}, {"a", "y", "fast"}}},
	{"params: what does not fit makes no run",
		{"params: {limit: {type: number, default: 0.7, min: 0, max: 1}}\n"
		 "stages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"run w {\"limit\": 2}", "refused(limit: expected a number from 0 to 1, found 2)", NULL},
	{"params x when",
		{"params: {go: false}\nstages: {a: {image: i, when: params.go, outputs: {z: 8B}}}\n"},
		"run; run w {\"go\": true}", "a:skipped run1:done 2.a:queued 2.a:running 2.a:done run2:done",
		NULL},

	/* ---- retry ---- */
	{"retry: exit 75 by default, with its backoff",
		{"stages: {a: {image: i, args: [exit=75@2], retry: {limit: 2, backoff: 5s}, outputs: {z: "
		 "8B}}}\n"},
		"run; +5; +10",
		"a:queued a:running a:retrying a:running a:retrying a:running a:done run1:done", NULL},
	{"retry: no more often than its limit",
		{"stages: {a: {image: i, args: [exit=75], retry: {limit: 1, backoff: 1s}, outputs: {z: "
		 "8B}}}\n"},
		"run; +1", "a:queued a:running a:retrying a:running a:failed run1:failed", NULL},
	{"retry: other ends are not tried again by default",
		{"stages: {a: {image: i, args: [end=memory], retry: {limit: 2}, outputs: {z: 8B}}}\n"}, "run",
		"a:queued a:running a:failed run1:failed", NULL},
	{"retry by class",
		{"stages:\n"
		 "  a: {image: i, args: [end=memory@1], retry: {limit: 1, backoff: 1s, on: [memory, "
		 "timeout]}, outputs: {z: 8B}}\n"
		 "  b: {image: i, needs: [a], args: [end=timeout@1], retry: {limit: 1, backoff: 1s, on: "
		 "[timeout]}, outputs: {z: 8B}}\n"
		 "  c: {image: i, needs: [b], args: [exit=3@1], retry: {limit: 1, backoff: 1s, on: "
		 "[failed]}, outputs: {z: 8B}}\n"
		 "  d: {image: i, needs: [c], args: [exit=75@1], retry: {limit: 1, backoff: 1s, on: "
		 "[failed]}, outputs: {z: 8B}}\n"},
		"run; +1; +1; +1; +1",
		"a:queued a:running a:retrying a:running a:done b:queued b:running b:retrying b:running "
		"b:done"
		" c:queued c:running c:retrying c:running c:done d:queued d:running d:failed run1:failed",
		NULL},
	{"a sandbox that breaks under it is not its end",
		{"stages: {a: {image: i, args: [end=broke@2], outputs: {z: 8B}}}\n"}, "run",
		"a:queued a:running a:retrying a:running a:retrying a:running a:done run1:done",
		"done: a done;"},
	{"retry x restart: it waits on",
		{"stages: {a: {image: i, args: [exit=75@1], retry: {limit: 1, backoff: 60s}, outputs: {z: "
		 "8B}}}\n"},
		"run; restart; +60", "a:queued a:running a:retrying a:running a:done run1:done", NULL},
	{"retry x cancel",
		{"stages: {a: {image: i, args: [exit=75], retry: {limit: 5, backoff: 60s}, outputs: {z: "
		 "8B}}}\n"},
		"run; cancel run 1", "a:queued a:running a:retrying a:cancelled run1:cancelled",
		"cancelled (by test): a cancelled (by test);"},

	/* ---- when ---- */
	{"when: false leaves out what needs it too",
		{"stages:\n"
		 "  a: {image: i, args: ['r={\"v\":0.9}'], outputs: {r: {max: 64B, type: json}}}\n"
		 "  b: {image: i, when: a.r.v < 0.5, outputs: {z: 8B}}\n"
		 "  c: {image: i, needs: [b], outputs: {z: 8B}}\n"
		 "  d: {image: i, when: a.r.v > 0.5, outputs: {z: 8B}}\n"},
		"run", "a:queued a:running a:done b:skipped c:skipped d:queued d:running d:done run1:done",
		"done: a done; b skipped (when a.r.v < 0.5: a.r.v is 0.9); c skipped (needs b, which was "
		"left out); d done;"},

	/* ---- foreach ---- */
	{"foreach: a written list, joined again",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    foreach: {over: [3, 5, 7], parallel: 2}\n"
		 "    args: ['x=$item', 'y<params']\n"
		 "    outputs: {x: {max: 64B, type: json}, y: {max: 64B, type: json}}\n"
		 "  b: {image: i, inputs: {all: a.x}, args: ['o<in/all'], outputs: {o: 64B}}\n"},
		"run", "a:queued a:running a:done b:queued b:running b:done run1:done", NULL,
		{{"b", "o", "[3,5,7]"}, {"a", "y",
						"[{\"item\":3,\"index\":0},{\"item\":5,\"index\":1},{"
						"\"item\":7,\"index\":2}]"}}},
	{"foreach: over a member of an output, which a later when reads",
		{"stages:\n"
		 "  a: {image: i, args: ['r={\"t\":[[1],[2]]}'], outputs: {r: {max: 64B, type: json}}}\n"
		 "  b:\n"
		 "    image: i\n"
		 "    foreach: a.r.t\n"
		 "    args: ['x=$item[0]']\n"
		 "    outputs: {x: {max: 64B, type: json}}\n"
		 "  c: {image: i, when: 'b.x[1] == 2', outputs: {z: 8B}}\n"},
		"run",
		"a:queued a:running a:done b:queued b:running b:done c:queued c:running c:done run1:done",
		NULL, {{"b", "x", "[1,2]"}}},
	{"foreach: over a parameter; none at all is done",
		{"params: {l: {type: list, default: []}}\n"
		 "stages: {a: {image: i, foreach: params.l, args: ['x=$item'], outputs: {x: {max: 8B, type: "
		 "json}}}}\n"},
		"run; run w {\"l\": [true]}",
		"a:queued a:done run1:done 2.a:queued 2.a:running 2.a:done run2:done", NULL,
		{{"a", "x", "[]"}}},
	{"foreach: what is no list",
		{"stages:\n"
		 "  a: {image: i, args: ['r={}'], outputs: {r: {max: 64B, type: json}}}\n"
		 "  b: {image: i, foreach: a.r.t, outputs: {z: 8B}}\n"},
		"run", "a:queued a:running a:done b:queued b:failed run1:failed",
		"failed (stage b failed): a done; b failed (foreach: expected a list, found no such "
		"member);"},
	{"foreach x when: asked for each, null where left out",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    foreach: {over: [1, 20, 2, 30], parallel: 4}\n"
		 "    when: item > 10 or index == 2\n"
		 "    args: ['x=$item']\n"
		 "    outputs: {x: {max: 8B, type: json}}\n"},
		"run", "a:queued a:running a:done run1:done", "done: a done (1 of 4 elements were left out);",
		{{"a", "x", "[null,20,2,30]"}}},
	{"foreach x retry: of the element alone",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    foreach: {over: [1, 2], parallel: 2}\n"
		 "    args: ['x=$item', exit=75@1]\n"
		 "    retry: {limit: 1, backoff: 1s}\n"
		 "    outputs: {x: {max: 8B, type: json}}\n"},
		"run; +1", "a:queued a:running a:done run1:done", NULL, {{"a", "x", "[1,2]"}}},
	{"foreach: an element that fails ends the others",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    foreach: {over: ['exit=0', 'exit=4', hold, 'exit=0'], parallel: 3}\n"
		 "    args: [$item]\n"
		 "    outputs: {z: 8B}\n"},
		"run", "a:queued a:running a:failed run1:failed",
		"failed (stage a failed): a failed (element 1: exit 4);"},
	{"foreach x restart: nothing twice",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    foreach: {over: [1, 2, 3, 4, 5], parallel: 2}\n"
		 "    args: ['x=$item', hold]\n"
		 "    outputs: {x: {max: 8B, type: json}}\n"},
		"run; finish run-1.a#0; restart; finish run-1.a#1; finish run-1.a#2;"
		" finish run-1.a#3; finish run-1.a#4",
		"a:queued a:running a:running a:done"
		" run1:done",
		NULL, {{"a", "x", "[1,2,3,4,5]"}}},
	{"foreach x cancel",
		{"stages: {a: {image: i, foreach: {over: [1, 2, 3], parallel: 2}, args: [hold], outputs: {z: "
		 "8B}}}\n"},
		"run; cancel run 1", "a:queued a:running a:cancelled run1:cancelled", NULL},
	{"foreach x timeout of the stage",
		{"stages: {a: {image: i, foreach: [1, 2, 3], timeout: 30s, args: [hold], outputs: {z: "
		 "8B}}}\n"},
		"run; +29; +1", "a:queued a:running a:failed run1:failed",
		"failed (stage a failed): a failed (timeout: it took longer than 30 s);"},
	{"foreach x cache: by element",
		{"stages:\n"
		 "  a:\n"
		 "    image: i\n"
		 "    cache: true\n"
		 "    foreach: {over: [1, 2], parallel: 2}\n"
		 "    args: ['x=$item']\n"
		 "    outputs: {x: {max: 8B, type: json}}\n"},
		"run; run", "a:queued a:running a:done run1:done 2.a:queued 2.a:done run2:done", NULL,
		{{"a", "x", "[1,2]"}, {"2.a", "x", "[1,2]"}}},

	/* ---- on_failure of a stage ---- */
	{"on_failure: continue",
		{"stages:\n"
		 "  a: {image: i, args: [exit=1], on_failure: continue, outputs: {x: 8B}}\n"
		 "  b: {image: i, needs: [a], outputs: {z: 8B}}\n"
		 "  c: {image: i, inputs: {x: a.x}, outputs: {z: 8B}}\n"},
		"run", "a:queued a:running a:failed b:queued c:skipped b:running b:done run1:done", NULL},
	{"on_failure: fail lets what is independent go on",
		{"stages:\n"
		 "  a: {image: i, args: [exit=1], outputs: {z: 8B}}\n"
		 "  b: {image: i, outputs: {z: 8B}}\n"
		 "  c: {image: i, needs: [b], outputs: {z: 8B}}\n"},
		"run",
		"a:queued b:queued a:running b:running a:failed b:done c:queued c:running c:done run1:failed",
		NULL},
	{"on_failure: cancel ends the rest",
		{"stages:\n"
		 "  a: {image: i, args: [exit=1], on_failure: cancel, outputs: {z: 8B}}\n"
		 "  b: {image: i, args: [hold], outputs: {z: 8B}}\n"
		 "  c: {image: i, needs: [b], outputs: {z: 8B}}\n"},
		"run", "a:queued b:queued a:running b:running a:failed c:cancelled b:cancelled run1:failed",
		"failed (stage a failed): a failed (exit 1); b cancelled (stage a failed); c cancelled "
		"(stage a failed);"},

	/* ---- handlers ---- */
	{"handlers of a run that is done",
		{"stages:\n"
		 "  a: {image: i, args: ['x=1'], outputs: {x: 8B}}\n"
		 "  tell: {image: i, outputs: {z: 8B}}\n"
		 "  tidy: {image: i, inputs: {x: a.x}, args: ['o<in/x'], outputs: {o: 8B}}\n"
		 "on_failure: [tell]\n"
		 "on_exit: [tidy]\n"},
		"run", "a:queued a:running a:done tell:skipped tidy:queued tidy:running tidy:done run1:done",
		NULL, {{"tidy", "o", "1"}}},
	{"handlers of a run that failed: what is not there is left out",
		{"stages:\n"
		 "  a: {image: i, args: [exit=1], outputs: {x: 8B}}\n"
		 "  tell: {image: i, args: [exit=1], outputs: {z: 8B}}\n"
		 "  tidy: {image: i, inputs: {x: a.x}, args: ['o<in/x'], outputs: {o: 8B}}\n"
		 "on_failure: [tell]\n"
		 "on_exit: [tidy]\n"},
		"run",
		"a:queued a:running a:failed tell:queued tell:running tell:failed tidy:queued tidy:running"
		" tidy:done run1:failed",
		NULL, {{"tidy", "o", "absent"}}},
	{"a handler that fails spoils a run that was good",
		{"stages: {a: {image: i, outputs: {z: 8B}}, tidy: {image: i, args: [exit=2], outputs: {z: "
		 "8B}}}\non_exit: [tidy]\n"},
		"run", "a:queued a:running a:done tidy:queued tidy:running tidy:failed run1:failed", NULL},
	{"on_exit x cancel: it runs in any case, and only once",
		{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}, b: {image: i, needs: [a], outputs: "
		 "{z: 8B}}, tidy: {image: i, args: [hold], outputs: {z: 8B}}}\n"
		 "on_exit: [tidy]\n"},
		"run; cancel run 1; cancel run 1; restart; finish run-1.tidy; cancel run 1",
		"a:queued a:running b:cancelled a:cancelled tidy:queued tidy:running"
		" ERR_STATE(run 1 is being cancelled already) tidy:running tidy:done run1:cancelled"
		" ERR_STATE(run 1 is over: it is cancelled)",
		NULL},
	{"on_exit x timeout of the run",
		{"timeout: 10s\n"
		 "stages: {a: {image: i, args: [hold], outputs: {z: 8B}}, tidy: {image: i, outputs: {z: "
		 "8B}}, tell: {image: i, outputs: {z: 8B}}}\n"
		 "on_exit: [tidy]\non_failure: [tell]\n"},
		"run; +10",
		"a:queued a:running a:cancelled tell:skipped tidy:queued tidy:running tidy:done "
		"run1:cancelled",
		NULL},
	{"on_exit x deadline: it runs after it, too",
		{"deadline: 10s\n"
		 "stages: {a: {image: i, args: [exit=75], retry: {limit: 9, backoff: 20s}, outputs: {z: "
		 "8B}}, tidy: {image: i, outputs: {z: 8B}}}\n"
		 "on_exit: [tidy]\n"},
		"run; +20",
		"a:queued a:running a:retrying a:failed tidy:queued tidy:running tidy:done run1:failed",
		NULL},

	/* ---- cancel ---- */
	{"cancel: what waits, at once",
		{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}, b: {image: i, needs: [a], outputs: "
		 "{z: 8B}}}\n"},
		"run; cancel workflow w", "a:queued a:running b:cancelled a:cancelled run1:cancelled", NULL},
	{"cancel: one stage alone fails the run",
		{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}, b: {image: i, needs: [a], outputs: "
		 "{z: 8B}}, c: {image: i, outputs: {z: 8B}}}\n"},
		"run; cancel task 1",
		"a:queued c:queued a:running c:running c:done a:cancelled b:skipped run1:failed",
		"failed (stage a was cancelled): a cancelled (by test); b skipped (needs a, which was "
		"cancelled); c done;"},
	{"cancel: what does not exist", {"stages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"cancel run 7; cancel workflow w; cancel payload x; run; cancel run 1",
		"ERR_UNKNOWN(there is no run 7) ERR_STATE(no run is open of w) ERR_UNKNOWN(there is no "
		"payload x)"
		" a:queued a:running a:done run1:done ERR_STATE(run 1 is over: it is done)",
		NULL},
	{"cancel x restart: what runs is not started again",
		{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}, b: {image: i, needs: [a], outputs: "
		 "{z: 8B}}}\n"},
		"run; now cancel all; .; restart",
		"a:queued a:running b:cancelled a:cancelled run1:cancelled", NULL},

	/* ---- timeout ---- */
	{"timeout of a stage: waiting for approval, too",
		{"stages: {a: {image: i, approve: 'sure?', timeout: 10s, outputs: {z: 8B}}}\n"},
		"run; +9; +1", "a:asking a:failed run1:failed", NULL},
	{"timeout of a stage x retry",
		{"stages: {a: {image: i, args: [exit=75], retry: {limit: 9, backoff: 8s}, timeout: 10s, "
		 "outputs: {z: 8B}}}\n"},
		"run; +8; +2", "a:queued a:running a:retrying a:running a:retrying a:failed run1:failed",
		NULL},
	{"timeout x restart: the time goes on",
		{"timeout: 60s\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; +30; off+20; +9; +1", "a:queued a:running a:running a:cancelled run1:cancelled", NULL},
	{"timeout x restart of the machine: UTC says how long it was",
		{"timeout: 60s\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; +30; utc+20; reboot; +9; +1", "a:queued a:running a:running a:cancelled run1:cancelled",
		NULL},
	{"timeout x a step of the clock: it is not moved by it",
		{"timeout: 60s\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; utc+100000; +59; +1", "a:queued a:running a:cancelled run1:cancelled", NULL},

	/* ---- approve ---- */
	{"approve: yes",
		{"stages: {a: {image: i, approve: 'go?', outputs: {z: 8B}}, b: {image: i, needs: [a], "
		 "outputs: {z: 8B}}}\n"},
		"run; approve b; approve a; approve a; approve x",
		"a:asking ERR_STATE(stage b does not ask for approval: it is waiting) a:queued a:running "
		"a:done"
		" b:queued b:running b:done run1:done ERR_STATE(stage a does not ask for approval: it is "
		"done)"
		" ERR_UNKNOWN(run 1 has no stage x)",
		NULL},
	{"approve: no", {"stages: {a: {image: i, approve: 'go?', outputs: {z: 8B}}}\n"}, "run; reject a",
		"a:asking a:failed run1:failed", "failed (stage a failed): a failed (rejected by kim);"},
	{"approve x when: not asked for what will not run",
		{"params: {go: false}\nstages: {a: {image: i, approve: 'go?', when: params.go, outputs: {z: "
		 "8B}}}\n"},
		"run", "a:skipped run1:done", NULL},
	{"approve x restart: it asks on", {"stages: {a: {image: i, approve: 'go?', outputs: {z: 8B}}}\n"},
		"run; restart; approve a", "a:asking a:queued a:running a:done run1:done", NULL},
	{"approve x cancel", {"stages: {a: {image: i, approve: 'go?', outputs: {z: 8B}}}\n"},
		"run; cancel run 1; approve a",
		"a:asking a:cancelled run1:cancelled ERR_STATE(stage a does not ask for approval: it is "
		"cancelled)",
		NULL},
	{"approve x foreach",
		{"stages: {a: {image: i, approve: 'go?', foreach: [1, 2], outputs: {z: 8B}}}\n"},
		"run; approve a", "a:asking a:queued a:running a:done run1:done", NULL},

	/* ---- cache ---- */
	{"cache: the second time it is taken, and what needs it goes on",
		{"stages:\n"
		 "  a: {image: i, cache: true, args: ['r={\"v\":1}'], outputs: {r: {max: 64B, type: json}}}\n"
		 "  b: {image: i, when: a.r.v == 1, outputs: {z: 8B}}\n"},
		"run; run",
		"a:queued a:running a:done b:queued b:running b:done run1:done"
		" 2.a:done 2.b:queued 2.b:running 2.b:done run2:done",
		NULL, {{"2.a", "r", "{\"v\":1}"}}},
	{"cache: not with another parameter, nor another image",
		{"params: {n: 1}\n"
		 "stages: {a: {image: i, cache: true, params: {n: $params.n}, args: ['x=1'], outputs: {x: "
		 "8B}}}\n"},
		"run; run w {\"n\": 2}; image sha256:new; run",
		"a:queued a:running a:done run1:done 2.a:queued 2.a:running 2.a:done run2:done"
		" 3.a:queued 3.a:running 3.a:done run3:done",
		NULL},
	{"cache x retry: only a success is remembered",
		{"stages:\n"
		 "  a: {image: i, cache: true, args: ['x=1', exit=75@1], retry: {limit: 1, backoff: 1s}, "
		 "outputs: {x: 8B}}\n"},
		"run; +1; run", "a:queued a:running a:retrying a:running a:done run1:done 2.a:done run2:done",
		NULL},
	{"cache: a failure is not remembered",
		{"stages: {a: {image: i, cache: true, args: [exit=3], outputs: {z: 8B}}}\n"}, "run; run",
		"a:queued a:running a:failed run1:failed 2.a:queued 2.a:running 2.a:failed run2:failed",
		NULL},
	{"cache x restart", {"stages: {a: {image: i, cache: true, args: ['x=1'], outputs: {x: 8B}}}\n"},
		"run; restart; run", "a:queued a:running a:done run1:done 2.a:done run2:done", NULL},
	{"cache x approve: it asks first",
		{"stages: {a: {image: i, cache: true, approve: 'go?', args: ['x=1'], outputs: {x: 8B}}}\n"},
		"run; approve a; run; cancel run 2",
		"a:asking a:queued a:running a:done run1:done 2.a:asking 2.a:cancelled run2:cancelled", NULL},

	/* ---- max_runs ---- */
	{"max_runs: the others wait in line",
		{"max_runs: 1\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; run; run; cancel run 2; finish run-1.a; finish run-3.a",
		"a:queued a:running run2:cancelled a:done run1:done 3.a:queued"
		" 3.a:running 3.a:done run3:done",
		NULL},
	{"max_runs: latest",
		{"max_runs: {limit: 1, when_full: latest}\nstages: {a: {image: i, args: [hold], outputs: {z: "
		 "8B}}}\n"},
		"run; run; run; finish run-1.a; .",
		"a:queued a:running run2:cancelled a:done run1:done 3.a:queued"
		" 3.a:running",
		NULL},
	{"max_runs: skip",
		{"max_runs: {limit: 1, when_full: skip}\nstages: {a: {image: i, args: [hold], outputs: {z: "
		 "8B}}}\n"},
		"run; run", "a:queued a:running refused(1 runs of w are open, as many as it allows)", NULL},
	{"max_runs x restart", {"max_runs: 1\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; run; restart; finish run-1.a; .",
		"a:queued a:running a:running a:done run1:done 2.a:queued 2.a:running", NULL},

	/* ---- triggers ---- */
	{"every: in its beat, once for what was missed",
		{"triggers: [{every: 10m}]\nstages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"+599; +1; off+3000; +599; +1",
		"a:queued a:running a:done run1:done 2.a:queued 2.a:running 2.a:done run2:done"
		" 3.a:queued 3.a:running 3.a:done run3:done",
		NULL},
	{"cron: in UTC", {"triggers: [{cron: '30 0 * * *'}]\nstages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"+799; +1; +86399; +1",
		"a:queued a:running a:done run1:done 2.a:queued 2.a:running 2.a:done run2:done", NULL},
	{"a clock that is stepped back is followed",
		{"triggers: [{every: 10m}]\nstages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"utc+100000; utc-100000; +600",
		"a:queued a:running a:done run1:done 2.a:queued 2.a:running 2.a:done run2:done", NULL},
	{"orbit events: here, and anywhere",
		{"triggers: [{event: pass.begin, place: svalbard}]\nstages: {a: {image: i, outputs: {z: "
		 "8B}}}\n",
			"triggers: [{event: pass.begin}]\nstages: {b: {image: i, outputs: {z: 8B}}}\n"},
		"event pass.begin weilheim; event pass.end svalbard; event pass.begin svalbard; event "
		"pass.begin svalbard",
		"b:queued b:running b:done run1:done 2.a:queued 3.b:queued 2.a:running 3.b:running 2.a:done "
		"run2:done"
		" 3.b:done run3:done",
		NULL},
	{"completed: brings the declared outputs",
		{"stages: {a: {image: i, args: ['x=7'], outputs: {x: 8B}}}\noutputs: {report: a.x}\n",
			"triggers: [{completed: w}]\n"
			"stages: {b: {image: i, inputs: {r: trigger.report}, args: ['o<in/r'], outputs: {o: "
			"8B}}}\n"},
		"run", "a:queued a:running a:done run1:done 2.b:queued 2.b:running 2.b:done run2:done", NULL,
		{{"2.b", "o", "7"}}},
	{"completed: only of the ends that it names",
		{"stages: {a: {image: i, args: [exit=1], outputs: {z: 8B}}}\n",
			"triggers: [{completed: w}]\nstages: {b: {image: i, outputs: {z: 8B}}}\n",
			"triggers: [{completed: w, on: failed}]\nstages: {c: {image: i, outputs: {z: "
			"8B}}}\n"},
		"run", "a:queued a:running a:failed run1:failed 2.c:queued 2.c:running 2.c:done run2:done",
		NULL},

	/* ---- uses ---- */
	{"uses: a run of its own, and its outputs",
		{"stages:\n"
		 "  a: {uses: v, params: {n: 4}}\n"
		 "  b: {image: i, inputs: {x: a.res}, args: ['o<in/x'], outputs: {o: 64B}}\n",
			"params: {n: 1}\n"
			"stages: {s: {image: i, args: ['r<params'], params: {n: $params.n}, outputs: {r: "
			"64B}}}\n"
			"outputs: {res: s.r}\n"},
		"run",
		"a:running 2.s:queued 2.s:running 2.s:done run2:done a:done b:queued b:running b:done "
		"run1:done",
		NULL, {{"b", "o", "{\"n\":4}"}}},
	{"uses: a failure inside is the stage's",
		{"stages: {a: {uses: v}, b: {image: i, needs: [a], outputs: {z: 8B}}}\n",
			"stages: {s: {image: i, args: [exit=1], outputs: {z: 8B}}}\n"},
		"run",
		"a:running 2.s:queued 2.s:running 2.s:failed run2:failed a:failed b:skipped run1:failed",
		"failed (stage a failed): a failed (run 2 failed); b skipped (needs a, which failed);"},
	{"uses x cancel: it reaches inside",
		{"stages: {a: {uses: v}}\n", "stages: {s: {image: i, args: [hold], outputs: {z: 8B}}, e: "
					     "{image: i, outputs: {z: 8B}}}\non_exit: [e]\n"},
		"run; cancel run 1",
		"a:running 2.s:queued 2.s:running 2.s:cancelled 2.e:queued 2.e:running 2.e:done "
		"run2:cancelled"
		" a:cancelled run1:cancelled",
		NULL},
	{"uses x timeout: it reaches inside",
		{"stages: {a: {uses: v, timeout: 10s}}\n",
			"stages: {s: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run; +10",
		"a:running 2.s:queued 2.s:running 2.s:cancelled run2:cancelled a:failed run1:failed", NULL},
	{"uses x max_runs x restart: it waits in line",
		{"stages: {a: {uses: v}}\n",
			"max_runs: 1\nstages: {s: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"run v; run; restart; finish run-1.s; finish run-3.s",
		"s:queued s:running 2.a:queued s:running s:done run1:done 2.a:running 3.s:queued 3.s:running "
		"3.s:done"
		" run3:done 2.a:done run2:done",
		NULL},

	/* ---- rerun ---- */
	{"rerun: from a stage on",
		{"stages:\n"
		 "  a: {image: i, args: ['x=1'], outputs: {x: 8B}}\n"
		 "  b: {image: i, inputs: {x: a.x}, args: ['o<in/x', hold], outputs: {o: 8B}}\n"
		 "  c: {image: i, needs: [b], outputs: {z: 8B}}\n"},
		"run; cancel run 1; rerun b; finish run-2.b",
		"a:queued a:running a:done b:queued b:running c:cancelled b:cancelled run1:cancelled"
		" 2.b:queued 2.b:running 2.b:done 2.c:queued 2.c:running 2.c:done run2:done",
		NULL, {{"2.b", "o", "1"}, {"2.a", "x", "1"}}},
	{"event: one that there is not", {"stages: {a: {image: i, outputs: {z: 8B}}}\n"},
		"event pass.begni; event image.acquired; event pass.end",
		"ERR_UNKNOWN(there is no event \"pass.begni\"; did you mean pass.begin?)"
		" ERR_UNKNOWN(there is no event \"image.acquired\": expected pass.begin, pass.end, "
		"region.enter, region.leave, sunlight.begin or sunlight.end)",
		NULL},
	{"rerun: not of what goes on, nor of what there is not",
		{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
		"rerun; run; rerun; finish run-1.a; rerun z",
		"ERR_UNKNOWN(run 1: there is no such run) a:queued a:running ERR_STATE(run 1 is not over) "
		"a:done"
		" run1:done ERR_UNKNOWN(workflow w has no stage z)",
		NULL},
};

static void write_texts(const struct row *row, char texts[3][2048])
{
	static const char *const names[] = {"w", "v", "u"};

	for (size_t i = 0; i < 3; i++) {
		bench.texts[i] = NULL;
		if (!row->text[i])
			continue;
		snprintf(texts[i], 2048, "perigee: v1\nworkflow: %s\npayload: p\n%s", names[i], row->text[i]);
		bench.texts[i] = texts[i];
	}
}

static int check_output(const char *const output[3])
{
	int64_t run = 1;
	const char *stage = output[0];
	char *end;

	if (!stage)
		return 0;
	if (*stage >= '1' && *stage <= '9') {
		run = strtol(stage, &end, 10);
		stage = end + 1;
	}
	char *text = bench_output(run, stage, output[1]);
	int bad = !text || strcmp(text, output[2]) != 0;
	if (bad)
		print_error("  output %s.%s: expected %s\n                  found %s\n", output[0], output[1],
			output[2], text ? text : "none");
	free(text);
	return bad;
}

static int run_row(const struct row *row)
{
	char texts[3][2048], words[2048];
	int bad = 0;

	assert_int_equal(bench_setup(NULL), 0);
	write_texts(row, texts);
	bench_open();
	bench_script(row->script);
	if (strcmp(bench.trace, row->trace) != 0) {
		print_error("  expected %s\n     found %s\n", row->trace, bench.trace);
		bad = 1;
	}
	if (row->ends) {
		bench_describe(1, words, sizeof(words));
		if (strcmp(words, row->ends) != 0) {
			print_error("  expected %s\n     found %s\n", row->ends, words);
			bad = 1;
		}
	}
	bad |= check_output(row->output[0]) | check_output(row->output[1]);
	if (bad)
		print_error("^ %s\n\n", row->name);
	bench_close();
	assert_int_equal(bench_teardown(NULL), 0);
	return bad;
}

static void test_the_language(void **state)
{
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		bad += run_row(&rows[i]);
	assert_int_equal(bad, 0);
}

static const struct row lineage_row = {"lineage",
	{"params: {n: 3}\n"
	 "stages:\n"
	 "  other: {image: i, args: ['x=0'], outputs: {x: 8B}}\n"
	 "  a: {image: i, inputs: {s: trigger.scene}, args: ['x=$params.n'], outputs: {x: 8B}}\n"
	 "  b: {image: i, inputs: {x: a.x}, params: {m: $params.n}, args: ['o=product'], outputs: {o: "
	 "8B}}\n"},
	NULL, NULL, NULL, {{NULL}}};

static void test_what_made_a_product(void **state)
{
	char texts[3][2048], digest[DIGEST_TEXT_BYTES];
	struct digest d;

	write_texts(&lineage_row, texts);
	bench_open();
	bench_script("run w {\"n\": 4}; image sha256:def; run");
	digest_data("product", 7, &d);
	digest_format(&d, digest);
	CLEAN_JSON cJSON *j = product_lineage(bench.store, digest);
	const cJSON *made = cJSON_GetObjectItemCaseSensitive(j, "made_by");
	assert_int_equal(cJSON_GetArraySize(made), 2);
	const cJSON *first = cJSON_GetArrayItem(made, 1); /* the newest is before it */
	CLEAN_FREE char *text = cJSON_PrintUnformatted(first);
	assert_int_equal(json_int(first, "run", 0), 1);
	assert_string_equal(json_str(first, "output"), "o");
	digest_data("pixels", 6, &d);
	digest_format(&d, digest);
	assert_string_equal(json_str(cJSON_GetObjectItemCaseSensitive(first, "inputs"), "scene"), digest);
	const cJSON *steps = cJSON_GetObjectItemCaseSensitive(first, "steps");
	assert_int_equal(cJSON_GetArraySize(steps), 2); /* `other` has no part in it */
	assert_string_equal(json_str(cJSON_GetArrayItem(steps, 0), "stage"), "a");
	assert_string_equal(json_str(cJSON_GetArrayItem(steps, 0), "image_digest"), "sha256:abc");
	assert_non_null(strstr(text, "\"params\":{\"m\":4}"));
	assert_non_null(strstr(text, "\"args\":[\"x=4\"]"));
	assert_null(product_lineage(bench.store, "none"));
	bench_close();
}

static const struct row disk_row = {"disk", {"stages: {a: {image: i, args: [exit=1@1], outputs: {z: 8B}}}\n"},
	NULL, NULL, NULL, {{NULL}}};

/* A stage that fails while the disk is full is tried again, though the workflow asks for no retry. */
static void test_a_failure_on_a_full_disk(void **state)
{
	char texts[3][2048], text[256];

	write_texts(&disk_row, texts);
	bench.reserve = UINT64_MAX;
	bench_open();
	bench_script("run; +1; +2; +4; +8; +16; +32; +64");
	bench_describe(1, text, sizeof(text));
	assert_string_equal(text, "done: a done;");
	bench_close();
	bench.reserve = 0;
	bench_open();
	bench.n_starts = 0;
	bench_script("run; +60");
	bench_describe(2, text, sizeof(text));
	assert_non_null(strstr(text, "failed (stage a failed): a failed (exit 1"));
	bench_close();
}

static const struct row refused_row = {"refused",
	{"triggers: [{event: pass.begin}]\n"
	 "stages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"},
	NULL, NULL, NULL, {{NULL}}};

/* One runs, one waits, and the next is more than the quota allows: it is on record, and can be run again. */
static void test_what_is_not_taken_is_on_record(void **state)
{
	char texts[3][2048], words[256], reason[256];
	int64_t run;

	bench.tasks = bench.waiting = 1;
	write_texts(&refused_row, texts);
	bench_open();
	bench_script("event pass.begin x; +1; event pass.begin x; +1; event pass.begin x");
	assert_string_equal(bench.trace, "a:queued a:running 2.a:queued run3:cancelled");
	bench_describe(3, words, sizeof(words));
	assert_string_equal(
		words, "cancelled (not taken: 1 tasks of payload p wait already, its quota is 1):");
	bench_script("finish run-1.a");
	assert_int_equal(pipelines_rerun(bench.pipelines, 3, NULL, NULL, &run, reason, sizeof(reason)), 0);
	bench_script("finish run-2.a");
	bench_script("finish run-4.a");
	bench_describe(4, words, sizeof(words));
	assert_string_equal(words, "done: a done;");
	bench_close();
}

static const struct row logs_row = {"logs",
	{"stages:\n"
	 "  a: {image: i, foreach: [p, q, r], when: index != 1, args: ['log=$item'], outputs: {z: 8B}}\n"
	 "  b: {image: i, args: ['log=here'], outputs: {z: 8B}}\n"},
	NULL, NULL, NULL, {{NULL}}};

static void assert_log(const char *stage, int64_t item, const char *expected)
{
	char path[PATH_MAX], *text;
	size_t len;

	assert_int_equal(run_log_path(bench.store, bench.dir, 1, stage, item, path, sizeof(path)), 0);
	assert_int_equal(file_read(path, 100, &text, &len), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void test_each_element_has_its_log(void **state)
{
	char texts[3][2048], path[PATH_MAX];

	write_texts(&logs_row, texts);
	bench_open();
	bench_script("run");
	assert_log("a", 0, "p");
	assert_log("a", 2, "r");
	assert_log("b", -1, "here");
	assert_int_equal(run_log_path(bench.store, bench.dir, 1, "a", 1, path, sizeof(path)), ERR_UNKNOWN);
	bench_close();
}

#define FULL_ELEMENTS 60
static const struct row full_row = {"full",
	{"params: {n: {type: list, default: []}}\n"
	 "stages:\n"
	 "  a: {image: i, foreach: params.n, args: ['x=$item', hold], outputs: {x: 8B}}\n"
	 "  b: {image: i, needs: [a], outputs: {z: 8B}}\n"},
	NULL, NULL, NULL, {{NULL}}};

static void fill_disk(const char *path)
{
	static const char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* All elements are done, and there is no room for what they are joined to. */
static void test_a_full_disk_is_waited_out(void **state)
{
	char texts[3][2048], ballast[PATH_MAX], words[256];
	int n;

	if (mount("perigee-test", bench.dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m") < 0)
		skip(); /* needs root */
	snprintf(ballast, sizeof(ballast), "%s/ballast", bench.dir);
	write_texts(&full_row, texts);
	bench_open();
	n = snprintf(words, sizeof(words), "run w {\"n\":[0");
	for (int i = 1; i < FULL_ELEMENTS; i++)
		n += snprintf(words + n, sizeof(words) - (size_t)n, ",0");
	snprintf(words + n, sizeof(words) - (size_t)n, "]}");
	bench_script(words);
	for (int i = 0; i < FULL_ELEMENTS; i++) {
		if (i == FULL_ELEMENTS - 1)
			fill_disk(ballast);
		snprintf(words, sizeof(words), "finish run-1.a#%d", i);
		bench_script(words);
	}
	for (int i = 0; i < 30; i++)
		bench_pass(2);
	bench_describe(1, words, sizeof(words));
	assert_string_equal(words, "open: a running; b waiting;");
	assert_int_equal(unlink(ballast), 0);
	bench_pass(2);
	bench_describe(1, words, sizeof(words));
	assert_string_equal(words, "done: a done; b done;");
	bench_close();
}

static int full_teardown(void **state)
{
	umount2(bench.dir, MNT_DETACH); /* where it was mounted */
	return bench_teardown(state);
}

/* A start's good end, on its way through the worker. */
static void end_on_the_way(const char *label)
{
	for (size_t i = 0; i < bench.n_starts; i++) {
		struct bench_start *s = &bench.starts[i];

		if (strcmp(s->label, label) || s->reported)
			continue;
		s->reported = true;
		pipelines_stage_exited(bench.pipelines, &s->exit);
		return;
	}
	fail_msg("%s has not started", label);
}

static const struct row line_row = {"line",
	{"max_runs: 1\nstages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\n"}, NULL, NULL, NULL,
	{{NULL}}};

/* More than a slice: those that were ordered to be cancelled do not open meanwhile. */
static void test_what_is_to_be_cancelled_does_not_open(void **state)
{
	char texts[3][2048];

	write_texts(&line_row, texts);
	bench_open();
	bench_script("run; run; run; run; run; run; run; run; run; run; run; run");
	*bench.trace = '\0';
	bench_script("cancel workflow w");
	assert_null(strstr(bench.trace, "queued"));
	assert_non_null(strstr(bench.trace, "run12:cancelled"));
	assert_int_equal(pipelines_open_runs(bench.pipelines), 0);
	bench_script("run");
	assert_non_null(strstr(bench.trace, "13.a:running"));
	bench_close();
}

static const struct row late_row = {"late",
	{"stages: {a: {image: i, args: [hold], outputs: {z: 8B}}}\ndownlink: [{product: a.z}]\n"}, NULL, NULL,
	NULL, {{NULL}}};

/* The order is given, but its turn has not come when the run ends well. */
static void test_a_run_that_ended_before_its_cancel_sends_its_products(void **state)
{
	char texts[3][2048];

	bench.tasks = 16;
	write_texts(&late_row, texts);
	bench_open();
	bench_script("run; run; run; run; run; run; run; run; run; run");
	end_on_the_way("run-10.a");
	bench_script("now cancel workflow w");
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	assert_non_null(strstr(bench.trace, "run10:done"));
	bench_settle();
	assert_non_null(strstr(bench.trace, "run9:cancelled"));
	assert_string_equal(bench.products, "10:a.z ");
	bench_close();
}

static const struct row element_row = {"element",
	{"stages:\n"
	 "  a: {image: i, foreach: [1, 2], args: ['x=$item', hold], outputs: {x: {max: 8B, type: json}}}\n"},
	NULL, NULL, NULL, {{NULL}}};

static void test_a_cancelled_element_is_left_out_though_it_was_good(void **state)
{
	char texts[3][2048], words[256];
	int64_t task;

	write_texts(&element_row, texts);
	bench_open();
	bench_script("run");
	assert_int_equal(run_stage_task(bench.store, 1, "a", 0, &task), 0);
	end_on_the_way("run-1.a#0");
	snprintf(words, sizeof(words), "now cancel task %lld", (long long)task);
	bench_script(words);
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	bench_script("finish run-1.a#1");
	CLEAN_FREE char *text = bench_output(1, "a", "x");
	assert_string_equal(text, "[null,2]");
	bench_describe(1, words, sizeof(words));
	assert_string_equal(words, "done: a done (1 of 2 elements were left out);");
	bench_close();
}

/* The end of the run is written, then its product is refused: nothing of that is kept. */
static void test_half_an_end_is_not_committed(void **state)
{
	char texts[3][2048], words[256];

	write_texts(&late_row, texts);
	bench_open();
	bench_script("run");
	bench.sink_err = -ENOMEM;
	end_on_the_way("run-1.a");
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	assert_int_equal(store_turn_end(bench.store), ERR_STORE);
	bench.sink_err = 0;
	bench_script("restart; finish run-1.a");
	bench_describe(1, words, sizeof(words));
	assert_string_equal(words, "done: a done;");
	assert_string_equal(bench.products, "1:a.z ");
	bench_close();
}

static const struct row pair_row = {"pair",
	{"stages:\n"
	 "  a: {image: i, foreach: [1, 2], args: ['x=$item'], outputs: {x: {max: 8B, type: "
	 "json}}}\n"},
	NULL, NULL, NULL, {{NULL}}};

static int deny_elements(
	void *user, int action, const char *table, const char *column, const char *db, const char *trigger)
{
	return action == SQLITE_INSERT && !strcmp(table, "run_item") ? SQLITE_DENY : SQLITE_OK;
}

/* Elements that cannot be queued are not left out by that. */
static void test_half_a_list_is_not_committed(void **state)
{
	char texts[3][2048];

	write_texts(&pair_row, texts);
	bench_open();
	bench_script("now run; .");
	sqlite3_set_authorizer(store_db(bench.store), deny_elements, NULL);
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	assert_int_equal(store_turn_end(bench.store), ERR_STORE);
	bench_script("restart");
	CLEAN_FREE char *text = bench_output(1, "a", "x");
	assert_string_equal(text, "[1,2]");
	bench_close();
}

static const struct row used_row = {"used",
	{"stages:\n"
	 "  a: {image: i, foreach: [1], outputs: {z: 8B}}\n"
	 "  h: {uses: v}\n"
	 "on_exit: [h]\n",
		"stages: {b: {image: i, outputs: {z: 8B}}}\n"},
	NULL, NULL, NULL, {{NULL}}};

/* Cancelled while its list is read, then the power is cut: the next start finds the handler ready. */
static void test_what_is_ready_at_a_start_finds_its_workflow(void **state)
{
	char texts[3][2048], words[256];

	write_texts(&used_row, texts);
	bench_open();
	bench_script("now run; .; now cancel run 1; .; restart");
	bench_describe(1, words, sizeof(words));
	assert_string_equal(words, "cancelled (by test): a cancelled (by test); h done (run 2 is done);");
	bench_close();
}

/* A flood of events is one row, until one is taken again. */
static void test_what_is_not_taken_is_counted(void **state)
{
	char texts[3][2048], words[256];

	bench.tasks = bench.waiting = 1;
	write_texts(&refused_row, texts);
	bench_open();
	bench_script("event pass.begin x; +1; event pass.begin x");
	for (int i = 0; i < 50; i++)
		bench_script("+1; event pass.begin x");
	bench_describe(3, words, sizeof(words));
	assert_string_equal(words,
		"cancelled (not taken, 50 in a row: 1 tasks of payload p wait already, its quota is 1):");
	CLEAN_JSON cJSON *j = run_provenance(bench.store, 3);
	assert_int_equal(json_int(j, "refused", 0), 50);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(j, "stages")), 0);
	bench_script("finish run-1.a; +1; event pass.begin x; +1; event pass.begin x");
	bench_describe(4, words, sizeof(words));
	assert_string_equal(words, "open: a queued;"); /* taken */
	bench_describe(5, words, sizeof(words));
	assert_string_equal(
		words, "cancelled (not taken: 1 tasks of payload p wait already, its quota is 1):");
	bench_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_language),
		cmocka_unit_test_setup_teardown(
			test_what_is_not_taken_is_counted, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_ready_at_a_start_finds_its_workflow, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_half_an_end_is_not_committed, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_half_a_list_is_not_committed, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_a_failure_on_a_full_disk, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_what_made_a_product, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_not_taken_is_on_record, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk_is_waited_out, bench_setup, full_teardown),
		cmocka_unit_test_setup_teardown(test_each_element_has_its_log, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_to_be_cancelled_does_not_open, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_a_run_that_ended_before_its_cancel_sends_its_products,
			bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_a_cancelled_element_is_left_out_though_it_was_good,
			bench_setup, bench_teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
