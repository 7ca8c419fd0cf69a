"""Ours beside onnxruntime-web on one GPU: MiniLM-L6's and BERT-base's shapes with seeded weights, 128 tokens, batch 1
and 32, 32 and 16 bits, one JSON with ratios against the peer's best form. What is timed on both sides: token ids in
host memory to the pooled vector in host memory (the peer's forms that give all hidden states are timed to those).

usage: run.py --command WEBACCEL --peers DIR --out OUT.json [--work DIR] [--models mini,base] [--batches 1,32]
              [--precisions f32,f16] [--runs 50] [--stages models,ours,peers,tuned,profile,shaders]
              [--tune SECONDS]

Stages, in the order given; each leaves its part in OUT.json, so that a call that ran out of time is continued by
another with the stages left over:
  models   with torch (and transformers, onnx): PEERS/onnx_bert.py's models for the peer and the very same weights as
           Hugging Face folders for us. Without torch: seeded weights by tools/make_bert_models.py, the peer's pooled
           form in f32 alone (for trying this out on small models)
  ours     webaccel bench --json at every shape and precision, with the shipped kernel choices
  peers    PEERS/pages.js: plain, capture, pooled, fused, fused and pooled; 15 warm-up runs, then --runs
  tuned    webaccel tune for --tune seconds a shape (default 20), then as `ours` with what that chose
  shaders  load and first run with pipelines compiled at load and at first use, nothing cached, three times each in turn
  profile  webaccel profile --json at every shape and precision, for docs/PERFORMANCE.md's tables
Times are medians of runs after a warm-up of 1 s; each object has p10, p90 and the runs' own times.
"""
import argparse, importlib.util, json, os, shutil, subprocess, sys, tempfile, time

here = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--command", required=True)
ap.add_argument("--peers", required=True)
ap.add_argument("--out", required=True)
ap.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "webaccel-bench-gpu"))
ap.add_argument("--models", default="mini,base")
ap.add_argument("--batches", default="1,32")
ap.add_argument("--precisions", default="f32,f16")
ap.add_argument("--runs", type=int, default=50)
ap.add_argument("--stages", default="models,ours,peers,tuned,profile,shaders")
ap.add_argument("--tune", type=int, default=20)
args = ap.parse_args()
chrome = os.environ.get("CHROME") or shutil.which("chromium") or sys.exit("bench/gpu: no browser: set $CHROME")
models, batches, precisions = args.models.split(","), [int(b) for b in args.batches.split(",")], args.precisions.split(",")
TOKENS = 128
BITS = {"f32": "32", "f16": "16"}
STAGES = {}
report = {}
if os.path.exists(args.out):
    with open(args.out) as f:
        report = json.load(f)


def stage(f):
    STAGES[f.__name__] = f
    return f


def save(key, value):
    report[key] = value
    with open(args.out + ".part", "w") as f:
        json.dump(report, f, indent=1)
    os.replace(args.out + ".part", args.out)


def say(*words):
    print(*words, flush=True)


def folder(name):
    return os.path.join(args.work, "ours", name)


def command(*words, home=None):
    """Its JSON, or {"error": ...}; in a home of this benchmark's own, so that nothing older is used."""
    p = subprocess.run([args.command, *words, "--json", "--quiet", "--home", home or os.path.join(args.work, "home")], capture_output=True, text=True, env={**os.environ, "CHROME": chrome})
    if p.returncode:
        return {"error": (p.stderr or p.stdout).strip()[-500:]}
    return json.loads(p.stdout)


def load_script(path):
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    m = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(m)
    return m


# --- models -----------------------------------------------------------------------------------------------------
def tools():
    for root in (os.path.dirname(os.path.dirname(here)), os.path.dirname(here)):
        if os.path.exists(os.path.join(root, "tools", "make_bert_models.py")):
            sys.path.insert(0, os.path.join(root, "tools"))
            import make_bert_models
            return make_bert_models
    sys.exit("bench/gpu: tools/make_bert_models.py is not beside bench/")


