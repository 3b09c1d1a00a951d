#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema that editors use says of each workflow what the checker says: good or not.

Usage: schema.py PERIGEE SCHEMA. What no schema can express is marked so in the table: there only the checker must object.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import jsonschema
    import yaml
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

GOOD = """\
perigee: v1
workflow: ship-count
payload: harbour-watch
priority: 160
deadline: 20m
timeout: 10m
max_runs: {limit: 4, when_full: latest}
params:
  limit: {type: number, default: 0.7, min: 0, max: 1, help: "cloudier is left alone"}
  mode: {type: text, default: fast, one_of: [fast, careful]}
  night: false
  areas: [1, 2]
triggers:
  - {event: image.acquired, device: cam0}
  - {completed: survey, on: any}
stages:
  cloud:
    image: cloud-detect
    runtime: container
    inputs: {scene: trigger.frame}
    outputs: {mask: 4MiB, report: {max: 4KiB, type: json}}
    params: {limit: $params.limit, deep: {list: [1, null, x]}}
    args: [--fast, 3]
    env: {MODE: $params.mode, LEVEL: 3}
    resources: {cpus: 0.5, memory: 64MiB, time: 30s, pids: 64, energy: 60J}
    retry: {limit: 2, backoff: 5s, max_backoff: 1m, jitter: 0.2, on: [temporary, timeout]}
    timeout: 5m
    cache: true
    approve: "Look first?"
    on_failure: continue
  count:
    image: count
    needs: [cloud]
    foreach: {over: cloud.report.tiles, parallel: 8}
    when: item.area > 100
    outputs: {result: {max: 64KiB, type: json}}
  sub:
    uses: coast-survey
    inputs: {frame: trigger.frame}
    params: {limit: 0.5}
  tidy: {image: tidy, outputs: {note: 4KiB}}
on_exit: [tidy]
outputs: {result: count.result}
downlink:
  - {product: cloud.mask, priority: 200, keep: 7d}
"""

