#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema that editors use says of each mission file what the checker says. Usage: mission-schema.py PERIGEE SCHEMA"""
import sys

import schema

GOOD = """\
perigee: v1
mission: first-light
spacecraft: sat-1
workflows: [ship-count.yaml]
images: images
policy: policy.yaml
energy: {device: power0, battery: soc, sunlight: sun, every: 10s, reserve: 30%, resume: 40%, reserve-in-eclipse: 45%, joules-per-cpu-s: 4.5, orbit: 95m, per-orbit: 20kJ}
state: state
run-as: payload
budget: {cpus: 1.5, memory: 512MiB, tasks: 2}
queue: {critical: 200, ageing: 10m, poison: 5, history: 1000, preempt: 50}
quotas:
  harbour-watch: {tasks: 2, waiting: 1000, cpu-per-day: 2h, cpu-per-orbit: 10m, energy-per-day: 1kJ, energy-per-orbit: 100J}
logs: 64KiB
storage: {reserve: 64MiB, copy: 10m}
unikernels: {qemu: /usr/bin/qemu}
downlink: {to: "127.0.0.1:30501", from: "127.0.0.1:0", key: downlink.key, batch: 1MiB, rate: 2Mbit/s}
"""

# Both take it.
TAKEN = [
    ("spacecraft: sat-1\n", ""), ("[ship-count.yaml]", "[]"), ("[ship-count.yaml]", "[1, true, x.yaml]"), ("images: images", "images: 5"), ("budget: {cpus: 1.5, memory: 512MiB, tasks: 2}", "budget: {}"), ("cpus: 1.5", "cpus: 1024"),
    ("queue: {critical: 200, ageing: 10m, poison: 5, history: 1000, preempt: 50}", "queue: {}"), ("critical: 200", "critical: 256"), ("poison: 5", "poison: 0"),
    ("{tasks: 2, waiting: 1000, cpu-per-day: 2h, cpu-per-orbit: 10m, energy-per-day: 1kJ, energy-per-orbit: 100J}", "{}"), ("ageing: 10m", "ageing: 0s"), ("unikernels: {qemu: /usr/bin/qemu}", "unikernels: {}"),
    ("copy: 10m", "copy: 0s"), ("reserve: 64MiB, ", ""), ("logs: 64KiB\n", ""), (", rate: 2Mbit/s", ""), ("2Mbit/s", "9600bit/s"), ("2Mbit/s", "1.5MiB/s"),
    ("policy: policy.yaml\nenergy: {device: power0, battery: soc, sunlight: sun, every: 10s, reserve: 30%, resume: 40%, reserve-in-eclipse: 45%, ", "energy: {"),
    ("battery: soc, ", ""), ("reserve: 30%", "reserve: 0%"), ("resume: 40%, reserve-in-eclipse: 45%, ", ""), ("resume: 40%", "resume: 42.5%"),
    (", per-orbit: 20kJ", ""), ("preempt: 50", "preempt: never"), ("preempt: 50", "preempt: critical"), ("energy-per-orbit: 100J", "energy-per-orbit: 5mJ"),
]
# Both refuse it.
REFUSED = [
    ("perigee: v1", "perigee: v2"), ("perigee: v1\n", ""), ("mission: first-light", "mission: First"), ("mission: first-light\n", ""),
    ("spacecraft: sat-1", "spacecraft: -x"), ("workflows: [ship-count.yaml]\n", ""), ("[ship-count.yaml]", "ship-count.yaml"), ("[ship-count.yaml]", "['']"),
    ("[ship-count.yaml]", "[[x]]"), ("[ship-count.yaml]", "[" + "x, " * 64 + "x]"), ("images: images\n", ""), ("images: images", "images: ''"),
    ("images: images", "images: [a]"), ("images: images", "images:"), ("state: state", "sate: state"), ("run-as: payload", "run-as: 0"),
    ("cpus: 1.5", "cpus: 0"), ("cpus: 1.5", "cpus: 2000"), ("cpus: 1.5", "cpus: '1'"), ("memory: 512MiB", "memory: 512"), ("tasks: 2}", "tasks: 0}"),
    ("tasks: 2}", "tasks: 65}"), ("tasks: 2}", "task: 2}"), ("critical: 200", "critical: 257"), ("critical: 200", "critical: -1"), ("ageing: 10m", "ageing: 10"),
    ("poison: 5", "poison: 1001"), ("history: 1000", "history: 0"), ("history: 1000", "histroy: 1000"), ("  harbour-watch:", "  Harbour:"),
    ("{tasks: 2, waiting", "{tasks: 65, waiting"), ("waiting: 1000", "waiting: 0"), ("cpu-per-day: 2h", "cpu-per-day: much"), ("cpu-per-day", "cpu-per-week"),
    ("{tasks: 2, waiting: 1000, cpu-per-day: 2h, cpu-per-orbit: 10m, energy-per-day: 1kJ, energy-per-orbit: 100J}", "[2]"), ("logs: 64KiB", "logs: 64"), ("reserve: 64MiB", "reserve: -1MiB"), ("copy: 10m", "copy: never"),
    ("copy: 10m", "copies: 10m"), ("qemu: /usr/bin/qemu", "kvm: true"), ("{qemu: /usr/bin/qemu}", "true"), ("to: \"127.0.0.1:30501\", ", ""),
    ("127.0.0.1:30501", "localhost:30501"), ("127.0.0.1:30501", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1:x"), ("key: downlink.key, ", ""),
    ("batch: 1MiB", "batch: many"), ("2Mbit/s", "2Mbps"), ("2Mbit/s", "fast"), ("rate: 2Mbit/s", "speed: 2Mbit/s"),
    ("downlink: {", "downlink: [1]\nx: {"),
    ("policy: policy.yaml\n", ""), ("device: power0, ", ""), ("device: power0", "device: Power"), ("battery: soc", "battery: ../soc"), ("every: 10s", "every: often"),
    ("reserve: 30%", "reserve: 30"), ("reserve: 30%", "reserve: 101%"), ("reserve: 30%", "reserve: +30%"), ("resume: 40%", "resume: 4 0%"), ("orbit: 95m", "orbits: 95m"),
    ("joules-per-cpu-s: 4.5", "joules-per-cpu-s: 0"), ("joules-per-cpu-s: 4.5", "joules-per-cpu-s: 4.5J"), ("per-orbit: 20kJ", "per-orbit: 20"), ("per-orbit: 20kJ", "per-orbit: 0J"),
    ("preempt: 50", "preempt: 0"), ("preempt: 50", "preempt: 256"), ("preempt: 50", "preempt: always"), ("energy-per-day: 1kJ", "energy-per-day: 0J"),
]
# No schema can express it.
ONLY_CHECKED = [
    ("127.0.0.1:30501", "127.0.0.256:30501"), ("127.0.0.1:30501", "127.0.0.1:70000"), ("logs: 64KiB", "logs: 2GiB"), ("memory: 512MiB", "memory: 1000TiB"),
    ("ageing: 10m", "ageing: 8d"), ("2Mbit/s", "1bit/s"),
    ("resume: 40%", "resume: 30%"), ("reserve-in-eclipse: 45%", "reserve-in-eclipse: 29%"), ("every: 10s", "every: 1ms"), ("orbit: 95m", "orbit: 1s"),
    ("joules-per-cpu-s: 4.5, orbit: 95m, per-orbit: 20kJ", "orbit: 95m"),
]

if __name__ == "__main__":
    sys.exit(schema.check(sys.argv[1], sys.argv[2], "mission.yaml", GOOD, (TAKEN, REFUSED, ONLY_CHECKED)))
