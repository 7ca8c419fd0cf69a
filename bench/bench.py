"""Ours against the engines a user could pick instead, in one run on one machine.

Cases: `minilm` (paraphrase-MiniLM-L3-v2) and `l6` (all-MiniLM-L6-v2, whose ONNX form for the peers is made here from
the same weights) at --shapes (batch x tokens) and --precisions: the same token ids for everybody, pooled on the
target. int8 is ONNX Runtime's dynamic quantisation for the peers and --precision 8 for ours. `ppocr-det`, PP-OCRv4's
text detection at --det-size, and `resnet50`, ResNet-50's shape with seeded weights (made here, 98 MiB): seeded images.
`compile`: the time and the memory of `webaccel plan` on a 1 GB transformer (made here), no peers.
Peers: onnxruntime on the CPU (Python), and onnxruntime-web: wasm, WebGPU, WebGPU with graph capture (texts alone) in
--browser's Chromium, and wasm and WebNN in the Chromium that has WebNN. Ours: CPU, WebGPU in Chromium and in Firefox,
WebNN. Measured: median, p10 and p90 of a run after a warm-up, cold start to the first result (ours: process start;
web: browser start; native: session creation). Ratios are peer / ours, above 1 where ours is faster. Shapes of more
than --software-tokens tokens are left out in browsers whose adapter is software: they take minutes a run.

usage: bench.py --command build/webaccel --peers DIR --deps DIR [--cases minilm,l6,ppocr-det,resnet50,compile]
                [--shapes 1x8,1x128,...] [--precisions f32,int8] [--det-size 640x640] [--runs 30] [--browser chromium]
                [--flags "..."] [--only ours-cpu,ort-cpu,...] [--software-tokens N] [--out FILE]
bench/compare tells what changed between two of its files.
"""
import argparse, array, http.server, json, os, platform, random, resource, shlex, shutil, signal, statistics, struct, subprocess, sys, tempfile, threading, time

ap = argparse.ArgumentParser()
ap.add_argument("--command", required=True)
ap.add_argument("--peers", required=True)
ap.add_argument("--deps", required=True)
ap.add_argument("--cases", default="minilm,l6,ppocr-det,resnet50,compile")
ap.add_argument("--precisions", default="f32,int8")
ap.add_argument("--software-tokens", type=int, default=256)
ap.add_argument("--det-size", default="640x640", help="height x width of the detection image, multiples of 32")
ap.add_argument("--shapes", default="1x8,1x128,1x256,32x8,32x128,32x256")
ap.add_argument("--runs", type=int, default=20)
ap.add_argument("--slow-runs", type=int, default=3, help="for peers that take seconds a run")
ap.add_argument("--browser", default="chromium")
ap.add_argument("--chrome", default=os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome") or "")
ap.add_argument("--flags", default=os.environ.get("GPU_FLAGS", "--headless --no-sandbox --no-first-run --enable-unsafe-webgpu --disable-dev-shm-usage"))
ap.add_argument("--only", default="ours-cpu,ours-webgpu,ours-firefox,ours-webnn,ort-cpu,ort-web-wasm,ort-web-webgpu,ort-web-capture,ort-web-webnn")
ap.add_argument("--out", default="")
args = ap.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
nn_chrome = os.environ.get("WEBACCEL_CHROMIUM_WEBNN") or os.path.join(args.deps, "chromium-webnn", "chromium")
NN_FEATURES = "WebMachineLearningNeuralNetwork,WebNNOnnxRuntime"
want = args.only.split(",")


def ids_for(batch, length, words=30522):
    """i * 7919 mod the vocabulary, as webaccel bench and bench/gpu have them; no padding: every engine does the same work."""
    flat = [i * 7919 % words for i in range(batch * length)]
    return [flat[i * length:(i + 1) * length] for i in range(batch)]


class Work:
    """A model with its inputs: {name: (type, dims, numbers)}, its free dimensions as they are here (WebNN and
    captured graphs want them fixed), the output that is compared, the folder where ours embeds, and the
    bits of its weights."""

    def __init__(self, name, model, inputs, free, output=None, embed=None, bits=32, ours=None):
        self.ours = ours or {}  # inputs that our form of the model has and the peers' has not
        self.name, self.model, self.inputs, self.free, self.output, self.embed, self.bits = name, model, inputs, free, output, embed, bits

    def tokens(self):
        return self.free["batch_size"] * self.free["sequence_length"] if self.embed else 0

    def write_npy(self, folder):
        files = {}
        for name, (kind, dims, numbers) in {**self.inputs, **self.ours}.items():
            shape = "(" + ", ".join(map(str, dims)) + ("," if len(dims) == 1 else "") + ")"
            head = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % ({"int64": "<i8", "float32": "<f4"}[kind], shape)).encode()
            head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
            files[name] = os.path.join(folder, name + ".npy")
            with open(files[name], "wb") as f:
                f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + numbers.tobytes())
        return files


