#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perigee dry-run as a person uses it: with and without a mission, and what it says of mistakes. Usage: dry-run.py PERIGEE"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

OUTER = """\
perigee: v1
workflow: outer
payload: p
params: {deep: false, n: 3}
triggers: [{cron: "0 6 * * *"}]
stages:
  first: {image: i, resources: {cpus: 2, memory: 300MiB, time: 10s, energy: 5J}, outputs: {o: {max: 1KiB, type: json}}}
  beside: {image: i, resources: {memory: 300MiB, time: 10s}}
  more: {image: i, foreach: first.o, when: "params.n > item", resources: {time: 1s}}
  deeper: {image: i, when: params.deep}
  sub: {uses: inner, needs: [first]}
downlink: [{product: first.o}]
"""
INNER = """\
perigee: v1
workflow: inner
payload: p
stages:
  a: {image: i, approve: "really?", resources: {time: 7s}}
"""
MISSION = "perigee: v1\nmission: m\nworkflows: [inner.yaml{}]\nimages: images\nbudget: {{cpus: {}, memory: 512MiB, tasks: 4}}\n"


def main():
    perigee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "outer.yaml").write_text(OUTER)
        (path / "inner.yaml").write_text(INNER)
        (path / "bad.yaml").write_text(INNER.replace("time: 7s", "time: seven"))
        (path / "mission.yaml").write_text(MISSION.format(", outer.yaml", 4))
        (path / "without.yaml").write_text(MISSION.format("", 4))
        (path / "small.yaml").write_text(MISSION.format("", 1))
        (path / "energy.yaml").write_text(MISSION.format(", outer.yaml", 4) + "energy: {joules-per-cpu-s: 4.5, per-orbit: 200J}\n"
                                          "quotas: {q: {tasks: 1}}\n")
        (path / "dark.yaml").write_text(MISSION.format(", outer.yaml", 4) + "energy: {joules-per-cpu-s: 4.5, per-orbit: 4J}\n")
        (path / "none.yaml").write_text(MISSION.format("", 4).replace("inner.yaml", ""))

        def run(*argv):
            return subprocess.run([perigee, "dry-run", *argv], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def plan(*argv):
            r = run(*argv, "--json")
            assert r.returncode == 0, r
            j = json.loads(r.stdout)
            return j, {s["stage"]: s for s in j["stages"]}

        # The mission knows the workflow that is used, whether it names this one or not; the budget is its own.
        for mission in ("mission.yaml", "without.yaml"):
            j, s = plan("outer.yaml", "--mission", mission, "--elements", "more=8")
            assert (s["first"]["ends_s"], s["beside"]["starts_s"]) == (10, 10), s  # 600MiB are not there at once
            assert (s["more"]["starts_s"], s["more"]["ends_s"]) == (10, 13), s  # 8 elements: 3 beside `beside`, 3, 2
            assert (s["sub/a"]["starts_s"], s["sub/a"]["ends_s"], s["sub"]["ends_s"]) == (12, 19, 19), s
            assert "params.deep is false" in s["deeper"]["left_out"]
            assert j["waits_for_approval"] == ["sub/a"] and j["ends_at_the_latest_s"] is None
            assert j["budget"] == {"cpus": 4, "memory_bytes": 512 << 20, "tasks": 4} and j["mission"] == "m"
            assert j["needs_at_once"]["tasks"] <= 4 and j["needs_at_once"]["memory_bytes"] <= 512 << 20
            assert j["energy_j_declared"] == 5 and not j["energy_declared_by_all"]
            assert len(j["triggers"][0]["next"]) == 3 and j["triggers"][0]["next"][0].endswith("T06:00:00.000Z")
        j, s = plan("outer.yaml", "--mission", "mission.yaml", "--param", "deep=true")
        assert "left_out" not in s["deeper"] and j["elements_not_known"] == ["more"]
        assert plan("inner.yaml")[0]["ends_s"] == 7

        j, s = plan("outer.yaml", "--mission", "energy.yaml", "--elements", "more=8")
        assert (j["cpu_s_at_most"], j["energy_j_at_most"], j["energy_j_per_orbit"]) == (45, 45 * 4.5, 200), j
        text = run("outer.yaml", "--mission", "energy.yaml", "--elements", "more=8").stdout
        assert "at most 202.5 J by its CPU time, at 4.5 J a second" in text and "of 200 J that an orbit has" in text, text

        def lint(*argv):
            r = subprocess.run([perigee, "lint", "--json", *argv], cwd=folder, stdout=subprocess.PIPE, text=True)
            return r.returncode, [(pathlib.Path(c["file"]).name, c["line"], c["text"]) for c in json.loads(r.stdout)]

        status, said = lint("energy.yaml")
        assert status == 0 and ("energy.yaml", 0, "quotas: no workflow is of the payload q; did you mean \"p\"?") not in said, said
        assert any(c[0] == "energy.yaml" and "no workflow is of the payload q" in c[2] for c in said), said
        assert any(c[0] == "outer.yaml" and c[1] == 7 and "image: there is none called i" in c[2] for c in said), said
        status, said = lint("dark.yaml")
        assert status == 65 and any(c[:2] == ("outer.yaml", 7) and "energy: the mission has 4 J for an orbit" in c[2] for c in said), said

        text = run("outer.yaml", "--mission", "mission.yaml", "--elements", "more=8").stdout
        for words in ("outer, payload p", "cron \"0 6 * * *\": next ", "left out: when params.deep", "foreach: 8 elements",
                      "waits for `perigee approve`: really?", "ends         after 20s at the latest", "first.o, priority"):
            assert words in text, (words, text)
        assert "as long as the workflow takes that is used by sub" in run("inner.yaml", "--json").stdout + run("outer.yaml").stdout

        # (arguments, exit status, words)
        for argv, status, says in (
                ((), 64, "Usage:"), (("--help",), 0, "Usage:"), (("inner.yaml", "outer.yaml"), 64, "Usage:"),
                (("nothing.yaml",), 66, "nothing.yaml"), (("inner.yaml", "--mission", "nothing.yaml"), 66, "nothing.yaml"),
                (("bad.yaml",), 65, "bad.yaml:5:"), (("outer.yaml", "--mission", "small.yaml"), 65, "outer.yaml:7:"),
                (("outer.yaml", "--mission", "none.yaml"), 65, "there is no workflow \"inner\""),
                (("inner.yaml", "--mission", "bad.yaml"), 65, "bad.yaml:"), (("outer.yaml", "--param", "deep"), 64, "NAME=VALUE"),
                (("outer.yaml", "--param", "deep=1"), 65, "expected true or false"), (("outer.yaml", "--param", "dep=true"), 65, "did you mean"),
                (("outer.yaml", "--elements", "more=x"), 64, "STAGE=N"), (("outer.yaml", "--elements", "more=10001"), 65, "at most 10000"),
                (("outer.yaml", "--elements", "mor=1"), 65, "no stage \"mor\"")):
            r = run(*argv)
            assert r.returncode == status and says in r.stdout + r.stderr, (argv, status, says, r)
    return 0


if __name__ == "__main__":
    sys.exit(main())
