#!/usr/bin/env python3
"""Writes docs/OPERATORS.md from the library's tables, ONNX's schemas and the committed conformance lists.

usage: tools/gen_operators.py --tables build/operator_tables [--check]
       tools/gen_operators.py --schemas                        schema/onnx.json, by a developer with onnx and onnxruntime
       tools/gen_operators.py --known 1.12-webgpu RESULTS      the known failures of a run (onnx-conformance --json)

In: schema/onnx.json {domain: {operator: {versions, types}}}; what operator_tables prints; and of
tests/conformance SET-TARGET.json, {case: "in" or why it is left out} (tools/conformance_denominator.py),
and known-SET-TARGET.json, {case: why it does not pass}, SET being 1.12, 1.22, 1.12-simple...
--check writes nothing and exits 1 when the page has drifted.
"""
import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LISTS = os.path.join(ROOT, "tests", "conformance")
SCHEMAS = os.path.join(ROOT, "schema", "onnx.json")
PAGE = os.path.join(ROOT, "docs", "OPERATORS.md")
TARGETS = ("cpu", "webgpu", "webnn")
SHORT = {"float": "f32", "float16": "f16", "double": "f64", "bfloat16": "bf16", "bool": "bool", "string": "string",
         "complex64": "c64", "complex128": "c128", "float8e4m3fn": "f8e4m3", "float8e5m2": "f8e5m2", "float8e4m3fnuz": "f8e4m3fnuz",
         "float8e5m2fnuz": "f8e5m2fnuz", "float8e8m0": "f8e8m0", "float4e2m1": "f4",
         **{f"{u}int{n}": f"{u or 'i'}{n}" for u in ("", "u") for n in (2, 4, 8, 16, 32, 64)}}
GROUPS = (("floats", ("f16", "f32", "f64", "bf16")), ("f8", ("f8e4m3", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz")),
          ("signed", ("i8", "i16", "i32", "i64")), ("unsigned", ("u8", "u16", "u32", "u64")))
# what src/program and src/opt do with operators that have no row of their own
BY_PROGRAM = {"If": "branch chosen when compiling, else between stages", "Loop": "unrolled when compiling, else between stages",
              "Scan": "unrolled when compiling"}
# their results are known when a plan is made, since shapes are bound then; data-dependent ones run on the CPU
CONSTANT = ("Constant", "ConstantOfShape", "Shape", "Size", "Range", "EyeLike")


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def save(path, value):
    """Sorted, an entry a line (of nested objects: an inner entry a line)."""
    def line(k, v):
        return f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}"
    parts = []
    for k, v in sorted(value.items()):
        inner = isinstance(v, dict) and ",\n".join(line(a, b) for a, b in sorted(v.items()))
        parts.append(f"{json.dumps(k)}: {{\n{inner}\n}}" if inner else line(k, v))
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(parts) + "\n}\n")


# ---- schemas ----
def short_types(allowed):
    """'tensor(float)' and the like as a short list; groups of types by one word."""
    names, others = set(), set()
    for a in allowed:
        m = re.fullmatch(r"tensor\((\w+)\)", a)
        if m:
            names.add(SHORT.get(m[1], m[1]))
        else:
            others.add(a.split("(")[0] if not a.startswith("optional(seq") else "optional(seq)")
    out = []
    for word, group in GROUPS:
        if names.issuperset(group):
            out.append(word)
            names.difference_update(group)
    return " ".join(out + sorted(names) + sorted(others))


def schemas():
    import onnx.defs
    import onnxruntime.capi.onnxruntime_pybind11_state as ort
    seen = collections.defaultdict(lambda: collections.defaultdict(dict))
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain in ("", "ai.onnx"):
            seen[""][s.name][s.since_version] = s
    for s in ort.get_all_operator_schema():
        if s.domain == "com.microsoft":
            seen[s.domain][s.name][s.since_version] = s
    out = {}
    for domain, ops in seen.items():
        out[domain] = {}
        for name, versions in ops.items():
            last = versions[max(versions)]
            types = {t.type_param_str: short_types(t.allowed_type_strs) for t in last.type_constraints}
            out[domain][name] = {"versions": sorted(versions), "types": types}
            if last.deprecated:
                out[domain][name]["deprecated"] = True
    save(SCHEMAS, out)


# ---- the page ----
def row_of(r, schema):
    name = r["name"]
    versions = ", ".join(map(str, schema["versions"])) if schema else ""
    types = "; ".join(f"{k}: {v}" for k, v in schema["types"].items()) if schema else ""
    if name in BY_PROGRAM and r["domain"] == "":
        cells = [BY_PROGRAM[name]] * 3
    elif name in CONSTANT and r["domain"] == "":
        cells = ["constant"] * 3
    elif r["decomposed"] and not r["shape"]:
        cells = ["composed"] * 3
    else:
        by = "composed" if r["decomposed"] else ""
        view = "no work" if r["view"] else ""
        cpu = "kernel" if r["shape"] and r["reference"] else by or "–"
        gpu = view or ("kernel" if r["webgpu"] else by or ("host" if cpu == "kernel" else "–"))
        nn = r.get("webnn")
        nn = view or (nn if isinstance(nn, str) else "mapped" if nn else by or ("elsewhere" if cpu != "–" else "–"))
        cells = [cpu, gpu, nn]
    return f"| {name} | {versions} | {types} | {' | '.join(cells)} |"