def with_torch(name, make):
    """The weights that onnx_bert.py seeds, in our folder."""
    peer = load_script(os.path.join(args.peers, "onnx_bert.py"))
    hidden, layers, heads, inner = peer.CFG[name]
    net = peer.model(name, "sdpa")
    arrays = {k: v.detach().float().numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
    make.write_folder(folder(name), hidden, layers, heads, inner, net.config.vocab_size, arrays)


def without_torch(name, make):
    out = os.path.join(args.work, "m")
    make.make_folder(name, folder(name))
    hidden, layers, _, _, vocab = make.SHAPES[name]
    ref = {"hidden": hidden, "seq": TOKENS, "layers": layers, "vocab": vocab}
    for b in batches:
        make.make_onnx(folder(name), os.path.join(out, "%s-b%d-f32-pool.onnx" % (name, b)), output="pooled", dims=(b, TOKENS))
        r = command("bench", folder(name), "--target", "cpu", "--batch", str(b), "--tokens", str(TOKENS), "--runs", "1", "--warmup", "0")
        ref["b%d" % b] = {"pooled": r["sample"]} if "sample" in r else sys.exit("bench/gpu: " + r["error"])
    with open(os.path.join(out, name + ".json"), "w") as f:
        json.dump(ref, f)


def torch_here():
    return all(importlib.util.find_spec(m) for m in ("torch", "transformers", "onnx"))


@stage
def models_stage():
    make = tools()
    os.makedirs(os.path.join(args.work, "m"), exist_ok=True)
    exports = []
    for name in models:
        if torch_here():
            log = open(os.path.join(args.work, name + ".log"), "w")
            exports.append((name, log, subprocess.Popen([sys.executable, os.path.join(args.peers, "onnx_bert.py"), os.path.join(args.work, "m"), name], stdout=log, stderr=log)))
            with_torch(name, make)
        else:
            without_torch(name, make)
    for name, log, p in exports:
        if p.wait():
            log.flush()
            with open(log.name) as f:
                sys.exit("bench/gpu: onnx_bert.py %s failed:\n%s" % (name, f.read()[-2000:]))
    save("models", {"torch": torch_here(), "names": models})


# --- ours -------------------------------------------------------------------------------------------------------
def each():
    for name in models:
        for b in batches:
            for p in precisions:
                yield name, b, p


def bench_ours(key, *more):
    got = report.get(key, {})
    for name, b, p in each():
        r = command("bench", folder(name), "--target", "webgpu", "--browser", chrome, "--batch", str(b), "--tokens", str(TOKENS), "--precision", BITS[p], "--runs", str(args.runs),
                    "--warmup", "1000", *more)
        got["%s-b%d-%s" % (name, b, p)] = r
        say(key, name, b, p, r["error"][:200] if "error" in r else "median %.3f ms, p10 %.3f, p90 %.3f, GPU %s, load %.0f ms, %s" % (
            r["median_ms"], r["p10_ms"], r["p90_ms"], r["gpu_ms"], r["load_ms"], r["adapter_name"]))
        save(key, got)


@stage
def ours():
    bench_ours("ours", "--tune", "off")


@stage
def tuned():
    got = report.get("tune", {})
    for name, b, p in each():
        r = command("tune", folder(name), "--browser", chrome, "--batch", str(b), "--tokens", str(TOKENS), "--precision", BITS[p], "--seconds", str(args.tune))
        got["%s-b%d-%s" % (name, b, p)] = r
        say("tune", name, b, p, r["error"][:200] if "error" in r else "products %.1f us -> %.1f us in %.0f s" % (r["default_us"], r["us"], r["seconds"]))
        save("tune", got)
    bench_ours("tuned", "--tune", "on")


@stage
def profile():
    got = report.get("profiles", {})
    for name, b, p in each():
        r = command("profile", folder(name), "--target", "webgpu", "--browser", chrome, "--batch", str(b), "--tokens", str(TOKENS), "--precision", BITS[p])
        got["%s-b%d-%s" % (name, b, p)] = r
        say("profile", name, b, p, r["error"][:200] if "error" in r else "run %.3f ms, kernels %.3f ms: %s" % (
            r["wall_ms"], r["kernels_ms"], ", ".join("%s %.0f us" % (k["kind"], k["us"]) for k in r["kinds"][:4])))
        save("profiles", got)


@stage
def shaders():
    got = {}
    for name in models:
        for turn in range(3):
            for choice in ("on", "off"):
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
                    r = command("bench", folder(name), "--target", "webgpu", "--browser", chrome, "--tokens", str(TOKENS), "--runs", "3", "--warmup", "0", "--tune", "off", "--precompile-shaders", choice, home=home)
                row = {"error": r["error"]} if "error" in r else {k: round(r[k], 1) for k in ("load_ms", "first_ms", "start_ms")}
                got.setdefault(name, {}).setdefault(choice, []).append(row)
                say("shaders", name, choice, row)
                save("shaders", got)


# --- peers ------------------------------------------------------------------------------------------------------
@stage
def peers():
    for f in ("pages.html", "pages.js"):
        shutil.copy(os.path.join(args.peers, f), args.work)
    if not os.path.isdir(os.path.join(args.work, "ort")):
        os.makedirs(os.path.join(args.work, "ort"))
        subprocess.run(["tar", "xJf", os.path.join(args.peers, "ort.tar.xz"), "-C", os.path.join(args.work, "ort")], check=True)
    os.environ["CHROME"] = chrome
    run = load_script(os.path.join(args.peers, "browser.py")).run
    made = os.listdir(os.path.join(args.work, "m"))
    common = "job=encoder&runs=%d&batches=%s&types=%s" % (args.runs, args.batches, args.precisions if torch_here() else "f32")
    jobs = []
    for name in models:
        variants = [v for v in ("", "-pool", "-fused", "-fusedpool") if any(f.startswith(name + "-b") and f.endswith(("-f32" + v + ".onnx", "-f16" + v + ".onnx")) for f in made)]
        jobs += [("%s&models=%s&variants=%s" % (common, name, v), 240) for v in variants]
    got = report.get("peers", {})
    for job in jobs:  # a browser each: one that hangs takes no other's results with it
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as d:
            r = run(args.work, d + "/p", [job])[0] or {"error": "no result in %d s" % job[1]}
        info = r.pop("info", None)
        got.update(r)
        save("peers", dict(got, info=info or got.get("info")))


# --- ratios -----------------------------------------------------------------------------------------------------
def ratios():
    rows = []
    for name, b, p in each():
        key = "%s-b%d-%s" % (name, b, p)
        forms = {k[len(key):].strip("- ") or "plain": v["median"] for k, v in report.get("peers", {}).items() if (k.startswith(key + " ") or k.startswith(key + "-")) and isinstance(v, dict) and "median" in v}
        row = {"model": name, "batch": b, "precision": p, "peer_forms_ms": forms}
        best = min(forms, key=forms.get) if forms else None
        if best:
            row.update(best_peer=best, best_peer_ms=forms[best])
        for mine in ("ours", "tuned"):
            r = report.get(mine, {}).get(key, {})
            if "median_ms" in r:
                row[mine + "_ms"] = r["median_ms"]
                row["software"] = r["adapter_is_software"]
                if best:
                    row[mine + "_ratio"] = round(forms[best] / r["median_ms"], 3)
        reference = reference_of(name, b)
        if reference and "sample" in report.get("ours", {}).get(key, {}):
            row["difference"] = max(abs(x - y) for x, y in zip(report["ours"][key]["sample"], reference))
        rows.append(row)
        say("%-16s %s" % (key, "  ".join("%s %s" % (k, row[k]) for k in ("ours_ms", "tuned_ms", "best_peer", "best_peer_ms", "ours_ratio", "tuned_ratio", "difference") if k in row)))
    save("ratios", rows)


def reference_of(name, b):
    path = os.path.join(args.work, "m", name + ".json")
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return json.load(f).get("b%d" % b, {}).get("pooled")


def machine():
    smi = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True) if shutil.which("nvidia-smi") else None
    version = subprocess.run([chrome, "--version"], capture_output=True, text=True).stdout.strip()
    return {"gpu": smi.stdout.strip() if smi and smi.returncode == 0 else None, "chrome": version, "flags": os.environ.get("GPU_FLAGS"), "cores": os.cpu_count(),
            "webaccel": subprocess.run([args.command, "version"], capture_output=True, text=True).stdout.strip(), "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


STAGES["models"] = STAGES.pop("models_stage")
wanted = args.stages.split(",")
unknown = [s for s in wanted if s not in STAGES]
if unknown:
    sys.exit("bench/gpu: no stage named %s; there are %s" % (unknown[0], ", ".join(STAGES)))
os.makedirs(args.work, exist_ok=True)
save("machine", machine())
for s in wanted:
    start = time.time()
    STAGES[s]()
    say("%s took %.0f s" % (s, time.time() - start))
ratios()
