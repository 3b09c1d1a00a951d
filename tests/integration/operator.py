#!/usr/bin/env python3
"""An operator at a running supervisor: what is ordered is done, stands over a restart, and is refused with a reason where it
makes no sense.

  operator.py BUILD
"""
import json
import os
import signal
import socket
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
            self.write(f"{name}.yaml", COPY.format(name=name, payload=self.payload))
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
