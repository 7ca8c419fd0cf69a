"""Ours against the engines a user could pick instead, in one run on one machine.

Model: paraphrase-MiniLM-L3-v2 (ONNX), the same token ids for everybody; ours pools on the target,
the peers return the model's own pooled output. Peers: onnxruntime on the CPU (Python), and
onnxruntime-web in the same Chromium: wasm, WebGPU, WebGPU with graph capture. Measured: median and
p90 of a run, cold start to the first result (ours: process start; web: browser start; native:
session creation). Ratios are peer / ours, above 1 where ours is faster.

usage: bench.py --command build/webaccel --peers DIR --deps DIR [--shapes 1x8,1x128] [--runs 30]
                [--browser chromium] [--flags "..."] [--only ours,ort-cpu,...] [--out FILE]
"""
import argparse, base64, http.server, json, os, platform, shlex, shutil, signal, statistics, struct, subprocess, sys, tempfile, threading, time

ap = argparse.ArgumentParser()
ap.add_argument("--command", required=True)
ap.add_argument("--peers", required=True)
ap.add_argument("--deps", required=True)
ap.add_argument("--shapes", default="1x8,1x128,8x128")
ap.add_argument("--runs", type=int, default=20)
ap.add_argument("--slow-runs", type=int, default=3, help="for peers that take seconds a run")
ap.add_argument("--browser", default="chromium")
ap.add_argument("--chrome", default=os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome") or "")
ap.add_argument("--flags", default=os.environ.get("GPU_FLAGS", "--headless --no-sandbox --no-first-run --enable-unsafe-webgpu --disable-dev-shm-usage"))
ap.add_argument("--only", default="ours-cpu,ours-webgpu,ours-firefox,ort-cpu,ort-web-wasm,ort-web-webgpu,ort-web-capture")
ap.add_argument("--out", default="")
args = ap.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
model_dir = os.path.join(args.deps, "models", "l3")
onnx_file = next((os.path.join(model_dir, f) for f in sorted(os.listdir(model_dir)) if f.endswith(".onnx")), None) if os.path.isdir(model_dir) else None
if not onnx_file:
    sys.exit("bench: no model under %s: run make deps with the registries reachable" % model_dir)
want = args.only.split(",")


def ids_for(batch, length):
    """[CLS] seeded ids [SEP]; no padding, so that every engine does the same work."""
    x, rows = 12345, []
    for _ in range(batch):
        row = [101]
        for _ in range(length - 2):
            x = (1103515245 * x + 12345) % (1 << 31)
            row.append(1000 + x % 28000)
        rows.append(row + [102])
    return rows


def npy(path, rows):
    head = ("{'descr': '<i8', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))).encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
        for r in rows:
            f.write(struct.pack("<%dq" % len(r), *r))


def stats(ms, **more):
    s = sorted(ms)
    return dict(median_ms=round(statistics.median(s), 4), p90_ms=round(s[min(len(s) - 1, int(len(s) * 0.9))], 4), min_ms=round(s[0], 4), runs=len(s), **more)


def ours(target, browser, rows, runs):
    """The warm command: latency from its own clock, cold start from an empty home."""
    with tempfile.TemporaryDirectory() as tmp:
        ids, mask = os.path.join(tmp, "ids.npy"), os.path.join(tmp, "mask.npy")
        npy(ids, rows)
        npy(mask, [[1] * len(r) for r in rows])
        cmd = [args.command, "run", model_dir, "--task", "embed", "-i", "input_ids=" + ids, "-i", "attention_mask=" + mask, "--target", target, "--no-fallback", "--json",
               "--runs", str(runs), "--home", os.path.join(tmp, "home")]
        if browser:
            cmd += ["--browser", browser]
        out = []
        for n in (1, runs):
            cmd[cmd.index("--runs") + 1] = str(n)
            t = time.time()
            p = subprocess.run(cmd, capture_output=True, text=True)
            if p.returncode:
                return {"error": (p.stderr or p.stdout).strip()[-400:]}
            out.append((json.loads(p.stdout), (time.time() - t) * 1e3))
        r = out[1][0]
        return dict(median_ms=round(r["latency_ms"], 4), p90_ms=round(r["latency_p90_ms"], 4), runs=r["runs"], cold_ms=round(out[0][1], 1), warm_process_ms=round(out[1][1], 1),
                    load_ms=r["load_ms"], gpu_ms=r["gpu_ms"], memory_bytes=r["memory_bytes"], adapter=r["adapter"], browser_version=r["browser_version"], dispatches=r["dispatches"],
                    vector=r["output"][0])


def ort_cpu(rows, runs):
    try:
        import numpy, onnxruntime
    except ImportError as e:
        return {"error": "onnxruntime is not installed: %s" % e}
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = os.cpu_count()
    t = time.time()
    s = onnxruntime.InferenceSession(onnx_file, o, providers=["CPUExecutionProvider"])
    feeds = {"input_ids": numpy.array(rows, dtype=numpy.int64), "attention_mask": numpy.ones((len(rows), len(rows[0])), dtype=numpy.int64)}
    name = [x.name for x in s.get_outputs() if len(x.shape) == 2 and "float" in x.type][0]
    v = s.run([name], feeds)[0]
    cold = (time.time() - t) * 1e3
    for _ in range(3):
        s.run([name], feeds)
    ms = []
    for _ in range(runs):
        t = time.perf_counter()
        s.run([name], feeds)
        ms.append((time.perf_counter() - t) * 1e3)
    return stats(ms, cold_ms=round(cold, 1), version=onnxruntime.__version__, vector=[float(x) for x in v[0]])


def in_browser(kind, rows, runs, seconds):
    """onnxruntime-web in Chromium: bench/peers.html does the runs and posts the JSON."""
    if not args.chrome:
        return {"error": "no Chromium found"}
    done, result = threading.Event(), {}
    roots = {"/ort/": os.path.join(args.peers, "onnxruntime-web", "dist"), "/model/": model_dir, "/": here}
    config = dict(kind=kind, rows=rows, runs=runs, model="/model/" + os.path.basename(onnx_file))

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
        p = subprocess.Popen([args.chrome, *shlex.split(args.flags), "--user-data-dir=" + profile, "--remote-debugging-port=0", "http://127.0.0.1:%d/peers.html" % server.server_port],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "TMPDIR": profile, "HOME": profile})
        ok = done.wait(seconds)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
    server.shutdown()
    if not ok:
        return {"error": "no result within %d s" % seconds}
    if "error" in result:
        return {"error": result["error"]}
    return stats(result["ms"], cold_ms=round((result["first_at"] / 1e3 - start) * 1e3, 1), adapter=result.get("adapter"), version=result.get("version"), vector=result["vector"])


def cosine(a, b):
    n = sum(x * y for x, y in zip(a, b))
    return n / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def machine():
    cpu = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    return dict(cpu=cpu[0] if cpu else "", cores=os.cpu_count(), os=platform.platform(), chrome=subprocess.run([args.chrome, "--version"], capture_output=True, text=True).stdout.strip() if args.chrome else "")


report = dict(machine=machine(), model=os.path.basename(onnx_file), when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), shapes={})
for shape in args.shapes.split(","):
    batch, length = map(int, shape.split("x"))
    rows = ids_for(batch, length)
    engines = {
        "ours-cpu": lambda: ours("cpu", None, rows, args.runs * 3), "ort-cpu": lambda: ort_cpu(rows, args.runs * 3),
        "ours-webgpu": lambda: ours("webgpu", args.browser, rows, args.runs), "ours-firefox": lambda: ours("webgpu", "firefox", rows, args.runs),
        "ort-web-wasm": lambda: in_browser("wasm", rows, args.runs, 120), "ort-web-webgpu": lambda: in_browser("webgpu", rows, args.slow_runs, 300),
        "ort-web-capture": lambda: in_browser("capture", rows, args.slow_runs, 300),
    }
    got = {}
    for name, run in engines.items():
        if name not in want:
            continue
        got[name] = run()
        r = got[name]
        print("%-6s %-16s %s" % (shape, name, r["error"][:150] if "error" in r else "median %9.3f ms  p90 %9.3f  cold %8.0f ms" % (r["median_ms"], r["p90_ms"], r["cold_ms"])), flush=True)
    ratios = {}
    for mine, theirs in [("ours-cpu", "ort-cpu"), ("ours-webgpu", "ort-web-webgpu"), ("ours-webgpu", "ort-web-capture"), ("ours-webgpu", "ort-web-wasm")]:
        a, b = got.get(mine, {}), got.get(theirs, {})
        if "median_ms" in a and "median_ms" in b:
            ratios["%s / %s" % (theirs, mine)] = round(b["median_ms"] / a["median_ms"], 3)
            ratios["cosine %s %s" % (mine, theirs)] = round(cosine(a["vector"], b["vector"]), 8)
    for r in got.values():
        r.pop("vector", None)
    for k, v in ratios.items():
        print("%-6s %s = %s" % (shape, k, v), flush=True)
    report["shapes"][shape] = dict(engines=got, ratios=ratios)
small = {}
for b in (args.browser, "firefox"):
    p = subprocess.run([args.command, "bench", "--browser", b, "--quiet"], capture_output=True, text=True)
    small[b] = json.loads(p.stdout) if p.returncode == 0 else {"error": p.stderr.strip()[-300:]}
    print("small run in %s: %s" % (b, json.dumps(small[b])), flush=True)
report["small_run"] = small
out = args.out or os.path.join(here, "results", time.strftime("%Y-%m-%d-") + platform.node() + ".json")
with open(out, "w") as f:
    json.dump(report, f, indent=1)
print("written to", out)
