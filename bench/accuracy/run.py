# SPDX-License-Identifier: MIT
"""One run of one side, called by bench/accuracy.sh: trains, and writes OUT.json when it is whole."""
import argparse
import json
import os
import subprocess
import sys
import time

PRECISIONS = {"rnkit": ["f32"], "rnkit-bf16": ["bf16"], "rnkit-bf16-fast": ["bf16", "--fast"], "torch": ["f32"], "torch-bf16": ["bf16"]}


def rnkit(a, jobs):
    """rn-train goes on by itself where an earlier try was stopped: its curve is what its log says."""
    run = a.out.removesuffix(".json") + ".run"
    argv = ["rn-train", "--recipe", a.recipe, "--train-db", f"{a.set}/train.lmdb", "--val-db", f"{a.set}/val.lmdb", "--out", run,
            "--seed", str(a.seed), "--threads", str(jobs), "--json", "--device", a.device, "--precision", *PRECISIONS[a.side]]
    done = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)
    with open(os.path.join(run, "log.jsonl"), encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    keys = ("epoch", "train_loss", "train_top1", "n", "top1", "top5", "loss")
    curve = [{k: line[k] for k in keys} for line in lines if line["type"] == "epoch"]
    version = subprocess.run(["rn-train", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n", maxsplit=1)[0]
    return {"peer": version, "curve": curve, "train_seconds": done["train_seconds"], "seconds": done["train_seconds"] + done["eval_seconds"]}


def torch(a, jobs):
    env = {**os.environ, "GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": str(jobs)} # as rn-train does on a machine that is shared
    argv = [sys.executable, a.peer, "--recipe", a.recipe, "--train", f"{a.set}/train", "--val", f"{a.set}/val", "--seed", str(a.seed),
            "--device", a.device, "--precision", *PRECISIONS[a.side]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as p:
        lines = []
        for line in p.stdout:
            lines.append(json.loads(line))
            print(f"{os.path.basename(a.out)}: {line.strip()}", file=sys.stderr)
    if p.returncode:
        raise SystemExit(f"{a.peer}: ended with status {p.returncode}")
    return {"peer": lines[-1]["peer"], "curve": lines[:-1], "seconds": lines[-1]["seconds"]}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--side", choices=tuple(PRECISIONS), required=True)
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    for name in ("recipe", "row", "set", "out", "peer"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--seed", type=int, required=True)
    a = p.parse_args()
    if os.path.exists(a.out):
        return
    os.makedirs(os.path.dirname(a.out), exist_ok=True)
    load, jobs = os.getloadavg(), len(os.sched_getaffinity(0))
    result = {"set": a.row, "side": a.side, "device": a.device, "seed": a.seed, "cores": jobs, **(torch if a.side.startswith("torch") else rnkit)(a, jobs)}
    with open(a.recipe, encoding="utf-8") as f:
        result["recipe"] = f.read()
    result["load"] = [round(x, 2) for x in (*load[:1], *os.getloadavg()[:1])]
    result["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    with open(a.out + ".new", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    os.rename(a.out + ".new", a.out)


if __name__ == "__main__":
    main()