def l3_file():
    folder = os.path.join(args.deps, "models", "l3")
    files = [f for f in sorted(os.listdir(folder)) if f.endswith(".onnx")] if os.path.isdir(folder) else []
    if not files:
        sys.exit("bench: no model under %s: run make deps with the registries reachable" % folder)
    return folder, os.path.join(folder, files[0])


def l6_file():
    folder, path = os.path.join(args.deps, "models", "l6"), os.path.join(args.deps, "models", "bench", "l6", "model.onnx")
    if not os.path.exists(os.path.join(folder, "model.safetensors")):
        sys.exit("bench: no model under %s: run make deps with the registries reachable" % folder)
    if not os.path.exists(path):
        print("making", path, flush=True)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run([sys.executable, os.path.join(os.path.dirname(here), "tools", "make_bert_models.py"), "onnx", folder, path], check=True)
    return folder, path


def quantized(path):
    """The file with its products' weights in 8 bits, activations quantised as they come; made once."""
    out = os.path.join(args.deps, "models", "bench", os.path.basename(os.path.dirname(path)) + "-int8", "model.onnx")
    if not os.path.exists(out):
        from onnxruntime.quantization import QuantType, quantize_dynamic
        print("quantising", out, flush=True)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        quantize_dynamic(path, out + ".part", weight_type=QuantType.QInt8)
        os.replace(out + ".part", out)
    return out


def texts(case, find, batch, length, precision):
    folder, path = find()
    bits = {"f32": 32, "int8": 8}.get(precision) or sys.exit("bench: no precision named " + precision)
    flat = array.array("q", [i for r in ids_for(batch, length) for i in r])
    ones = array.array("q", [1] * len(flat))
    dims = [batch, length]
    name = ("" if case == "minilm" else case + " ") + "%dx%d" % (batch, length) + ("" if bits == 32 else " " + precision)
    return Work(name, path if bits == 32 else quantized(path), {"input_ids": ("int64", dims, flat), "attention_mask": ("int64", dims, ones)},
                {"batch_size": batch, "sequence_length": length, "batch": batch, "sequence": length}, embed=folder, bits=bits,
                ours={"token_type_ids": ("int64", dims, array.array("q", [0] * len(flat)))} if case == "l6" else None)


def image(dims):
    r, count = random.Random(20261124), 1
    for d in dims:
        count *= d
    return ("float32", dims, array.array("f", [r.uniform(-1, 1) for _ in range(count)]))


def made(name):
    """A model of tools/make_bench_models.py, made once into build/deps/models/bench."""
    path = os.path.join(args.deps, "models", "bench", name, "model.onnx")
    if not os.path.exists(path):
        print("making", path, flush=True)
        subprocess.run([sys.executable, os.path.join(os.path.dirname(here), "tools", "make_bench_models.py"), name, path], check=True)
    return path


def works():
    for case in args.cases.split(","):
        if case in ("minilm", "l6"):
            for precision in args.precisions.split(","):
                for shape in args.shapes.split(","):
                    yield texts(case, l3_file if case == "minilm" else l6_file, *map(int, shape.split("x")), precision)
        elif case == "ppocr-det":
            path = os.path.join(args.deps, "models", "ppocr", "det", "model.onnx")
            if not os.path.exists(path):
                sys.exit("bench: %s is missing: run tools/fetch_models.sh" % path)
            dims = [1, 3] + [int(d) for d in args.det_size.split("x")]
            free = {"p2o.DynamicDimension.%d" % i: dims[d] for i, d in enumerate((0, 2, 3))}
            yield Work(case, path, {"x": image(dims)}, free, output="sigmoid_0.tmp_0")
        elif case == "resnet50":
            yield Work(case, made(case), {"x": image([1, 3, 224, 224])}, {"batch": 1}, output="y")
        elif case != "compile":
            sys.exit("bench: no case named " + case)


