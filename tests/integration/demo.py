#!/usr/bin/env python3
"""The demonstration, as a person would start it, and its promises.

  demo.py BUILD [SCENES]
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

SKIP = 77


def main():
    if os.geteuid() != 0:
        print("skipped: sandboxes need root")
        return SKIP
    build = os.path.abspath(sys.argv[1])
    scenes = sys.argv[2] if len(sys.argv) > 2 else None
    if scenes and not os.path.isdir(scenes):
        print(f"skipped: there is no {scenes}")
        return SKIP
    out = tempfile.mkdtemp(prefix="perigee-test.")
    try:
        options = ["--scenes", scenes] if scenes else ["--count", "5", "--rgb", "1", "--seed", "3"]
        p = subprocess.run([f"{build}/twin/perigee-twin", "demo", "--json", "--out", out, *options],
                           stdout=subprocess.PIPE, text=True)
        if p.returncode != 0:
            print(open(f"{out}/processes.log").read()[-6000:])
        assert p.returncode == 0, p.returncode
        report = json.loads(p.stdout)
        assert report == json.load(open(f"{out}/report.json"))
        check(report, out, scenes)
    finally:
        shutil.rmtree(out)
    return 0


def check(report, out, scenes):
    images, totals = report["images"], report["totals"]
    assert totals["images"] == len(images) == totals["images_verified"] > 0, totals
    assert totals["batches_rejected"] == 0
    assert 0 < totals["bytes_down"] < totals["bytes_in"], totals
    for i in images:
        assert i["verified"] and i["bytes_in"] > 0 and i["bytes_down"] > 0, i
        assert os.path.getsize(i["picture"]) > 1000 and open(i["picture"], "rb").read(8) == b"\x89PNG\r\n\x1a\n", i
        stages = {s["stage"]: s for s in i["stages"]}
        assert stages["cloud"]["state"] == "done" and stages["cloud"]["ms"] > 0, i
        overcast = i["cloud_fraction"] >= 0.7
        assert stages["identify"]["state"] == ("skipped" if overcast else "done"), i
        assert i["decision"].startswith("left out: when cloud.report.cloud_fraction" if overcast else "searched"), i
        assert ("ships" in i) != overcast, i
        item = json.load(open(f"{out}/stac/perigee-twin-run-{i['run']}.json"))
        assert item["type"] == "Feature" and item["stac_version"] == "1.0.0"
        if not scenes:
            assert item["geometry"]["type"] == "Polygon", item["geometry"]
    if not scenes:
        assert {i["device"] for i in images} == {"cam0", "cam1"}
    else:
        ships = {i["image"]: i.get("ships") for i in images}
        assert ships["ships_bay_1"] == 10, ships
        assert ships["sentinel2_6x512x512_u16le"] == ships["landsat5_6x512x512_u16le"] == 0, ships
    batches = [b for b in os.listdir(f"{out}/batches") if b.endswith(".tar")]
    assert batches
    if shutil.which("minisign"):
        for b in batches:
            verify = ["minisign", "-V", "-q", "-p", f"{out}/downlink.pub", "-m"]
            subprocess.run([*verify, f"{out}/batches/{b}"], check=True)
            # and it would notice
            data = bytearray(open(f"{out}/batches/{b}", "rb").read())
            data[len(data) // 2] ^= 1
            open(f"{out}/batches/{b}", "wb").write(data)
            assert subprocess.run([*verify, f"{out}/batches/{b}"], capture_output=True).returncode != 0


if __name__ == "__main__":
    sys.exit(main())
