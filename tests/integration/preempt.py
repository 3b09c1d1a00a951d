#!/usr/bin/env python3
"""What matters more takes the place of what matters less, and the battery is heeded, with real processes and the twin's power
monitor.

  preempt.py BUILD
"""
import os
import signal
import subprocess
import sys
import time

from mission import Mission, wait_for

SKIP = 77
BUILD = ""

SPIN = """perigee: v1
workflow: {name}
payload: {payload}
priority: {priority}
stages:
  spin:
    image: hostile
    args: [spin]
    outputs: {{result: 1KiB}}
    resources: {{cpus: 1, memory: 64MiB, time: {time}}}
"""


class Contended(Mission):
    def __init__(self, more, time="1h"):
        super().__init__(BUILD, ("--interval", "0s", "--count", "0", "--size", "128x128"))
        self.more = more
        self.time = time

    def policy(self):
        return super().policy().replace("grants:\n", f"""  power0: {{class: power-monitor, driver: iio, uri: "ip:127.0.0.1:{self.iiod_port}", device: power0, timeout: 1s}}
grants:
  - {{payload: perigee, device: power0, operations: [read]}}
""")

    def prepare(self):
        super().prepare()
        subprocess.run([self.path("ground", "perigee"), "image", "build", "hostile", self.path("tests/hostile", "hostile"),
                        f"{self.work}/images/hostile"], check=True, stdout=self.log)
        for name, priority in (("survey", 50), ("alarm", 250)):
            self.write(f"{name}.yaml", SPIN.format(name=name, payload=self.payload, priority=priority,
                                                   time=self.time if name == "survey" else "1h"))
        self.write_mission(self.more)

    def write_mission(self, more):
        self.write("mission.yaml", self.mission(["survey.yaml", "alarm.yaml"]) + more)

    def start(self):
        d = self.supervisor("--no-keeper")
        wait_for(lambda: self.perigee("status")[0] == 0, "the supervisor does not answer")
        return d

    def trigger(self, workflow):
        status, reply = self.perigee("trigger", workflow)
        assert status == 0, reply
        return reply["run"]

    def state(self, run):
        return self.perigee("show", str(run))[1]["stages"][0]["state"]

    def is_now(self, run, state):
        wait_for(lambda: self.state(run) == state, f"run {run} is not {state}")

    def queue(self):
        return self.perigee("queue")[1]

    def cancel(self, run):
        assert self.perigee("cancel", "--run", str(run))[0] == 0


def cpu_ticks():
    """Of each process that spins, by its number."""
    ticks = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{p}/cmdline").read().split("\0")[1:2] == ["spin"]:
                fields = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
                ticks[p] = int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks


def test_what_is_less_important_stands_still_and_goes_on():
    with Contended("budget: {cpus: 1, tasks: 2}\n", time="6s") as m:
        m.start()
        survey = m.trigger("survey")
        m.is_now(survey, "running")
        wait_for(lambda: len(cpu_ticks()) == 1, "it does not run")
        (low,) = cpu_ticks()
        alarm = m.trigger("alarm")
        m.is_now(alarm, "running")
        m.is_now(survey, "frozen")
        q = m.queue()
        assert [(t["run"], t.get("frozen", False)) for t in q["running"]] == [(survey, True), (alarm, False)], q
        assert "stands still" in q["running"][0]["why"] and q["used"]["cpus_milli"] == 1000, q
        assert "stands still" in m.perigee("explain", f"{survey}.spin")[1]["why"]
        wait_for(lambda: len(cpu_ticks()) == 2, "both are not there")
        time.sleep(0.5)  # freezing takes effect a moment after
        before = cpu_ticks()
        time.sleep(7)  # more than its time limit
        after = cpu_ticks()
        assert before[low] == after[low], (before, after)
        assert m.state(survey) == "frozen"
        m.cancel(alarm)
        m.is_now(survey, "running")
        m.is_now(survey, "failed")  # of its time limit, of which some was left
        _, run = m.perigee("show", str(survey))
        assert "more than its 6.000 s" in run["stages"][0]["reason"], run
        assert run["stages"][0]["attempts"] == 1 and 5900 < run["stages"][0]["wall_ms"] < 8000, run


def test_where_memory_is_short_it_is_stopped_and_put_back():
    with Contended("budget: {cpus: 4, memory: 100MiB, tasks: 4}\n") as m:
        m.start()
        survey = m.trigger("survey")
        m.is_now(survey, "running")
        alarm = m.trigger("alarm")
        m.is_now(alarm, "running")
        e = m.perigee("explain", f"{survey}.spin")[1]
        assert e["state"] == "ready" and [a["outcome"] for a in e["attempts"]] == ["preempted"], e
        assert "more important" in e["attempts"][0]["reason"], e
        m.cancel(alarm)
        m.is_now(survey, "running")
        assert m.perigee("explain", f"{survey}.spin")[1]["attempt"] == 2
        m.cancel(survey)
        m.is_now(survey, "cancelled")


def test_a_battery_below_its_reserve_lets_only_the_critical_class_start():
    with Contended("energy: {device: power0, every: 1s, reserve: 95%, resume: 99%}\n") as m:
        d = m.start()
        wait_for(lambda: m.queue()["power"]["known"], "the battery is not read")
        survey, alarm = m.trigger("survey"), m.trigger("alarm")
        m.is_now(alarm, "running")
        q = m.queue()
        assert 80 < q["power"]["battery_percent"] < 95 and q["power"]["only_critical"], q
        assert m.state(survey) == "queued"
        assert "the battery is at" in m.perigee("explain", f"{survey}.spin")[1]["why"]
        m.cancel(alarm)
        d.send_signal(signal.SIGTERM)
        d.wait()
        # With another reserve it is full enough.
        m.write_mission("energy: {device: power0, every: 1s, reserve: 30%}\n")
        m.start()
        m.is_now(survey, "running")
        # The monitor says nothing any more: with care.
        m.camera.send_signal(signal.SIGSTOP)
        wait_for(lambda: not m.queue()["power"]["known"], "a silent monitor is believed")
        second = m.trigger("survey")
        m.cancel(survey)
        m.is_now(survey, "cancelled")
        assert m.state(second) == "queued"
        assert "not known" in m.perigee("explain", f"{second}.spin")[1]["why"]
        m.camera.send_signal(signal.SIGCONT)
        m.is_now(second, "running")


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