def stats(ms, **more):
    s = sorted(ms)
    return dict(median_ms=round(statistics.median(s), 4), p10_ms=round(s[int(len(s) * 0.1)], 4), p90_ms=round(s[min(len(s) - 1, int(len(s) * 0.9))], 4), min_ms=round(s[0], 4), runs=len(s), **more)


def first_numbers(path, count=4096):
    """Of a float32 .npy file."""
    with open(path, "rb") as f:
        f.seek(8)
        f.seek(10 + struct.unpack("<H", f.read(2))[0])
        data = f.read(4 * count)
    return list(struct.unpack("<%df" % (len(data) // 4), data))


def command(words):
    """Its JSON, or {"error": ...}."""
    p = subprocess.run([args.command, *words, "--json"], capture_output=True, text=True)
    return json.loads(p.stdout) if p.returncode == 0 else {"error": (p.stderr or p.stdout).strip()[-400:]}


def ours(work, target, browser, runs):
    """Cold start from an empty home by `webaccel run`, which gives the vector too; times by `webaccel bench`."""
    with tempfile.TemporaryDirectory() as tmp:
        results = os.path.join(tmp, "out")
        where = ["--target", target, "--home", os.path.join(tmp, "home")] + (["--browser", browser] if browser else []) + (["--precision", str(work.bits)] if work.bits != 32 else [])
        run = ["run", work.embed or work.model, "--task", "embed" if work.embed else "tensors", "--no-fallback"] + where + ([] if work.embed else ["-o", results])
        for name, path in work.write_npy(tmp).items():
            run += ["-i", name + "=" + path]
        t = time.time()
        first = command(run)
        cold = (time.time() - t) * 1e3
        if "error" in first:
            return first
        shape = ["--batch", str(work.free["batch_size"]), "--tokens", str(work.free["sequence_length"])] if work.embed else []
        if not work.embed:
            for name, (kind, dims, _) in work.inputs.items():
                shape += ["-i", "%s=%s[%s]" % (name, {"int64": "i64", "float32": "f32"}[kind], ",".join(map(str, dims)))]
        r = command(["bench", work.embed or work.model, "--runs", str(runs)] + where + shape)
        if "error" in r:
            return r
        vector = first["output"][0] if work.embed else first_numbers(os.path.join(results, sorted(os.listdir(results))[0]))
        keep = ["median_ms", "p10_ms", "p90_ms", "min_ms", "first_ms", "load_ms", "tune_ms", "gpu_ms", "runs", "steady", "throughput", "memory_bytes", "adapter", "browser_version", "dispatches",
                "on_target", "precision", "runs_ms"]
        return dict({k: r.get(k) for k in keep}, cold_ms=round(cold, 1), vector=vector)


def ort_cpu(work, runs):
    try:
        import numpy, onnxruntime
    except ImportError as e:
        return {"error": "onnxruntime is not installed: %s" % e}
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = os.cpu_count()
    t = time.time()
    s = onnxruntime.InferenceSession(work.model, o, providers=["CPUExecutionProvider"])
    feeds = {n: numpy.frombuffer(v, dtype=kind).reshape(dims) for n, (kind, dims, v) in work.inputs.items()}
    name = work.output or [x.name for x in s.get_outputs() if len(x.shape) == 2 and "float" in x.type][0]
    v = s.run([name], feeds)[0]
    cold = (time.time() - t) * 1e3
    for _ in range(3):
        s.run([name], feeds)
    ms = []
    for _ in range(runs):
        t = time.perf_counter()
        s.run([name], feeds)
        ms.append((time.perf_counter() - t) * 1e3)
    return stats(ms, cold_ms=round(cold, 1), version=onnxruntime.__version__, vector=[float(x) for x in (v[0] if work.embed else v.reshape(-1)[:4096])])


def in_browser(kind, work, runs, seconds, webnn=False):
    """onnxruntime-web in Chromium (`webnn`: in the one that has WebNN): bench/peers.html does the runs and
    posts the JSON."""
    chrome, flags, env = args.chrome, shlex.split(args.flags), {}
    if webnn:
        chrome, flags = nn_chrome if os.path.exists(nn_chrome) else "", flags + ["--enable-features=" + NN_FEATURES, "--no-zygote"]
        folder = os.path.dirname(nn_chrome)
        env = {"LD_LIBRARY_PATH": os.path.join(folder, "lib") + ":" + folder}
    if not chrome:
        return {"error": "no Chromium with WebNN found: run make deps" if webnn else "no Chromium found"}
    done, result = threading.Event(), {}
    roots = {"/ort/": os.path.join(args.peers, "onnxruntime-web", "dist"), "/model/": os.path.dirname(work.model), "/": here}
    config = dict(kind=kind, runs=runs, model="/model/" + os.path.basename(work.model), output=work.output, free=work.free,
                  inputs=[dict(name=n, type=kind, dims=dims) for n, (kind, dims, _) in work.inputs.items()])

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *a):
            pass

        def reply(self, body, kind="application/json"):
            self.send_response(200)
            for k, v in {"Content-Type": kind, "Content-Length": str(len(body)), "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}.items():
                self.send_header(k, v)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path == "/config":
                return self.reply(json.dumps(config).encode())
            if self.path.startswith("/input/"):
                return self.reply(work.inputs[self.path[len("/input/"):]][2].tobytes(), "application/octet-stream")
            for prefix, folder in roots.items():
                if self.path.startswith(prefix):
                    f = os.path.join(folder, os.path.basename(self.path[len(prefix):]))
                    if os.path.isfile(f):
                        ext = os.path.splitext(f)[1]
                        kinds = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
                        return self.reply(open(f, "rb").read(), kinds.get(ext, "application/octet-stream"))
            self.send_error(404)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(b"{}")
            result.update(json.loads(body))
            done.set()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start = time.time()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        p = subprocess.Popen([chrome, *flags, "--user-data-dir=" + profile, "--remote-debugging-port=0", "http://127.0.0.1:%d/peers.html" % server.server_port],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **env, "TMPDIR": profile, "HOME": profile})
        ok = done.wait(seconds)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
    server.shutdown()
    if not ok:
        return {"error": "no result within %d s" % seconds}
    if "error" in result:
        return {"error": result["error"]}
    return stats(result["ms"], cold_ms=round((result["first_at"] / 1e3 - start) * 1e3, 1), adapter=result.get("adapter"), version=result.get("version"), device=result.get("device"), vector=result["vector"])


def cosine(a, b):
    if max(map(abs, (*a, *b)), default=0) < 1e-6:
        return 1.0  # both found nothing in the image (a sigmoid far below 0 is 0 in one and 1e-22 in the other)
    norms = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return sum(x * y for x, y in zip(a, b)) / norms if norms else 0.0


def machine():
    cpu = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    return dict(cpu=cpu[0] if cpu else "", cores=os.cpu_count(), os=platform.platform(), chrome=subprocess.run([args.chrome, "--version"], capture_output=True, text=True).stdout.strip() if args.chrome else "")


def compiled(path):
    """Wall and processor time and the most memory of importing, optimising and planning, mapped file aside."""
    out = {}
    for target in ("cpu", "webgpu"):
        with tempfile.TemporaryDirectory() as tmp:
            t, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
            p = subprocess.Popen([args.command, "plan", path, "--target", target, "--home", tmp, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            peak = 0
            while p.poll() is None:  # anonymous memory: what the file's pages take is the system's to drop
                try:
                    with open("/proc/%d/status" % p.pid) as f:
                        peak = max([peak] + [int(l.split()[1]) for l in f if l.startswith("RssAnon")])
                except OSError:
                    pass
                time.sleep(0.005)
            wall, after = time.time() - t, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            out[target] = dict(wall_s=round(wall, 3), cpu_s=round(cpu, 3), anonymous_mb=round(peak / 1024, 1)) if p.returncode == 0 else {"error": p.stderr.read().decode()[-300:]}
            print("compile %.2f GB for %s: %s" % (os.path.getsize(path) / 1e9, target, json.dumps(out[target])), flush=True)
    return out


PAIRS = [("ours-cpu", "ort-cpu"), ("ours-webgpu", "ort-web-webgpu"), ("ours-webgpu", "ort-web-capture"), ("ours-webgpu", "ort-web-wasm"), ("ours-webnn", "ort-web-webnn")]


def software(engine, kind):
    """Whether that engine's browser has a software adapter, asked of our own command once; None: no browser."""
    browser = "firefox" if engine == "ours-firefox" else args.browser
    if browser not in adapters:
        r = command(["bench", "--browser", browser])
        adapters[browser] = r.get("software", True)
    return kind and adapters[browser]


adapters = {}


def measure(work):
    slow = 1 if work.embed else 10  # seconds a run where a minilm takes tenths
    runs = args.runs if work.embed else max(3, args.runs // 2)
    engines = {
        "ours-cpu": lambda: ours(work, "cpu", None, runs * 3 if work.embed else runs), "ort-cpu": lambda: ort_cpu(work, runs * 3 if work.embed else runs),
        "ours-webgpu": lambda: ours(work, "webgpu", args.browser, runs if work.embed else args.slow_runs), "ours-firefox": lambda: ours(work, "webgpu", "firefox", runs if work.embed else args.slow_runs),
        "ours-webnn": lambda: ours(work, "webnn", None, runs),
        "ort-web-wasm": lambda: in_browser("wasm", work, runs, 120 * min(slow, 3)), "ort-web-webgpu": lambda: in_browser("webgpu", work, args.slow_runs, 300),
        "ort-web-webnn": lambda: in_browser("webnn", work, runs, 300, webnn=True),
    }
    if work.embed:
        engines["ort-web-capture"] = lambda: in_browser("capture", work, args.slow_runs, 300)
    got = {}
    for name, run in engines.items():
        if name not in want:
            continue
        if work.tokens() > args.software_tokens and software(name, name in ("ours-webgpu", "ours-firefox", "ort-web-webgpu", "ort-web-capture")):
            got[name] = {"error": "left out: %d tokens on a software adapter (--software-tokens)" % work.tokens()}
            continue
        r = got[name] = run()
        print("%-16s %-16s %s" % (work.name, name, r["error"][:150] if "error" in r else "median %9.3f ms  p90 %9.3f  cold %8.0f ms" % (r["median_ms"], r["p90_ms"], r["cold_ms"])), flush=True)
    ratios = {}
    for mine, theirs in PAIRS:
        a, b = got.get(mine, {}), got.get(theirs, {})
        if "median_ms" in a and "median_ms" in b:
            ratios["%s / %s" % (theirs, mine)] = round(b["median_ms"] / a["median_ms"], 3)
            ratios["cosine %s %s" % (mine, theirs)] = round(cosine(a["vector"], b["vector"]), 8)
    for r in got.values():
        r.pop("vector", None)
    for k, v in ratios.items():
        print("%-16s %s = %s" % (work.name, k, v), flush=True)
    return dict(engines=got, ratios=ratios)


out = args.out or os.path.join(here, "results", time.strftime("%Y-%m-%d-") + platform.node() + ".json")
report = dict(machine=machine(), when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), shapes={})
for work in works():
    report["shapes"][work.name] = dict(measure(work), model=os.path.basename(os.path.dirname(work.model)), bits=work.bits)
    with open(out, "w") as f: # what is measured is not lost when a later case fails
        json.dump(report, f, indent=1)
if "compile" in args.cases.split(","):
    report["compile"] = compiled(made("transformer"))
small = {}
for b in (args.browser, "firefox"):
    p = subprocess.run([args.command, "bench", "--browser", b, "--quiet"], capture_output=True, text=True)
    small[b] = json.loads(p.stdout) if p.returncode == 0 else {"error": p.stderr.strip()[-300:]}
    print("small run in %s: %s" % (b, json.dumps(small[b])), flush=True)
report["small_run"] = small
with open(out, "w") as f:
    json.dump(report, f, indent=1)
print("written to", out)
