"""A mission for tests and benches: the real processes, in a folder of their own, on ephemeral ports of the loopback."""
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

WAIT_S = 120


class Mission:
    """Use as `with Mission(build, …) as m`. Whatever it has started ends with it."""

    def __init__(self, build, camera=("--interval", "none"), payload="harbour-watch", run_as="nobody"):
        self.build = os.path.abspath(build)
        self.camera_options, self.payload, self.run_as = camera, payload, run_as
        self.processes = []

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix="perigee-test.")
        os.chmod(self.work, 0o755)
        self.log = open(f"{self.work}/log", "w")
        try:
            self.prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        self.log.close()
        if kind is AssertionError:
            print(open(f"{self.work}/log").read()[-8000:])
        shutil.rmtree(self.work, ignore_errors=True)

    def path(self, folder, name):
        return f"{self.build}/{folder}/{name}"

    def write(self, name, text):
        with open(f"{self.work}/{name}", "w") as f:
            f.write(text)

    def prepare(self):
        shutil.copytree(self.path("pipelines/eo", "images"), f"{self.work}/images")
        shutil.copy(self.path("pipelines/eo", "ship-count.yaml"), self.work)
        subprocess.run([self.path("ground", "perigee"), "keys", f"{self.work}/downlink"], check=True, stdout=self.log)
        self.camera, self.iiod_port = self.listening(
            self.path("twin", "perigee-twin"), "serve", "--json", "--port", "0", *self.camera_options)
        self.start_ground()
        self.write("policy.yaml", self.policy())
        self.write("mission.yaml", self.mission())

    def start_ground(self, port=0):
        self.ground, self.ground_port = self.listening(
            self.path("ground", "perigee"), "receive", "--json", "--listen", f"127.0.0.1:{port}", "--out",
            f"{self.work}/out", "--key", f"{self.work}/downlink.pub")

    def policy(self):
        return f"""perigee: v1
policy: test
devices:
  cam0: {{class: camera, driver: iio, uri: "ip:127.0.0.1:{self.iiod_port}", device: cam0, timeout: 20s}}
  temp0: {{class: thermometer, driver: iio, uri: "ip:127.0.0.1:{self.iiod_port}", device: temp0}}
grants:
  - {{payload: {self.payload}, device: cam0, operations: [capture]}}
  - {{payload: perigee, device: temp0, operations: [read]}}
"""

    def mission(self, workflows=("ship-count.yaml",)):
        return f"""perigee: v1
mission: test
workflows: [{", ".join(workflows)}]
images: images
policy: policy.yaml
state: state
run-as: {self.run_as}
downlink: {{to: "127.0.0.1:{self.ground_port}", key: downlink.key}}
"""

    def spawn(self, *argv, out=None):
        p = subprocess.Popen(argv, stdout=out or self.log, stderr=self.log, cwd=self.work, text=True)
        self.processes.append(p)
        return p

    def listening(self, *argv):
        """Starts a server and returns it with the port that it says it listens at."""
        p = self.spawn(*argv, out=subprocess.PIPE)
        for line in p.stdout:
            event = json.loads(line)
            if event.get("event") == "listening":
                # The pipe must not fill up; nobody needs the other lines.
                threading.Thread(target=lambda: [None for _ in p.stdout], daemon=True).start()
                return p, event["port"]
        raise AssertionError(f"{argv[0]} did not say where it listens")

    def supervisor(self, *options):
        return self.spawn(self.path("ground", "perigeed"), "--mission", f"{self.work}/mission.yaml", *options)

    def perigee(self, *argv):
        """The command, with --json and --state: its exit status and what it printed."""
        p = subprocess.run([self.path("ground", "perigee"), *argv, "--json", "--state", f"{self.work}/state"],
                           stdout=subprocess.PIPE, stderr=self.log, text=True)
        try:
            return p.returncode, json.loads(p.stdout)
        except ValueError:
            return p.returncode, None

    def results(self):
        folder = f"{self.work}/out/results"
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def log_text(self):
        self.log.flush()
        return open(f"{self.work}/log").read()


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


def wait_for(condition, what):
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.005)
