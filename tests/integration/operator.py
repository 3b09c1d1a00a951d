#!/usr/bin/env python3
"""An operator at a running supervisor: what is ordered is done, stands over a restart, and is refused with a reason where it
makes no sense.

  operator.py BUILD
"""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys

from mission import Mission, wait_for

SKIP = 77
BUILD = ""

COPY = """perigee: v1
workflow: {name}
payload: {payload}
triggers: [{{event: image.acquired, device: cam0}}]
stages:
  copy: {{image: hostile, args: [good], inputs: {{input: trigger.frame}}, outputs: {{result: 1MiB}}, resources: {{time: 1m}}}}
"""


# What commands and events start. `good` copies its input.
ASKED = """perigee: v1
workflow: asked
payload: {payload}
params:
  limit: {{type: number, default: 1, min: 0, max: 9}}
stages:
  first: {{image: hostile, args: [good], inputs: {{input: trigger.file}}, outputs: {{result: 1MiB}}, params: {{limit: $params.limit}}}}
  second:
    image: hostile
    args: [good]
    approve: "really?"
    inputs: {{input: first.result}}
    outputs: {{result: 1MiB}}
"""
ENDLESS = """perigee: v1
workflow: endless
payload: {payload}
triggers: [{{event: pass.begin, place: svalbard}}]
stages:
  spin: {{image: hostile, args: [spin], outputs: {{result: 1KiB}}, resources: {{time: 1h}}}}
  after: {{image: hostile, args: [spin], needs: [spin], outputs: {{result: 1KiB}}}}
"""


class Operated(Mission):
    """Frames come by hand: `count` of them, each a run of every workflow; one task at a time."""

    def __init__(self, count, workflows=("a",)):
        super().__init__(BUILD, ("--interval", "0s", "--count", str(count), "--size", "128x128"))
        self.workflows = workflows

    def prepare(self):
        super().prepare()
        subprocess.run([self.path("ground", "perigee"), "image", "build", "hostile", self.path("tests/hostile", "hostile"),
                        f"{self.work}/images/hostile"], check=True, stdout=self.log)
        for name in self.workflows:
            text = {"asked": ASKED, "endless": ENDLESS}.get(name, COPY)
            self.write(f"{name}.yaml", text.format(name=name, payload=self.payload))
        self.write("mission.yaml", self.mission([f"{name}.yaml" for name in self.workflows]) + "budget: {tasks: 1}\n")

    def start(self):
        d = self.supervisor("--no-keeper")
        wait_for(lambda: self.perigee("status")[0] == 0, "the supervisor does not answer")
        return d

    def tasks(self):
        return self.perigee("status")[1]["tasks"]

    def order(self, *argv):
        status, reply = self.perigee(*argv)
        assert status == 0 and reply["ok"] is True, (argv, status, reply)
        return reply

    def refused(self, *argv):
        """The exit status and what was said."""
        p = subprocess.run([self.path("ground", "perigee"), *argv, "--state", f"{self.work}/state"],
                           stdout=self.log, stderr=subprocess.PIPE, text=True)
        assert p.returncode != 0, argv
        return p.returncode, p.stderr

    def runs(self):
        _, runs = self.perigee("runs")
        return [self.perigee("show", str(r["run"]))[1] for r in runs or []]

    def run_is(self, run, state, *stages):
        """Waits for it; the run."""
        def there():
            r = self.perigee("show", str(run))[1]
            return r and r["state"] == state and (not stages or [s["state"] for s in r["stages"]] == list(stages))
        wait_for(there, f"run {run} is not {state} {stages}")
        return self.perigee("show", str(run))[1]

    def started(self, run):
        return self.perigee("show", str(run))[1]["stages"][0]["started"]


def stop(d, how=signal.SIGTERM):
    d.send_signal(how)
    d.wait()
    return d.returncode


def test_what_is_held_waits_over_restarts_and_goes_on_when_released():
    with Operated(4) as m:
        # Held before anything of it is there, by the first supervisor that knows the workflow.
        m.camera.send_signal(signal.SIGSTOP)
        d = m.start()
        m.order("hold", "--workflow", "a")
        m.camera.send_signal(signal.SIGCONT)
        wait_for(lambda: m.tasks()["ready"] == 4, "the runs are not made")
        for how in (signal.SIGTERM, signal.SIGKILL):
            stop(d, how)
            d = m.start()
            assert m.tasks()["ready"] == 4 and m.tasks()["done"] == 0, m.tasks()
        # The last one first, and with it the order of all.
        m.order("priority", "200", "--run", "4")
        m.order("priority", "150", "--run", "3")
        assert stop(d) == 0
        d = m.start()
        assert m.order("release", "--workflow", "a")["tasks"] == 4
        wait_for(lambda: m.tasks()["done"] == 4, "what was released does not run")
        order = sorted(range(1, 5), key=m.started)
        assert order == [4, 3, 1, 2], order
        assert [r["state"] for r in m.runs()] == ["done"] * 4


