#!/usr/bin/env python3
"""What is bad from outside, in whole missions: it is refused with the place or fails with the reason, nothing is lost, and
everybody else goes on.

  bad-input.py BUILD
"""
import os
import signal
import socket
import subprocess
import sys

from mission import Mission, children, wait_for

SKIP = 77
BUILD = ""


def test_a_bad_workflow_leaves_the_others_alone():
    with Mission(BUILD, ("--interval", "0s", "--count", "2", "--size", "128x128")) as m:
        m.write("bad.yaml", open(f"{m.work}/ship-count.yaml").read().replace("memory: 32MiB", "memory: 32 megs"))
        m.write("mission.yaml", m.mission(("bad.yaml", "ship-count.yaml")))
        m.supervisor()
        wait_for(lambda: len(m.results()) == 2, "the good workflow does not run")
        assert 'memory: expected a size such as 64MiB, found "32 megs"' in m.log_text(), "no complaint"
        assert "bad.yaml:" in m.log_text()


def test_a_bad_mission_or_policy_starts_nothing():
    with Mission(BUILD) as m:
        good = m.mission()
        for name, text, says in (
            ("mission.yaml", good.replace("images:", "imagse:"), "mission.yaml:4:1: "),
            ("mission.yaml", good.replace("127.0.0.1:", "localhost"), "expected an address and port"),
            ("policy.yaml", m.policy().replace("class: camera", "class: telescope"), "policy.yaml:4:"),
            ("policy.yaml", m.policy().replace("operations: [capture]", "operations: [steal]"), "steal"),
        ):
            m.write("mission.yaml", good)
            m.write("policy.yaml", m.policy())
            m.write(name, text)
            d = m.supervisor()
            wait_for(lambda: d.poll() is not None, f"perigeed runs with a bad {name}")
            assert d.returncode == 65, (name, says, d.returncode)
            assert says in m.log_text(), (name, says)
            assert m.results() == []


def test_a_bad_policy_starts_nothing_of_what_was_open():
    with Mission(BUILD, ("--interval", "0s", "--count", "1", "--size", "128x128")) as m:
        subprocess.run([m.path("ground", "perigee"), "image", "build", "hostile", m.path("tests/hostile", "hostile"),
                        f"{m.work}/images/hostile"], check=True)
        m.write("long.yaml", """perigee: v1
workflow: long
payload: harbour-watch
triggers: [{event: image.acquired, device: cam0}]
stages:
  spin: {image: hostile, args: [spin], inputs: {input: trigger.frame}, outputs: {result: 4KiB}, resources: {time: 1h}}
""")
        m.write("mission.yaml", m.mission(["long.yaml"]))

        def attempts():
            _, run = m.perigee("show", "1")
            return run["stages"][0]["attempts"] if run else 0

        d = m.supervisor("--no-keeper")
        wait_for(lambda: attempts() == 1, "the stage does not start")
        d.kill()
        d.wait()
        m.write("policy.yaml", m.policy().replace("class: camera", "class: telescope"))
        for _ in range(3):
            d = m.supervisor()
            wait_for(lambda: d.poll() is not None, "perigeed runs with a bad policy")
            assert d.returncode == 65, d.returncode
            assert attempts() == 1, "a stage was started under a policy that is not good"
        m.write("policy.yaml", m.policy())
        m.supervisor()
        wait_for(lambda: attempts() == 2, "what was interrupted does not run again")


def test_stages_that_misbehave_fail_their_run_with_the_reason():
    acts = {
        "fail": "exit 7: the scene is too dark",
        "flood-output": "it wrote a file of more than 4 KiB",
        "eat-memory": "it used more than its 16 MiB of memory",
        "spin": "it ran for more than its 2.000 s",
        "in": "output result: the stage wrote nothing",
        "abort": "signal",
    }
    with Mission(BUILD, ("--interval", "0s", "--count", "2", "--size", "128x128")) as m:
        subprocess.run([m.path("ground", "perigee"), "image", "build", "hostile", m.path("tests/hostile", "hostile"),
                        f"{m.work}/images/hostile"], check=True)
        for act in acts:
            m.write(f"{act}.yaml", f"""perigee: v1
workflow: {act}
payload: harbour-watch
triggers: [{{event: image.acquired, device: cam0}}]
stages:
  bad:
    image: hostile
    args: [{act}]
    inputs: {{input: trigger.frame}}
    outputs: {{result: 4KiB}}
    resources: {{memory: 16MiB, time: 2s}}
""")
        m.write("mission.yaml", m.mission([f"{a}.yaml" for a in acts] + ["ship-count.yaml"]))
        m.supervisor()
        wait_for(lambda: len(m.results()) == 2, "the good workflow does not run")
        wait_for(lambda: m.perigee("status")[1]["open_runs"] == 0, "a bad stage does not end")
        launcher = m.perigee("status")[1]["processes"]["perigee-launcher"]
        wait_for(lambda: not zombies(launcher), "the launcher leaves zombies")
        _, runs = m.perigee("runs")
        assert len(runs) == 2 * (len(acts) + 1), runs
        for run in runs:
            _, r = m.perigee("show", str(run["run"]))
            if run["workflow"] == "ship-count":
                assert run["state"] == "done", r
                continue
            assert run["state"] == "failed", r
            reason = r["stages"][0].get("reason", "")
            assert acts[run["workflow"]] in reason, (run["workflow"], reason)


