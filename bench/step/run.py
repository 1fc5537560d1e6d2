# SPDX-License-Identifier: MIT
"""run.py: one piece of make bench-step: measures it in interleaved rounds and writes its JSON when it is whole. Standard library only.

    run.py layers --dtype bf16 --out OUT.json ...       rn-bench conv: our algorithms and the library's; layers-bn: with batch norms
    run.py step --arch resnet18 ... --out OUT.json ...  rn-bench train and PyTorch
    run.py end-to-end --set DIR --out OUT.json ...      rn-train from LMDB and PyTorch from folders, a whole training each
    run.py feed --set DIR --out OUT.json ...            rn-train from LMDB, how long it waits for data, and rn-bench loader alone
"""
import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "data"))
import main as data_main  # pylint: disable=wrong-import-position
from measure import log  # pylint: disable=wrong-import-position

PEERS = os.path.join(os.path.dirname(HERE), "peers")


def told(argv):
    """What a command of ours prints as JSON."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit {done.returncode}: {' '.join(argv)}")
    return json.loads(done.stdout)


# Of what rn-bench conv tells of a case; the machine is told once, above all.
KEPT = ("case", "dir", "dtype", "algo", "fuse", "lowprec", "impl", "layer", "count", "ms", "ms_iqr", "ms_min", "core_ms", "prepare_ms", "gflops", "peak_pct", "workspace", "verified",
        "refused")


def layers(a):
    """Each round is a process of its own; within one, rn-bench interleaves the algorithms."""
    argv = [os.path.join(a.bin, "rn-bench"), "conv", "--net", a.net, "--mb", str(a.batch), "--dtype", a.dtype, "--algo", a.algo, "--rounds", str(a.inner),
            "--threads", str(a.threads), *(["--bn"] if a.piece == "layers-bn" else []), *a.more.split(), "--json"]
    rounds = []
    for r in range(a.rounds):
        log(f"{a.piece} {a.dtype}: round {r + 1}")
        rows = told(argv)
        rounds.append([{k: row[k] for k in KEPT if row.get(k) is not None} for row in rows])
    facts = {k: v for k, v in rows[0]["machine"].items() if k.startswith("gpu") or k in ("driver", "nvml", "emulated")}
    return {"on": rows[0]["device"], "facts": facts, "command": " ".join(["rn-bench", *argv[1:]]), "net": a.net, "batch": a.batch, "dtype": a.dtype, "rounds": rounds}


class Torch:
    """step_torch.py, which stays open; idle between rounds."""

    def __init__(self, a):
        self.argv = [a.python, os.path.join(PEERS, "step_torch.py"), "--arch", a.arch, "--stem", a.stem, "--image-size", str(a.image_size), "--batch",
                     str(a.batch), "--classes", str(a.classes), "--dtype", a.dtype, "--threads", str(a.threads), "--device", a.peer_device or a.device]
        env = {**os.environ, "OMP_NUM_THREADS": str(a.threads), "TORCHINDUCTOR_CACHE_DIR": os.path.join(a.work, "inductor")}
        self.child = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.hello = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"ended with status {self.child.wait()}")
        return json.loads(line)

    def ask(self, mode, n):
        self.child.stdin.write(f"{mode} {n}\n")
        self.child.stdin.flush()
        return self.read()["ms"]

    def close(self):
        with contextlib.suppress(OSError):
            self.child.stdin.close()
        self.child.wait()


def ours(a):
    argv = [os.path.join(a.bin, "rn-bench"), "train", "--arch", a.arch, "--stem", a.stem, "--image-size", str(a.image_size), "--batch", str(a.batch),
            "--classes", str(a.classes), "--precision", a.dtype, "--threads", str(a.threads), "--device", a.device, "--val-resize", "0", "--eval-batch", "1", "--seconds",
            str(a.seconds), *a.more.split(), "--json"]
    return argv, lambda: told(argv)


def warm(a):
    """Only has PyTorch compile, so that the piece finds that done: on a machine that is not quiet yet."""
    torch = Torch(a)
    torch.ask("compile", 0)
    torch.close()


def step(a):
    """In an order that turns from round to round. PyTorch's compiler runs before the first round."""
    argv, measure = ours(a)
    torch = Torch(a)
    modes, result = ["eager"], {"rounds": [], "absent": {}}
    try:
        torch.ask("eager", 1)
        if a.compile:
            begin = time.perf_counter()
            try:
                torch.ask("compile", 1)
                modes.append("compile")
                log(f"torch.compile took {time.perf_counter() - begin:.0f} s")
            except RuntimeError as e:
                result["absent"]["compile"] = str(e)
                torch.close()
                torch = Torch(a)
                torch.ask("eager", 1)
        sides = ["rnkit", *modes]
        for r in range(a.rounds):
            got = {}
            for side in sides[r % len(sides):] + sides[:r % len(sides)]:
                got[side] = measure() if side == "rnkit" else torch.ask(side, a.steps)
                if side == "rnkit" and r > 0:
                    del got[side]["parts"]  # one round's are enough to look into
                ms = got[side]["step_ms"] if side == "rnkit" else sorted(got[side])[len(got[side]) // 2]
                log(f"{a.name}: round {r + 1}: {side}: {ms:.1f} ms, {a.batch / ms * 1e3:.2f} images/s")
            result["rounds"].append(got)
    finally:
        torch.close()
    return {"name": a.name, "arch": a.arch, "stem": a.stem, "image_size": a.image_size, "batch": a.batch, "dtype": a.dtype, "threads": a.threads, "more": a.more.strip(),
            "modes": modes, "peer": torch.hello["ready"], "peer_facts": torch.hello, "commands": [" ".join(["rn-bench", *argv[1:]]), " ".join(["python", *torch.argv[1:]])], **result}


def logged(run, kind):
    with open(os.path.join(run, "log.jsonl"), encoding="utf-8") as f:
        return [line for line in map(json.loads, f) if line["type"] == kind]


def feed(a):
    """Steps of a training that reads its images, and the loader alone with as many threads: what there is of either."""
    rounds = []
    for r in range(a.rounds):
        run = os.path.join(a.work, f"{a.name}-{r}.{int(time.time())}.run")
        argv = [os.path.join(a.bin, "rn-train"), "--device", a.device, "--precision", a.dtype, "--arch", a.arch, "--image-size", str(a.image_size), "--batch", str(a.batch),
                "--train-db", f"{a.set}/train.lmdb", "--val-db", f"{a.set}/val.lmdb", "--max-steps", str(a.steps), "--threads", str(a.threads), "--out", run,
                *a.more.split(), "--json"]
        told(argv)
        windows = logged(run, "window")[1:] # the first has the start in it
        loader = [os.path.join(a.bin, "rn-bench"), "loader", "--size", str(a.image_size), "--batch", str(a.batch), "--workers", str(a.threads), "--rounds", "3", "--json",
                  f"{a.set}/train.lmdb"]
        alone = told(loader)
        images, seconds, waited = 0, 0, 0
        for before, w in zip([0, *[w["step"] for w in windows]], windows):
            n = (w["step"] - before) * a.batch if before else 0
            images, seconds, waited = images + n, seconds + n / w["images_per_s"], waited + n / w["images_per_s"] * w["data_wait_pct"] / 100
        if not images:
            raise SystemExit(f"{a.name}: {a.steps} steps are too few to log three windows")
        rounds.append({"images_per_s": images / seconds, "busy_pct": 100 * (1 - waited / seconds), "loader_images_per_s": alone["images_per_s"]})
        log(f"{a.name}: round {r + 1}: {rounds[-1]}")
    return {"arch": a.arch, "image_size": a.image_size, "batch": a.batch, "dtype": a.dtype, "threads": a.threads,
            "commands": [" ".join([os.path.basename(c[0]), *c[1:]]) for c in (argv, loader)], "rounds": rounds}


def end_to_end(a):
    """Whole trainings, evaluation and start included, by the clock and from outside; one after the other, a.rounds times."""
    rounds = []
    env = {**os.environ, "GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": str(a.threads)}
    for r in range(a.rounds):
        got = {}
        for side in ("rnkit", "torch") if r % 2 == 0 else ("torch", "rnkit"):
            if side == "rnkit":
                run = os.path.join(a.work, f"end-to-end-{r}.{int(time.time())}.run")
                argv = [os.path.join(a.bin, "rn-train"), "--recipe", a.recipe, "--device", a.device, "--precision", a.dtype, "--train-db", f"{a.set}/train.lmdb", "--val-db",
                        f"{a.set}/val.lmdb", "--out", run, "--seed", str(r + 1), "--threads", str(a.threads), *a.more.split(), "--json"]
            else:
                argv = [a.python, os.path.join(PEERS, "train_torch.py"), "--recipe", a.recipe, "--precision", a.dtype, "--train", f"{a.set}/train", "--val",
                        f"{a.set}/val", "--seed", str(r + 1), "--workers", str(a.threads), "--threads", str(a.threads), "--device", a.peer_device or a.device]
            log(f"end to end: round {r + 1}: {side}")
            begin = time.perf_counter()
            done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False, env=env)
            if done.returncode:
                raise SystemExit(f"exit {done.returncode}: {' '.join(argv)}")
            seconds = time.perf_counter() - begin
            if side == "rnkit":
                last = logged(run, "epoch")[-1]
                last["train_seconds"] = json.loads(done.stdout)["train_seconds"]
            else:
                last = json.loads(done.stdout.splitlines()[-2])
            got[side] = {"seconds": round(seconds, 2), **{k: last[k] for k in ("top1", "top5", "n", "train_seconds") if k in last}, "command": " ".join(argv[-20:])}
            log(f"end to end: round {r + 1}: {side}: {seconds:.1f} s, top-1 {last['top1']:.2f} %")
        rounds.append(got)
    with open(a.recipe, encoding="utf-8") as f:
        return {"recipe": f.read(), "what": a.what, "threads": a.threads, "dtype": a.dtype, "more": a.more.strip(), "rounds": rounds}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("piece", choices=("layers", "layers-bn", "step", "end-to-end", "feed"))
    for name in ("bin", "out", "work"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--name", default="")
    p.add_argument("--what", default="", help="end-to-end: in words")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--peer-device", default="", help="PyTorch's, to try the harness where it has none")
    p.add_argument("--dtype", choices=("f32", "bf16"), required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--more", default="", help="more options for rn-bench train and rn-train")
    p.add_argument("--net", default="resnet18")
    p.add_argument("--algo", default="cpu:*,onednn*")
    p.add_argument("--inner", type=int, default=3, help="rounds inside one process of rn-bench conv")
    p.add_argument("--arch", default="resnet18")
    p.add_argument("--stem", default="imagenet")
    p.add_argument("--image-size", type=int, default=224)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--steps", type=int, default=2, help="steps of PyTorch in a round, beside the first")
    p.add_argument("--seconds", type=float, default=0, help="of rn-bench train in a round; 3 steps at least")
    p.add_argument("--compile", type=int, default=1)
    p.add_argument("--warm", type=int, default=0, help="only let PyTorch compile")
    p.add_argument("--set", default="")
    p.add_argument("--recipe", default="")
    a = p.parse_args()
    if os.path.exists(a.out):
        return
    if a.warm:
        if a.piece == "step" and a.compile:
            warm(a)
        return
    machine = data_main.machine(argparse.Namespace(jobs=a.threads, out=os.path.dirname(a.out)))
    root = os.path.dirname(os.path.dirname(HERE))
    result = {"piece": a.piece, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "machine": machine,
              "device": a.device, "rnkit": data_main.said("git", "-C", root, "describe", "--always", "--dirty")}
    result.update({"layers": layers, "layers-bn": layers, "step": step, "end-to-end": end_to_end, "feed": feed}[a.piece](a))
    machine["load after"] = " ".join(f"{x:.2f}" for x in os.getloadavg())
    text = json.dumps(result)
    for path, name in ((os.path.abspath(a.set), "SET") if a.set else ("", ""), (a.work, "$OUT"), (a.python, "python"), (a.bin + "/", ""), (root + "/", "")):
        text = text.replace(path, name) if path else text
    with open(a.out + ".new", "w", encoding="utf-8") as f:
        f.write(text + "\n")
    os.rename(a.out + ".new", a.out)


if __name__ == "__main__":
    main()
