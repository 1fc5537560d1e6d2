# SPDX-License-Identifier: MIT
"""kernels_page.py --gather PIECES RESULTS.json: the whole pieces as one JSON; kernels_page.py RESULTS.json PAGE.md CHART.svg: page and chart of it."""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data"))
import targets  # pylint: disable=wrong-import-position
from layers import FAST, device_of, has_fast, layer_ratios, layer_tables, libraries, lost_in_layers, lost_with_norms, norm_ratios, norm_tables, of_kind  # pylint: disable=wrong-import-position
from measure import spread  # pylint: disable=wrong-import-position
from page import chart  # pylint: disable=wrong-import-position


def gather(pieces, target):
    found = []
    for path in sorted(glob.glob(os.path.join(pieces, "*.json"))):
        with open(path, encoding="utf-8") as f:
            found.append({"id": os.path.basename(path).removesuffix(".json"), **json.load(f)})
    with open(target + ".new", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(p) for p in found) + "\n]\n")
    os.rename(target + ".new", target)
    return 0 if found else 3


# ---- steps -----------------------------------------------------------------------------------------------------------------------


def middle(values):
    return sorted(values)[len(values) // 2]


def peer_times(piece):
    """{mode: median ms by round}."""
    return {m: [spread(r[m])["median"] for r in piece["rounds"]] for m in piece["modes"]}


def faster_mode(piece):
    times = peer_times(piece)
    return min(times, key=lambda m: spread(times[m])["median"])


def step_ratios(piece):
    theirs = peer_times(piece)[faster_mode(piece)]
    return [t / r["rnkit"]["step_ms"] for t, r in zip(theirs, piece["rounds"])]


def our_step(piece):
    """Our round of median time."""
    return middle_by([r["rnkit"] for r in piece["rounds"]], "step_ms")


def middle_by(rows, key):
    return sorted(rows, key=lambda r: r[key])[len(rows) // 2]


def images(piece, ms):
    return f"{piece['batch'] / ms * 1e3:.1f}"


def step_table(pieces):
    out = ["", "## Whole training steps", "", "| step | type | ours, images/s | PyTorch eager | torch.compile | ratio to the faster | extremes | of the roofline |", "|---|---|---|---|---|---|---|---|"]
    for p in of_kind(pieces, "step"):
        times, r, mine = peer_times(p), spread(step_ratios(p)), our_step(p)
        compiled = images(p, spread(times["compile"])["median"]) if "compile" in times else "left out"
        out.append(f"| {label(p)} | {type_of(p)} | {images(p, mine['step_ms'])} | {images(p, spread(times['eager'])['median'])} | {compiled} "
                   f"| **{r['median']:.2f}** | {r['min']:.2f} .. {r['max']:.2f} | {mine['roofline_pct']:.0f} % |")
    return out


def label(p):
    stem = ", CIFAR's stem" if p.get("stem") == "cifar" else ""
    return f"{p['arch']}, {p['image_size']} px{stem}, batch {p['batch']}"


def type_of(p):
    return p["dtype"] + (f" with {p['more']}" if p.get("more") else "")


def ceilings(s):
    if s["memory_gbytes_per_s"] is None:
        return "No ceilings: the device is emulated."
    return f"Ceilings of that run: {s['peak_gflops']['f32']:.0f} GFLOP/s f32, {s['peak_gflops']['bf16']:.0f} bf16, {s['memory_gbytes_per_s']:.1f} GB/s."


def split_tables(pieces):
    out = []
    for p in of_kind(pieces, "step"):
        s = our_step(p)
        out += ["", f"### Where the step goes: {label(p)}, {type_of(p)}", "",
                ceilings(s), "",
                "| op | calls | ms | share, per cent | GFLOP/s | GB/s | roofline, ms | per cent of it |", "|---|---|---|---|---|---|---|---|"]
        for o in sorted(s["ops"], key=lambda o: -o["ms"]):
            if o["share_pct"] >= 0.1:
                out.append(f"| {o['op']} | {o['calls']} | {o['ms']:.2f} | {o['share_pct']:.1f} | {o['gflops']:.0f} | {o['gbytes_per_s']:.1f} | {o['roofline_ms']:.2f} | {o['roofline_pct']:.0f} |")
        out.append(f"| step | | {s['step_ms']:.2f} | 100 | | | {s['roofline_ms']:.2f} | {s['roofline_pct']:.0f} |")
    return out


# ---- what is to be reached -------------------------------------------------------------------------------------------------------


def lost_in_step(piece):
    """The ops that are furthest, in ms, from their roofline, and what of the step would be left if all were on it."""
    s = our_step(piece)
    worst = sorted(s["ops"], key=lambda o: o["roofline_ms"] - o["ms"])[:3]
    return f"the step is at {s['roofline_pct']:.0f} % of its roofline; most is lost in " + ", ".join(
        f"{o['op']} ({o['ms'] - o['roofline_ms']:.0f} of {s['step_ms']:.0f} ms, {o['roofline_pct']:.0f} % of its own)" for o in worst)


def goals(pieces):
    """[{work, against, target, spread, reached, why, unit}]: figures to reach, and what was reached."""
    out = []

    def add(work, against, target, values, why, unit="x"):
        if not values:
            return
        s = spread(values)
        out.append({"work": work, "against": against, "target": target, "ratio": s, "reached": s["median"] >= target, "why": why, "unit": unit})

    for p in of_kind(pieces, "layers"):
        for (dtype, how), target in targets.LAYERS[device_of(p)].items():
            for library in libraries(p) if dtype == p["dtype"] else ():
                for fast in (False, True) if has_fast(p) else (False,):
                    add(f"{p['net']}'s layers, {dtype}{FAST if fast else ''}, {how}", f"{library}, its fastest for each case", target,
                        layer_ratios(p, library, how, fast=fast), lost_in_layers(p, library, fast))
    for p in of_kind(pieces, "layers-bn"):
        target = targets.LAYERS_BN[device_of(p)].get(p["dtype"])
        for library in libraries(p) if target else ():
            add(f"{p['net']}'s layers and their batch norms, {p['dtype']}, time-weighted", f"{library}, its faster way for each layer", target,
                norm_ratios(p, library), lost_with_norms(p, library))
    for p in of_kind(pieces, "step"):
        target = targets.STEPS.get((p["id"].removesuffix("-fast").removesuffix("-" + p["dtype"]), p["dtype"]))
        if target:
            add(f"step of {label(p)}, {type_of(p)}", f"{p['peer']}, {faster_mode(p)}", target, step_ratios(p), lost_in_step(p))
    for p in of_kind(pieces, "step"):
        add(f"step of {label(p)}, {type_of(p)}", "its own roofline", targets.ROOFLINE[device_of(p)][p["dtype"]], [r["rnkit"]["roofline_pct"] for r in p["rounds"]], lost_in_step(p), " %")
    for p in of_kind(pieces, "end-to-end"):
        what, ours = f"{p.get('what') or 'Imagenette, 128 px, 5 epochs'} end to end, {type_of(p)}", [r["rnkit"] for r in p["rounds"]]
        if device_of(p) == "cuda":
            add(what, "top-1", targets.CIFAR10["top1"], [r["top1"] for r in ours], "see the runs", " %")
            add(what, f"{targets.CIFAR10['seconds']} s of training", 1, [targets.CIFAR10["seconds"] / r["train_seconds"] for r in ours], "see the step's own split")
        else:
            add(what, f"PyTorch, DataLoader with {p.get('threads', 2)} workers", targets.END_TO_END,
                [r["torch"]["seconds"] / r["rnkit"]["seconds"] for r in p["rounds"]], "see the step's own split")
    for p in of_kind(pieces, "feed"):
        alone = spread([r["loader_images_per_s"] for r in p["rounds"]])["median"]
        took = spread([r["images_per_s"] for r in p["rounds"]])["median"]
        add(f"{label(p)}, {type_of(p)}, fed from LMDB by {p['threads']} threads", "busy", targets.BUSY, [r["busy_pct"] for r in p["rounds"]],
            f"the loader alone gives {alone:.0f} images/s, the training took {took:.0f}", " %")
    return out


def goal_table(found):
    out = ["| work | against | at least | reached | extremes | |", "|---|---|---|---|---|---|"]
    for g in found:
        u, digits = g["unit"], 0 if g["unit"] == " %" else 2
        said = lambda x: f"{x:.{digits}f}{u}"  # pylint: disable=cell-var-from-loop
        out.append(f"| {g['work']} | {g['against']} | {g['target']:.3g}{u} | **{said(g['ratio']['median'])}** | {said(g['ratio']['min'])} .. {said(g['ratio']['max'])} "
                   f"| {'reached' if g['reached'] else '**not reached**'} |")
    missed = [g for g in found if not g["reached"]]
    if missed:
        out += ["", "Not reached, and where the time is:", ""]
        out += [f"- {g['work']}, against {g['against']}: {g['why']}." for g in missed]
    return out


def end_to_end_table(pieces):
    out = []
    for p in of_kind(pieces, "end-to-end"):
        out += ["", f"## End to end, {type_of(p)}", "", "| round | side | seconds | top-1, per cent | top-5 | images |", "|---|---|---|---|---|---|"]
        for i, r in enumerate(p["rounds"]):
            out += [f"| {i + 1} | {side} | {r[side]['seconds']:.1f} | {r[side]['top1']:.2f} | {r[side]['top5']:.2f} | {r[side]['n']} |" for side in ("rnkit", "torch")]
        out += ["", "The recipe, as both read it:", "", "```", p["recipe"].rstrip(), "```"]
    return out


def provenance(pieces):
    out = ["| piece | date | rnkit | load average before, after |", "|---|---|---|---|"]
    return out + [f"| {p['id']} | {p['date']} | {p['rnkit']} | {p['machine']['load before']}, {p['machine']['load after']} |" for p in pieces]


def facts(pieces):
    """Of a GPU: its clocks, power and driver at a piece's end, and the peer's versions."""
    said = next((r["rnkit"].get("machine", {}) for p in of_kind(pieces, "step") for r in p["rounds"]), next((p["facts"] for p in pieces if "facts" in p), {}))
    peer = next((p["peer_facts"] for p in of_kind(pieces, "step") if "peer_facts" in p), {})
    out = [f"{k.removeprefix('gpu_')} {v}" for k, v in said.items() if k.startswith("gpu_") or k in ("driver", "nvml", "emulated")]
    out += [f"{peer['ready']}, CUDA {peer['cuda']}, cuDNN {peer['cudnn']}"] if "cudnn" in peer else []
    return ["", "; ".join(out) + "."] if out else []


def page(pieces, chart_name, source):
    m, kind = pieces[0]["machine"], device_of(pieces[0])
    device = next((p["rounds"][0]["rnkit"]["device"] for p in of_kind(pieces, "step")), next((p["on"] for p in pieces if "on" in p), ""))
    out = [f"# {targets.TITLE[kind]}", "",
           f"Written by `bench/step.sh` (`{targets.MADE_BY[kind]}`) out of `{source}`, which has every round; no figure here is typed by hand.", "",
           f"{m['cpu']}, {m['cores']} cores, {m['memory']}, Linux {m['kernel']}. {device}.", *facts(pieces), "", "## Figures to reach", ""]
    if chart_name:
        out += [f"![what was reached, as a multiple of what was to be]({chart_name})", ""]
    out += goal_table(goals(pieces)) + step_table(pieces) + end_to_end_table(pieces) + ["", "## Rules", "", targets.RULES[kind].rstrip(), "", "## Each in full"]
    out += layer_tables(pieces) + norm_tables(pieces) + split_tables(pieces)
    out += ["", "## Pieces", "", *provenance(pieces), "", "```"]
    out += [c for p in pieces for c in ([p["command"]] if "command" in p else p.get("commands", []))]
    return "\n".join([*out, "```", ""])


def bars(pieces):
    out = []
    for g in goals(pieces):
        r, t = g["ratio"], g["target"]
        work = g["work"]
        for long, short in (("step of ", ""), (", CIFAR's stem", ""), (" with --fast", " --fast"), (" end to end", "")):  # the margin is not wide
            work = work.replace(long, short)
        against = "PyTorch" if g["against"].startswith("PyTorch") else g["against"].split(",")[0].replace("its own ", "")
        text = f"{work} / {against}  ({r['median']:.{0 if g['unit'] == ' %' else 2}f}{g['unit']} of {t:.3g})"
        out.append((text, r["median"] / t, r["min"] / t, r["max"] / t, 1 if g["reached"] else 2))
    return out[::-1]


def main(argv):
    if argv[0] == "--gather":
        return gather(*argv[1:])
    with open(argv[0], encoding="utf-8") as f:
        pieces = json.load(f)
    if not pieces:
        return 3
    drawn = bars(pieces)
    with open(argv[1], "w", encoding="utf-8") as f:
        f.write(page(pieces, os.path.basename(argv[2]) if drawn else None, os.path.basename(argv[0])))
    try:
        if drawn:
            chart(drawn, argv[2])
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"no chart: {e}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