def tables(rows, onnx):
    out = []
    for domain, title in (("", "ai.onnx"), ("com.microsoft", "com.microsoft"), ("wa", "wa: what passes make")):
        mine = sorted((r for r in rows if r["domain"] == domain), key=lambda r: r["name"])
        out += [f"## {title}", "| operator | opsets | types | CPU | WebGPU | WebNN |", "|---|---|---|---|---|---|"]
        out += [row_of(r, onnx.get(domain, {}).get(r["name"])) for r in mine] + [""]
        names = {r["name"] for r in mine}
        missing = sorted(n for n, s in onnx.get(domain, {}).items() if n not in names and "deprecated" not in s)
        if missing and domain:
            out += [f"The {len(missing)} other operators of this domain are refused by import.", ""]
        elif missing:
            out += ["Not in the table (refused by import): " + ", ".join(missing) + ".", ""]
    return out


def general(reason):
    """A reason without the name of this case's tensor, so that cases group."""
    reason = re.sub(r"^(input|output) \S+ (is|has)", r"an input or output \2", reason)
    return re.sub(r"^(\w+ type)( inside)?: .*", r"\1", reason)


def grouped(cases, groups_by):
    by = collections.defaultdict(list)
    for case, why in sorted(cases.items()):
        by[groups_by(why)].append(case.removeprefix("test_"))
    return [f"- {why}: {', '.join(names)}" for why, names in sorted(by.items())]


def sets():
    found = collections.defaultdict(dict)
    for path in glob.glob(os.path.join(LISTS, "*.json")):
        m = re.fullmatch(r"(known-)?(.+)-(cpu|webgpu|webnn)\.json", os.path.basename(path))
        if m:
            found[(m[2], m[3])]["known" if m[1] else "in"] = load(path)
    return found


def conformance():
    found = sets()
    out = ["## Conformance", "ONNX's own backend tests. *Counted* are the cases of the rule in tools/conformance_denominator.py;",
           "*known failures* those of the counted ones that do not pass, listed below with the reason.", "",
           "| set | target | cases | counted | known failures | pass |", "|---|---|---|---|---|---|"]
    order = sorted(found, key=lambda k: (k[0], TARGETS.index(k[1])))
    for key in order:
        cases, known = found[key].get("in", {}), found[key].get("known")
        counted = sum(x == "in" for x in cases.values())
        rate = "not run" if known is None else f"{100 * (counted - len(known)) / max(counted, 1):.1f} %"
        out.append(f"| {key[0]} | {key[1]} | {len(cases)} | {counted} | {'' if known is None else len(known)} | {rate} |")
    out.append("")
    for key in order:
        if found[key].get("known"):
            out += [f"### Known failures: {key[0]} on {key[1]}"] + grouped(found[key]["known"], lambda w: w) + [""]
    for name in sorted({k[0] for k in order}):
        base = found.get((name, "cpu"), {}).get("in", {})
        left = {c: w for c, w in base.items() if w != "in"}
        if left:
            out += [f"### Left out: {name} on every target"] + grouped(left, general) + [""]
        for target in TARGETS[1:]:
            more = {c: w for c, w in found.get((name, target), {}).get("in", {}).items() if w != "in" and base.get(c) == "in"}
            same = target == "webnn" and more == {c: w for c, w in found.get((name, "webgpu"), {}).get("in", {}).items() if w != "in" and base.get(c) == "in"}
            if same:
                out += [f"On webnn, of {name}, the same as on webgpu.", ""]
            elif more:
                out += [f"### Left out: {name} on {target}, besides"] + grouped(more, general) + [""]
    return out


def page(rows):
    onnx = load(SCHEMAS)
    out = ["# Operators", "Generated by tools/gen_operators.py: edit nothing here.", "",
           "*kernel*: its own code for the target (CPU: at least the reference). *composed*: written out as operators that have",
           "kernels (src/opt/opt_decompose_*.c), so on every target that those run on. *no work*: moves no data. *constant*: known when",
           "a plan is made (shapes are bound then). *host*: a stage on",
           "the CPU between segments, reported as such. *mapped*: calls of MLGraphBuilder. *elsewhere*: a WebGPU or CPU segment of the",
           "same plan. Types are what ONNX's newest version of the operator allows; WebGPU computes floats in f32 and integers in 32",
           "bits, narrowed with a range check. –: not built.", ""]
    return "\n".join(out + tables(rows, onnx) + conformance()).rstrip() + "\n"


def known(name, results):
    cases, run = load(os.path.join(LISTS, name + ".json")), load(results)
    bad = {}
    for case, why in cases.items():
        r = run.get(case, {"verdict": "not run", "reason": ""})
        if why == "in" and r["verdict"] != "pass":
            bad[case] = r["verdict"] + (": " + r["reason"] if r["reason"] else "")
    save(os.path.join(LISTS, f"known-{name}.json"), bad)
    counted = sum(x == "in" for x in cases.values())
    print(f"{name}: {counted - len(bad)} of {counted} counted cases pass")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tables")
    ap.add_argument("--schemas", action="store_true")
    ap.add_argument("--known", nargs=2, metavar=("SET-TARGET", "RESULTS"))
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    if args.schemas:
        schemas()
    if args.known:
        known(*args.known)
    if not args.tables:
        return 0
    text = page(json.loads(subprocess.run([args.tables], check=True, capture_output=True, text=True).stdout))
    if args.check:
        old = ""
        if os.path.exists(PAGE):
            with open(PAGE, encoding="utf-8") as f:
                old = f.read()
        if old != text:
            print("docs/OPERATORS.md has drifted: run tools/gen_operators.py --tables build/operator_tables", file=sys.stderr)
            return 1
        return 0
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
