#!/usr/bin/env python3
"""kill -9 of perigeed, of the broker or of the launcher, at random instants of real work, again and again.

After it: every image has exactly one result on the ground, no stage that had finished ran again, and no process, mount
or cgroup of a dead run is left over. The camera, the broker, the launcher, the stages and the ground are the real ones.

  kill.py BUILD [KILLS] [SEED]
"""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

SKIP = 77
STAGE_UIDS = 0x70000000  # host ids of stages
WAIT_S = 120


def main():
    if os.geteuid() != 0:
        print("skipped: sandboxes need root")
        return SKIP
    build = os.path.abspath(sys.argv[1])
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    work = tempfile.mkdtemp(prefix="perigee-kill.")
    os.chmod(work, 0o755)
    try:
        Test(build, work, kills, random.Random(seed)).run()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


class Test:
    def __init__(self, build, work, kills, rng):
        self.build, self.work, self.kills, self.rng = build, work, kills, rng
        self.images = max(8, kills * 3 // 4)
        self.finished = {}  # (run, stage) -> what was recorded when it was first seen done
        self.processes = []
        self.log = open(f"{work}/log", "w")

    def spawn(self, *argv, out=None):
        p = subprocess.Popen(argv, stdout=out or self.log, stderr=self.log, cwd=self.work, text=True)
        self.processes.append(p)
        return p

    def listening(self, *argv):
        p = self.spawn(*argv, out=subprocess.PIPE)
        for line in p.stdout:
            event = json.loads(line)
            if event.get("event") == "listening":
                return p, event["port"]
        raise AssertionError(f"{argv[0]} did not say where it listens")

    def run(self):
        b, w = self.build, self.work
        shutil.copytree(f"{b}/pipelines/eo/images", f"{w}/images")
        shutil.copy(f"{b}/pipelines/eo/ship-count.yaml", w)
        subprocess.run([f"{b}/ground/perigee", "keys", f"{w}/downlink"], check=True, stdout=self.log)
        self.camera, iiod = self.listening(f"{b}/twin/perigee-twin", "serve", "--json", "--port", "0", "--interval",
                                           "0s", "--size", "192x192", "--count", str(self.images))
        self.ground, port = self.listening(f"{b}/ground/perigee", "receive", "--json", "--listen", "127.0.0.1:0",
                                           "--out", f"{w}/out", "--key", f"{w}/downlink.pub")
        # The pipe must not fill up: from here on nobody needs the lines.
        for p in (self.camera, self.ground):
            self.drain(p)
        with open(f"{w}/policy.yaml", "w") as f:
            f.write(f"""perigee: v1
policy: kill
devices:
  cam0: {{class: camera, driver: iio, uri: "ip:127.0.0.1:{iiod}", device: cam0, timeout: 20s}}
grants:
  - {{payload: harbour-watch, device: cam0, operations: [capture]}}
""")
        with open(f"{w}/mission.yaml", "w") as f:
            f.write(f"""perigee: v1
mission: kill
workflows: [ship-count.yaml]
images: images
policy: policy.yaml
state: state
run-as: nobody
downlink: {{to: "127.0.0.1:{port}", key: downlink.key}}
""")
        try:
            for n in range(self.kills):
                self.one_kill(n)
            self.to_the_end()
            self.check()
        except AssertionError:
            self.log.flush()
            print(open(f"{w}/log").read()[-6000:])
            raise
        finally:
            for p in self.processes:
                if p.poll() is None:
                    p.kill()
                    p.wait()

    def drain(self, p):
        import threading
        threading.Thread(target=lambda: [None for _ in p.stdout], daemon=True).start()

    def supervisor(self):
        return self.spawn(f"{self.build}/ground/perigeed", "--mission", f"{self.work}/mission.yaml", "--no-keeper")

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
        wait_for(lambda: not stage_processes(), f"a stage outlives the launcher (kill {n}): {stage_processes()}")
        assert not stage_mounts(), stage_mounts()
        if victim != d.pid:
            assert d.returncode in (70, -9), f"perigeed ended with {d.returncode} when its {victim_name} was killed"
        self.look()
        if sys.stdout.isatty():
            print(f"\r{n + 1} of {self.kills} kills, {len(self.finished)} stages finished", end="", flush=True)

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
        wait_for(lambda: self.results() >= self.images, "not every image gets a result")
        d.send_signal(signal.SIGTERM)
        wait_for(lambda: d.poll() is not None, "perigeed does not end on SIGTERM")
        assert d.returncode == 0, d.returncode
        self.look()

    def results(self):
        folder = f"{self.work}/out/results"
        return len(os.listdir(folder)) if os.path.isdir(folder) else 0

    def check(self):
        db = self.database()
        frames = db.execute("SELECT count(*), count(DISTINCT frame_id) FROM frame").fetchone()
        runs = db.execute("SELECT count(*), sum(state = 1) FROM run").fetchone()
        interrupted = db.execute("SELECT sum(interrupted) FROM task").fetchone()[0]
        db.close()
        assert frames == (self.images, self.images), frames
        assert runs == (self.images, self.images), runs
        seen = set()
        for folder in os.listdir(f"{self.work}/out/results"):
            with open(f"{self.work}/out/results/{folder}/run.json") as f:
                run = json.load(f)
            frame = run.get("provenance", run)["event"]["frame_id"]
            assert frame not in seen, f"{frame} has two results"
            seen.add(frame)
        assert len(seen) == self.images, len(seen)
        rejected = f"{self.work}/out/rejected"
        assert not os.path.isdir(rejected) or not os.listdir(rejected), os.listdir(rejected)
        assert not stage_processes() and not stage_mounts()
        left = [c for c in cgroups() if not alive(int(c.rsplit("/", 1)[1].split("-")[2]))]
        # The groups of the last launcher go with it, or with the next one.
        assert len(left) <= 8, left
        print(f"{self.kills} kills, {self.images} images, {interrupted} stages interrupted: each image has one result")


def children(pid):
    """pid and all its descendants, with names."""
    parents, names = {}, {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = open(f"/proc/{p}/stat").read()
        except OSError:
            continue
        names[int(p)] = stat[stat.index("(") + 1:stat.rindex(")")]
        parents[int(p)] = int(stat[stat.rindex(")") + 2:].split()[1])
    family = {pid: names.get(pid, "")}
    while True:
        more = {p: names[p] for p, parent in parents.items() if parent in family and p not in family}
        if not more:
            return family
        family.update(more)


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stage_processes():
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{p}").st_uid >= STAGE_UIDS and alive(p):
                found.append(p)
        except OSError:
            pass
    return found


def stage_mounts():
    return [line for line in open("/proc/self/mountinfo") if "perigee" in line]


def cgroups():
    found = []
    for root, dirs, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{root}/{d}" for d in dirs if d.startswith("perigee-") and d.count("-") >= 2]
        if root.count("/") > 6:
            dirs.clear()
    return found


def wait_for(condition, what):
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