def test_every_decision_is_explained():
    with Operated(3, ("a", "b")) as m:
        m.camera.send_signal(signal.SIGSTOP)
        m.start()
        m.order("hold", "--workflow", "a")
        m.order("hold", "--payload", m.payload)
        m.camera.send_signal(signal.SIGCONT)
        wait_for(lambda: m.tasks()["ready"] == 6, "the runs are not made")
        q = m.order("queue")
        assert [t["why"] for t in q["waiting"]] == ["an operator holds it"] * 6, q
        assert q["more"] == 0 and q["running"] == [] and q["budget"]["tasks"] == 1
        assert {(o["scope"], o["name"], o["hold"]) for o in q["orders"]} == {("payload", m.payload, "held")}, q["orders"]
        assert len(m.order("queue", "--limit", "2")["waiting"]) == 2
        task = q["waiting"][0]["task"]
        e = m.order("explain", str(task))
        assert e["state"] == "ready" and e["held_by"]["scope"] == "payload", e
        m.order("hold", "--task", str(task))
        assert m.order("explain", str(task))["held_by"] == {"scope": "task", "id": task}
        m.order("release", "--payload", m.payload)
        wait_for(lambda: m.tasks()["done"] == 6, "what was released does not run")
        e = m.order("explain", str(task))
        assert e["state"] == "done" and "it is over" in e["why"] and e["chosen"] == "head" and e["attempts"] == [], e
        assert m.order("explain", f"{e['run']}.copy")["task"] == task
        assert m.refused("explain", f"{e['run']}.nope")[0] == 66 and m.refused("explain", "1.copy[0]")[0] == 66
        assert m.refused("explain", "1.copy[x]")[0] == 64
        # For people, too.
        for argv, says in ((("queue",), "waiting: 0"), (("explain", str(task)), f"task {task}, ")):
            p = subprocess.run([m.path("ground", "perigee"), *argv, "--state", f"{m.work}/state"], stdout=subprocess.PIPE,
                               text=True)
            assert p.returncode == 0 and says in p.stdout, p.stdout
        for argv, status in ((("explain", "99"), 66), (("explain", "x"), 64), (("explain",), 64),
                             (("queue", "--limit", "1001"), 65), (("queue", "--limit", "x"), 64)):
            assert m.refused(*argv)[0] == status, argv


def test_the_narrower_order_counts():
    with Operated(2, ("a", "b")) as m:
        m.camera.send_signal(signal.SIGSTOP)
        m.start()
        m.order("hold", "--all")
        m.order("release", "--workflow", "b")
        m.camera.send_signal(signal.SIGCONT)
        wait_for(lambda: m.tasks()["done"] == 2, "what was released does not run")
        assert m.tasks()["ready"] == 2
        assert {r["workflow"] for r in m.runs() if r["state"] == "done"} == {"b"}
        m.order("release", "--all")
        wait_for(lambda: m.tasks()["done"] == 4, "what was released does not run")


def test_a_run_by_command_asks_and_goes_on_and_runs_again():
    with Operated(0, ("asked",)) as m:
        m.write("file", "what is read")
        d = m.start()
        assert m.order("trigger", "asked", "--input", f"file={m.work}/file", "--param", "limit=3")["run"] == 1
        m.run_is(1, "open", "done", "asking")
        with sqlite3.connect(f"file:{m.work}/state/perigee.db?mode=ro", uri=True) as db:
            assert json.loads(db.execute("SELECT params FROM run WHERE id = 1").fetchone()[0]) == {"limit": 3}
        # It still asks after a restart, and the files that came along are in the store.
        os.unlink(f"{m.work}/file")
        stop(d, signal.SIGKILL)
        d = m.start()
        m.run_is(1, "open", "done", "asking")
        m.order("approve", "1", "second")
        m.run_is(1, "done", "done", "done")
        again = m.order("rerun", "1", "--from", "second")["run"]
        run = m.run_is(again, "open", "done", "asking")
        m.order("approve", str(again), "second", "--reject")
        run = m.run_is(again, "failed", "done", "failed")
        assert "user 0" in json.dumps(run), run
        for argv, status, says in (
            (("trigger", "nope"), 66, "no workflow nope"),
            (("trigger", "asked"), 65, "file"),
            (("trigger", "asked", "--input", "bogus=/dev/null"), 65, "no input bogus"),
            (("trigger", "asked", "--input", f"file={m.work}/gone"), 66, "No such file"),
            (("trigger", "asked", "--input", "file=/dev/null"), 65, "expected a file"),
            (("trigger", "asked", "--input", f"file={m.work}"), 65, "expected a file"),
            (("trigger", "asked", "--input", f"file={m.work}/log", "--param", "limit=10"), 65, "limit"),
            (("trigger", "asked", "--input", f"file={m.work}/log", "--param", "bogus=1"), 65, "bogus"),
            (("trigger", "asked", "--input", "x"), 64, "NAME=FILE"),
            (("trigger", "asked", "--param", "x"), 64, "NAME=VALUE"),
            (("trigger",), 64, "Usage"),
            (("approve", "1", "second"), 65, ""),
            (("approve", "1", "nope"), 66, "nope"),
            (("approve", "9", "second"), 66, "9"),
            (("approve", "x", "second"), 64, "number"),
            (("rerun", "9"), 66, "9"),
            (("rerun", "1", "--from", "nope"), 66, "nope"),
        ):
            got, said = m.refused(*argv)
            assert got == status and says in said, (argv, got, said)
        assert len(m.runs()) == 2