def test_a_device_that_is_absent_or_goes_away_holds_up_nobody():
    with Mission(BUILD, ("--interval", "0s", "--count", "2", "--size", "128x128")) as m:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            absent = s.getsockname()[1]
            m.write("policy.yaml", m.policy().replace("  temp0:", f"""  cam1: {{class: camera, driver: iio, uri: "ip:127.0.0.1:{absent}", device: cam1}}
  temp0:""") + f"  - {{payload: {m.payload}, device: cam1, operations: [capture]}}\n")
            m.supervisor()
            wait_for(lambda: len(m.results()) == 2, "the camera that is there is held up")
            devices = {d["device"]: d for d in m.perigee("status")[1]["devices"]}
            assert devices["cam0"]["state"] == "up", devices
            assert devices["cam1"]["state"] == "down" and devices["cam1"]["reason"], devices
        # The camera goes, and comes back with other frames: the session is opened again.
        m.camera.kill()
        m.camera.wait()
        wait_for(lambda: {d["device"]: d for d in m.perigee("status")[1]["devices"]}["cam0"]["state"] == "down",
                 "nobody notices that the camera is gone")
        m.listening(m.path("twin", "perigee-twin"), "serve", "--json", "--port", str(m.iiod_port), "--interval", "0s",
                    "--count", "2", "--size", "128x128", "--seed", "2")
        wait_for(lambda: len(m.results()) == 4, "the camera is not opened again")


def test_a_ground_that_is_not_there_yet_gets_everything_later():
    with Mission(BUILD, ("--interval", "0s", "--count", "3", "--size", "128x128")) as m:
        m.ground.kill()
        m.ground.wait()
        m.supervisor()
        wait_for(lambda: m.perigee("status")[0] == 0 and m.perigee("status")[1]["tasks"]["done"] >= 3
                 and m.perigee("status")[1]["open_runs"] == 0, "the work waits for the ground")
        assert m.results() == []
        # Garbage on the ground's port and on ours harms nobody.
        m.start_ground(m.ground_port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for n in range(200):
                s.sendto(os.urandom(1 + n * 7 % 1500), ("127.0.0.1", m.ground_port))
        wait_for(lambda: len(m.results()) == 3, "what was kept does not come down")


def test_the_keeper_starts_everything_again():
    with Mission(BUILD) as m:
        keeper = m.supervisor()
        before = {}
        for victim in ("perigee-broker", "perigee-launcher", "perigeed"):
            wait_for(lambda: m.perigee("status")[0] == 0 and m.perigee("status")[1]["processes"] != before,
                     f"nothing answers after the one before {victim}")
            before = m.perigee("status")[1]["processes"]
            os.kill(before[victim], signal.SIGKILL)
        wait_for(lambda: m.perigee("status")[0] == 0 and m.perigee("status")[1]["processes"] != before,
                 "nothing answers at the end")
        keeper.send_signal(signal.SIGTERM)
        family = children(keeper.pid)
        wait_for(lambda: keeper.poll() is not None, "the keeper does not end")
        assert keeper.returncode == 0, keeper.returncode
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in family), f"left over: {family}")


def test_two_supervisors_on_one_state_are_refused():
    with Mission(BUILD) as m:
        m.supervisor()
        wait_for(lambda: m.perigee("status")[0] == 0, "no answer")
        second = m.supervisor()
        wait_for(lambda: second.poll() is not None, "a second supervisor runs")
        assert second.returncode == 75, second.returncode
        assert m.perigee("status")[0] == 0


def zombies(parent):
    """How many children of a process have ended and were not waited for."""
    n = 0
    for pid in children(parent):
        try:
            n += open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            pass
    return n


def main():
    global BUILD
    if os.geteuid() != 0:
        print("skipped: sandboxes need root")
        return SKIP
    BUILD = sys.argv[1]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 3 or sys.argv[2] in name):
            print(name[5:].replace("_", " "), flush=True)
            test()
    return 0


if __name__ == "__main__":
    sys.exit(main())
