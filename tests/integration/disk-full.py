#!/usr/bin/env python3
"""A disk that fills up under a working mission, and a database that is damaged.

While it is full: what runs ends, nothing new starts, it is said, and the supervisor answers. Then all goes on by itself.
The state is on a small file system of its own. Then the database is ruined: its second copy is used, and that is said.

  disk-full.py BUILD
"""
import os
import signal
import subprocess
import sys
import time

from mission import Mission, wait_for

SKIP = 77
IMAGES = 24


class Small(Mission):
    def __init__(self, build):
        super().__init__(build, ("--interval", "200ms", "--count", str(IMAGES), "--size", "128x128"))

    def prepare(self):
        os.mkdir(f"{self.work}/state")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "perigee-test", f"{self.work}/state"], check=True)
        subprocess.run(["chown", self.run_as, f"{self.work}/state"], check=True)
        super().prepare()
        self.write("mission.yaml", self.mission() + "storage: {reserve: 16MiB, copy: 1s}\n")

    def __exit__(self, *why):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        subprocess.run(["umount", "-l", f"{self.work}/state"])
        super().__exit__(*why)

    def status(self):
        code, status = self.perigee("status")
        assert code == 0, "the supervisor does not answer"
        return status

    def fill(self):
        with open(f"{self.work}/state/ballast", "ab", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def start(self):
        d = self.supervisor("--no-keeper")
        wait_for(lambda: self.perigee("status")[0] == 0, "the supervisor does not answer")
        return d

    def stop(self, d):
        d.send_signal(signal.SIGTERM)
        wait_for(lambda: d.poll() is not None, "perigeed does not end on SIGTERM")
        assert d.returncode == 0, d.returncode


def test_full(m):
    d = m.start()
    wait_for(lambda: m.status()["tasks"]["done"] >= 3, "no task is done")
    m.fill()
    wait_for(lambda: m.status()["storage"]["full"], "nobody says that the disk is full")
    assert "the disk is full" in m.status()["storage"]["why"]
    assert "the disk is full" in m.log_text()
    wait_for(lambda: m.status()["tasks"]["running"] == 0, "what runs does not end")
    before = m.status()["tasks"]
    for _ in range(20):
        m.fill()
        now = m.status()
        assert now["tasks"]["running"] == 0 and now["tasks"]["done"] == before["done"], now
        time.sleep(0.1)
    os.unlink(f"{m.work}/state/ballast")
    wait_for(lambda: not m.status()["storage"]["full"], "nobody says that there is space again")
    # A stage that could not write what it had made is tried again: every run ends done.
    wait_for(lambda: len(m.results()) + m.status()["tasks"]["failed"] == IMAGES, "not every image has its result")
    assert m.status()["tasks"]["failed"] == 0, m.status()["tasks"]
    code, runs = m.perigee("runs", "--limit", "1000")
    assert code == 0 and len(runs) == IMAGES and all(r["state"] == "done" for r in runs), runs
    assert d.poll() is None, "the supervisor did not live through it"
    wait_for(lambda: m.status()["storage"]["database"].get("copy", {}).get("turn") ==
             m.status()["storage"]["database"]["turn"], "the copy is not kept fresh")
    turn = m.status()["storage"]["database"]["turn"]
    m.stop(d)
    return turn


def test_damage(m, turn):
    path = f"{m.work}/state/perigee.db"
    with open(path, "r+b") as f:
        f.seek(4096)
        f.write(b"ruin" * 4096)
    d = m.start()
    database = m.status()["storage"]["database"]
    assert database["found"] == "copy-used", database
    assert database["lost_turns"] <= 1, database  # the end on request may be one
    assert database["turn"] >= turn
    assert os.path.exists(path + ".damaged-" + database["report"].rsplit(".damaged-")[-1])
    assert "the database was damaged" in m.log_text()
    assert m.status()["tasks"]["done"] >= IMAGES // 2
    m.stop(d)


def main():
    if os.geteuid() != 0:
        print("skipped: sandboxes and mounts need root")
        return SKIP
    with Small(sys.argv[1]) as m:
        turn = test_full(m)
        test_damage(m, turn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