# (text to replace, its replacement): both take it.
TAKEN = [
    ("priority: 160", "priority: 0"), ("{limit: 4, when_full: latest}", "4"), ("max_runs: {limit: 4, when_full: latest}\n", ""),
    ("{completed: survey, on: any}", "{completed: survey}"), ("deadline: 20m", "deadline: 1.5h"), ("night: false", "night: '2'"),
    ("{type: number, default: 0.7, min: 0, max: 1, help: \"cloudier is left alone\"}", "{type: number}"),
    ("night: false", "night: {type: bool}"), ("areas: [1, 2]", "areas: {type: list, default: [a, {b: 1}]}"),
    ("night: false", "night_of-day2: 1e-3"), ("outputs: {mask: 4MiB,", "outputs: {mask: {max: 1.5KiB},"),
    ("on_exit: [tidy]", "on_failure: [tidy]"), ("approve: \"Look first?\"", "approve: true"), ("cache: true", "cache: false"),
    ("{over: cloud.report.tiles, parallel: 8}", "cloud.report"), ("{over: cloud.report.tiles, parallel: 8}", "params.areas"),
    ("{over: cloud.report.tiles, parallel: 8}", "[1, {area: 2}]"), ("{over: cloud.report.tiles, parallel: 8}", "{over: [a]}"),
    ("{over: cloud.report.tiles, parallel: 8}", "cloud.report.tiles[0].parts"), ("backoff: 5s, max_backoff: 1m", "backoff: 0s"),
    ("on: [temporary, timeout]", "on: [failed, memory, output]"), ("runtime: container", "runtime: unikernel"),
    ("    needs: [cloud]\n", "    needs: []\n"), ("{scene: trigger.frame}", "{Scene.1_a-b: trigger.frame}"),
    ("energy: 60J", "energy: 1.5kJ"), ("{image: tidy, outputs: {note: 4KiB}}", "{image: tidy}"), ("  - {product: cloud.mask, priority: 200, keep: 7d}", "  - {product: cloud.mask}"),
    ("when: item.area > 100", "when: true"), ("params: {limit: 0.5}", "timeout: 1m"), ("params: {limit: 0.5}", "approve: no"),
]
# Both refuse it.
REFUSED = [
    ("perigee: v1", "perigee: v2"), ("perigee: v1\n", ""), ("payload: harbour-watch\n", ""), ("workflow: ship-count", "workflow: Ship"),
    ("workflow: ship-count", "workflow: " + "x" * 64), ("priority: 160", "priority: 256"), ("priority: 160", "priority: 1.5"),
    ("priority: 160", "priority: '160'"), ("priority: 160", "priorty: 160"), ("deadline: 20m", "deadline: soon"),
    ("deadline: 20m", "deadline: 0s"), ("deadline: 20m", "deadline: 20"), ("timeout: 10m", "timeout: 0.0m"),
    ("limit: 4,", "limit: 0,"), ("limit: 4,", "limit: 1001,"), ("limit: 4, ", ""), ("latest", "newest"), ("{limit: 4, when_full: latest}", "many"),
    ("type: number", "type: float"), ("default: 0.7", "default: many"), ("default: fast", "default: 3"), ("default: fast", "min: 1"),
    ("one_of: [fast, careful]", "one_of: [fast, 3]"), ("one_of: [fast, careful]", "one_of: []"), ("night: false", "night: {type: bool, one_of: [true]}"),
    ("night: false", "night: {type: bool, max: 1}"), ("night: false", "night: {default: 1}"), ("night: false", "night: null"),
    ("night: false", "Night: false"), ("night: false", "night-: false"), ("night: false", "night: {type: text, unit: m}"),
    ("device: cam0", "devise: cam0"), (", device: cam0", ""), ("image.acquired", "image.aquired"), ("on: any", "on: end"),
    ("{completed: survey, on: any}", "{on: any}"), ("{completed: survey, on: any}", "{}"), ("{completed: survey, on: any}", "pass.begin"),
    ("{completed: survey, on: any}", "{completed: survey, every: 1m}"), ("{completed: survey, on: any}", "{event: sunlight.end, place: x}"),
    ("{completed: survey, on: any}", "{event: pass.end, device: x}"), ("{completed: survey, on: any}", "{event: image.acquired, device: c, place: x}"),
    ("{completed: survey, on: any}", "{cron: \"0 6 * *\"}"), ("{completed: survey, on: any}", "{cron: \"0 6 * jan *\"}"),
    ("  cloud:\n", "  item:\n"), ("  cloud:\n", "  Cloud:\n"), ("    image: cloud-detect\n", ""), ("image: cloud-detect", "image: cloud detect"),
    ("image: cloud-detect", "image: cloud-detect\n    uses: x"), ("runtime: container", "runtime: jail"), ("runtime: container", "runtme: container"),
    ("{scene: trigger.frame}", "{scene: frame}"), ("{scene: trigger.frame}", "{../scene: trigger.frame}"),
    ("{scene: trigger.frame}", "{params.json: trigger.frame}"), ("{scene: trigger.frame}", "[trigger.frame]"),
    ("mask: 4MiB", "mask: 4 megs"), ("mask: 4MiB", "mask: 0B"), ("mask: 4MiB", "mask: {type: file}"), ("mask: 4MiB", "Mask: 4MiB"),
    ("mask: 4MiB", "mask: {max: 4MiB, typ: file}"), ("type: json}}\n    params", "type: xml}}\n    params"),
    ("{mask: 4MiB, report: {max: 4KiB, type: json}}", "{}"),
    ("params: {limit: $params.limit, deep: {list: [1, null, x]}}", "params: [1]"), ("[--fast, 3]", "--fast"), ("[--fast, 3]", "[{a: b}]"),
    ("LEVEL: 3", "L=3: 3"), ("LEVEL: 3", "LEVEL: [3]"), ("cpus: 0.5", "cpus: 0"), ("cpus: 0.5", "cpus: 2000"), ("memory: 64MiB", "memory: 64"),
    ("time: 30s", "time: 0s"), ("pids: 64", "pids: 0"), ("energy: 60J", "energy: 60"), ("energy: 60J", "energy: 0J"), ("pids: 64", "threads: 64"),
    ("limit: 2,", "limit: -1,"), ("limit: 2, ", ""), ("jitter: 0.2", "jitter: 2"), ("[temporary, timeout]", "[temporary, crash]"),
    ("[temporary, timeout]", "[]"), ("timeout: 5m", "timeout: 0m"), ("cache: true", "cache: yes"), ("on_failure: continue", "on_failure: ignore"),
    ("parallel: 8", "parallel: 0"), ("parallel: 8", "parallel: 65"), ("{over: cloud.report.tiles, parallel: 8}", "{parallel: 8}"),
    ("{over: cloud.report.tiles, parallel: 8}", "[]"), ("over: cloud.report.tiles", "over: cloud"), ("over: cloud.report.tiles", "over: 5"),
    ("    when: item.area > 100", "    when: [a]"), ("uses: coast-survey", "uses: Coast"), ("params: {limit: 0.5}", "outputs: {x: 1KiB}"),
    ("params: {limit: 0.5}", "cache: true"), ("params: {limit: 0.5}", "retry: {limit: 1}"), ("{frame: trigger.frame}", "{Frame: trigger.frame}"),
    ("on_exit: [tidy]", "on_exit: tidy"), ("{result: count.result}", "{Result: count.result}"), ("{result: count.result}", "{result: count}"),
    ("product: cloud.mask, ", ""), ("keep: 7d", "keep: 7"), ("priority: 200", "priority: 300"), ("product: cloud.mask", "artifact: cloud.mask"),
    ("stages:\n", "stages: {}\nstage:\n"),
]
# No schema can express it: the schema takes it, the checker refuses it.
ONLY_CHECKED = [
    ("trigger.frame}\n    outputs", "trigger.image}\n    outputs"), ("needs: [cloud]", "needs: [clouds]"), ("needs: [cloud]", "needs: [count]"),
    ("cloud.report.tiles", "cloud.mask.tiles"), ("item.area > 100", "item.area >"), ("item.area > 100", "params.mode > 100"),
    ("$params.limit", "$params.limt"), ("$params.limit", "$HOME"), ("default: 0.7", "default: 1.7"), ("default: fast", "default: slow"),
    ("{over: cloud.report.tiles, parallel: 8}", "params.night"), ("max_backoff: 1m", "max_backoff: 1s"), ("on_exit: [tidy]", "on_exit: [tidi]"),
    ("on_exit: [tidy]", "on_exit: [tidy, tidy]"), ("count.result}", "count.reslt}"), ("uses: coast-survey", "uses: ship-count"),
    ("{completed: survey, on: any}", "{every: 90m}"), ("{completed: survey, on: any}", "{cron: \"0 0 31 2 *\"}"),
    ("max: 4KiB, type: json", "max: 4MiB, type: json"), ("memory: 64MiB", "memory: 64B"), ("energy: 60J", "energy: 0.0001mJ"),
]


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read it: `on` and `yes` are texts."""


Core.yaml_implicit_resolvers = {}
Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
Core.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])
Core.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9][0-9]*)$"), list("-0123456789"))
Core.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"), list("-0123456789"))
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def check(perigee, schema_path, name, good, tables):
    """tables: (taken, refused, only_checked). Only complaints about the file itself count. 0, or 1 and what is wrong is said."""
    schema = json.loads(pathlib.Path(schema_path).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    cases = [("", "", True, True)]
    for table, schema_takes, checker_takes in zip(tables, (True, False, True), (True, False, False)):
        cases += [(a, b, schema_takes, checker_takes) for a, b in table]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        for a, b, schema_takes, checker_takes in cases:
            assert a in good, f"the table is wrong: {a!r}"
            text = good.replace(a, b, 1)
            path.write_text(text)
            mistakes = [e.message[:200] for e in validator.iter_errors(yaml.load(text, Core))]
            lint = subprocess.run([perigee, "lint", "--json", path], stdout=subprocess.PIPE)
            assert lint.returncode in (0, 65), lint
            complaints = [c["text"] for c in json.loads(lint.stdout) if not c.get("warning") and c["file"] == str(path)]
            if (not mistakes) != schema_takes or (not complaints) != checker_takes:
                print(f"{a!r} -> {b!r}:\n  schema:  {mistakes}\n  checker: {complaints}")
                wrong += 1
    print(f"{len(cases)} files, {wrong} on which schema and checker are not as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check(sys.argv[1], sys.argv[2], "workflow.yaml", GOOD, (TAKEN, REFUSED, ONLY_CHECKED)))