def test_an_event_by_hand_and_a_cancel():
    with Operated(0, ("endless",)) as m:
        m.start()
        assert m.order("event", "pass.begin", "--place", "kiruna")["runs"] == 0
        assert m.order("event", "pass.begin", "--place", "svalbard")["runs"] == 1
        m.run_is(1, "open", "running", "waiting")
        m.order("cancel", "--run", "1", "--why", "not today")
        run = m.run_is(1, "cancelled", "cancelled", "cancelled")
        assert "not today" in json.dumps(run), run
        wait_for(lambda: m.tasks()["running"] == 0, "what was cancelled runs on")
        assert m.order("event", "pass.begin", "--place", "svalbard")["runs"] == 1
        m.run_is(2, "open", "running", "waiting")
        m.order("cancel", "--all")
        m.run_is(2, "cancelled")
        for argv, status in ((("cancel", "--run", "1"), 65), (("cancel", "--run", "9"), 66), (("cancel", "--task", "9"), 66),
                             (("cancel", "--workflow", "nope"), 66), (("cancel",), 64), (("event",), 64)):
            assert m.refused(*argv)[0] == status, argv


def test_what_makes_no_sense_is_refused_and_changes_nothing():
    with Operated(1) as m:
        m.start()
        wait_for(lambda: m.tasks()["done"] == 1, "the run does not end")
        before = m.perigee("runs")
        for argv, status, says in (
            (("hold", "--task", "99"), 66, "99"),
            (("hold", "--task", "1"), 65, "over"),
            (("hold", "--run", "77"), 66, "77"),
            (("hold", "--workflow", "nope"), 66, "nope"),
            (("release", "--payload", "nobody"), 66, "nobody"),
            (("priority", "10", "--task", "1"), 65, "over"),
            (("hold",), 64, "Usage"),
            (("hold", "--all", "--run", "1"), 64, "Usage"),
            (("hold", "--run", "x"), 64, "expected a number"),
            (("hold", "--run", "-1"), 64, "expected a number"),
            (("priority", "256", "--all"), 64, "0 to 255"),
            (("priority", "--all"), 64, "Usage"),
        ):
            got, said = m.refused(*argv)
            assert got == status and says in said, (argv, got, said)
        assert m.perigee("runs") == before
        # Past the command: requests that it would not make.
        for request in ({"ask": "hold"}, {"ask": "hold", "all": False}, {"ask": "hold", "task": "1"},
                        {"ask": "hold", "task": 1.5}, {"ask": "hold", "run": 0}, {"ask": "hold", "workflow": 1},
                        {"ask": "hold", "workflow": ""}, {"ask": "hold", "all": True, "run": 1},
                        {"ask": "priority", "all": True}, {"ask": "priority", "all": True, "priority": -1},
                        {"ask": "priority", "all": True, "priority": 1e300}, {"ask": "fly"}):
            reply = raw(m, request)
            assert reply["ok"] is False and reply["error"], (request, reply)
        assert raw(m, {"ask": "status"})["ok"] is True


def raw(m, request):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{m.work}/state/control.sock")
        s.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(s.makefile().readline())


def main():
    global BUILD
    BUILD = sys.argv[1]
    if os.geteuid() != 0:
        print("skipped: needs root")
        return SKIP
    only = sys.argv[2:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not only or name in only):
            test()
            print(name[5:].replace("_", " "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
