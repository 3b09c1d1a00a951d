#!/usr/bin/env python3
"""kill -9 of perigeed, of the broker or of the launcher, at random instants of real work, again and again.

After it: every image has exactly one result on the ground, no stage that had finished ran again, and no process, mount
or cgroup of a dead run is left over. The camera, the broker, the launcher, the stages and the ground are the real ones.

  kill.py BUILD [KILLS] [SEED]
"""
import glob
import json
import os
import random
import signal
import sqlite3
import sys
import time

from mission import Mission, alive, children, wait_for

SKIP = 77


def main():
    if os.geteuid() != 0:
        print("skipped: sandboxes need root")
        return SKIP
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    images = kills * 2  # about what is done between the kills: there is work at most of them
    camera = ("--interval", "0s", "--size", "192x192", "--count", str(images))
    with Mission(sys.argv[1], camera) as mission:
        Test(mission, kills, images, random.Random(seed)).run()
    return 0


class Test:
    def __init__(self, mission, kills, images, rng):
        self.m, self.kills, self.images, self.rng = mission, kills, images, rng
        self.work = mission.work
        self.launchers = set()
        self.finished = {}  # (run, stage) -> what was recorded when it was first seen done

    def run(self):
        for n in range(self.kills):
            self.one_kill(n)
        self.to_the_end()
        self.check()

    def supervisor(self):
        return self.m.supervisor("--no-keeper")

    def one_kill(self, n):
        d = self.supervisor()
        deadline = time.monotonic() + self.rng.uniform(0.0, 0.6)
        names = ["perigeed", "perigee-launch", "perigee-broker"]
        victim_name = self.rng.choice(names)
        time.sleep(max(0, deadline - time.monotonic()))
        family = children(d.pid)
        victim = next((p for p, name in family.items() if name.startswith(victim_name)), d.pid)
        kill(victim)
        # The others end by themselves: nobody is told to.
        wait_for(lambda: d.poll() is not None, f"perigeed outlives its {victim_name} (kill {n})")
        wait_for(lambda: not any(alive(p) for p in family), f"a helper outlives perigeed (kill {n}): {family}")
        self.launchers |= {p for p, name in family.items() if name.startswith("perigee-launch")}
        wait_for(lambda: not self.stages(), f"a stage outlives the launcher (kill {n})")
        if victim != d.pid:
            assert d.returncode in (70, -9), f"perigeed ended with {d.returncode} when its {victim_name} was killed"
        self.look()
        if sys.stdout.isatty():
            print(f"\r{n + 1} of {self.kills} kills, {len(self.finished)} stages finished", end="", flush=True)

    def stages(self):
        """The processes of our launchers' stages: by control group, for others may run stages on this machine too."""
        ours = [f"/perigee-launcher/{p}-" for p in self.launchers]
        found = []
        for path in glob.glob("/proc/[0-9]*/cgroup"):
            try:
                groups = open(path).read()
            except OSError:
                continue
            pid = int(path.split("/")[2])
            if any(o in groups for o in ours) and pid not in self.launchers and alive(pid):
                found.append(pid)
        return found

    def database(self):
        return sqlite3.connect(f"file:{self.work}/state/perigee.db?mode=ro", uri=True)

    def look(self):
        """What has finished must stay as it was recorded."""
        if not os.path.exists(f"{self.work}/state/perigee.db"):
            return
        db = self.database()
        try:
            rows = db.execute("SELECT run, stage, attempts, started_ns, ended_ns FROM run_stage WHERE state = 3").fetchall()
        except sqlite3.OperationalError as e:
            assert "no such table" in str(e), e
            rows = []
        db.close()
        now = {(r[0], r[1]): r[2:] for r in rows}
        for key, value in self.finished.items():
            assert now.get(key) == value, f"stage {key} had finished, {value}, and is now {now.get(key)}"
        self.finished.update(now)

    def to_the_end(self):
        d = self.supervisor()
        while (n := len(self.m.results())) < self.images:
            wait_for(lambda: len(self.m.results()) > n, f"only {n} of {self.images} images get a result")
        wait_for(lambda: self.m.perigee("status")[0] == 0, "the last supervisor does not answer")
        self.launchers |= {p for p, name in children(d.pid).items() if name.startswith("perigee-launch")}
        d.send_signal(signal.SIGTERM)
        wait_for(lambda: d.poll() is not None, "perigeed does not end on SIGTERM")
        assert d.returncode == 0, d.returncode
        self.look()

    def check(self):
        db = self.database()
        frames = db.execute("SELECT count(*), count(DISTINCT frame_id) FROM frame").fetchone()
        runs = db.execute("SELECT count(*), sum(state = 1) FROM run").fetchone()
        interrupted = db.execute("SELECT sum(interrupted) FROM task").fetchone()[0]
        db.close()
        assert frames == (self.images, self.images), frames
        assert runs == (self.images, self.images), runs
        seen = set()
        for folder in self.m.results():
            with open(f"{self.work}/out/results/{folder}/run.json") as f:
                run = json.load(f)
            frame = run.get("provenance", run)["event"]["frame_id"]
            assert frame not in seen, f"{frame} has two results"
            seen.add(frame)
        assert len(seen) == self.images, len(seen)
        rejected = f"{self.work}/out/rejected"
        assert not os.path.isdir(rejected) or not os.listdir(rejected), os.listdir(rejected)
        # Their mounts are in namespaces of their own, which end with the last process.
        assert not self.stages()
        # Each launcher collects what dead ones left, and the last one ended in order.
        left = [c for c in launcher_groups() if int(os.path.basename(c).split("-")[0]) in self.launchers]
        assert not left, left
        assert interrupted or self.kills < 100, "no kill met a running stage"
        print(f"{self.kills} kills, {self.images} images, {interrupted} stages interrupted: each image has one result")


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def launcher_groups():
    """The control group of each launcher on this machine, PID-STARTTIME, in each hierarchy."""
    return glob.glob("/sys/fs/cgroup/**/perigee-launcher/*-*", recursive=True)


if __name__ == "__main__":
    sys.exit(main())
