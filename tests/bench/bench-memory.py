#!/usr/bin/env python3
"""The proportional memory of the idle flight processes: keeper, supervisor, launcher, broker; a camera is connected."""
import os
import sys

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../integration")
from mission import Mission, children, wait_for  # noqa: E402


def pss_kib(pid):
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except ProcessLookupError:
        pass  # it was about to end
    return 0


def idle(m):
    status, j = m.perigee("status")
    return status == 0 and j["devices"] and any(d["state"] == "up" for d in j["devices"])


def main():
    if os.geteuid() != 0:
        print("skipped: sandboxes need root", file=sys.stderr)
        return 0
    # One image is processed first, so that every part has done its work once.
    with Mission(sys.argv[1], ("--interval", "0s", "--count", "1")) as m:
        d = m.supervisor()
        wait_for(lambda: idle(m) and m.results(), "the mission does not settle")
        total, by_name = 0, {}
        for pid, name in children(d.pid).items():
            kib = pss_kib(pid)
            total += kib
            by_name[name] = by_name.get(name, 0) + kib
        for name, kib in sorted(by_name.items()):
            print(f"figure memory.idle_pss_kib.{name} {kib} KiB")
        print(f"figure memory.idle_pss_kib {total} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
