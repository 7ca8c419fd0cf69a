#!/usr/bin/env python3
"""Times WebGPU kernels in a real browser: every tile that a product may take, the chosen one with what layer
norm adds to it, attention. Each is compared with double sums.

usage: gpu_kernels.py BENCH_GPU_KERNELS [--out FILE] [--seconds 540] [--browser CHROMIUM] [CASE...]
BENCH_GPU_KERNELS is the program (ninja bench_gpu_kernels; in a bundle bin/bench_gpu_kernels); its head explains
CASE. On the GPU machine, from a bundle:
  LD_LIBRARY_PATH=.gpu/webaccel/lib python3 .gpu/webaccel/bench/gpu_kernels.py .gpu/webaccel/bin/bench_gpu_kernels --out $OUT/kernels.json
$CHROME and $GPU_FLAGS give browser and flags. Only Python's own library is used.
"""
import argparse, contextlib, http.server, json, os, shlex, shutil, signal, subprocess, sys, tempfile, threading, time

ap = argparse.ArgumentParser()
ap.add_argument("program")
ap.add_argument("cases", nargs="*")
ap.add_argument("--out", default="")
ap.add_argument("--seconds", type=float, default=540)
ap.add_argument("--bytes", default="49152", help="of workgroup memory")
ap.add_argument("--lanes", default="1024", help="invocations of a workgroup")
ap.add_argument("--browser", default=os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome") or "")
args = ap.parse_intermixed_args()
flags = shlex.split(os.environ.get("GPU_FLAGS", "--headless --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader"))
flags += ["--no-sandbox", "--disable-dawn-features=timestamp_quantization"]  # quantised to 0.1 ms otherwise
here = os.path.dirname(os.path.abspath(__file__))
made = subprocess.run([args.program, "--bytes", args.bytes, "--lanes", args.lanes, *args.cases], check=True, capture_output=True).stdout
rows, result, done = [], {}, threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = self.path == "/"
        if not page and self.path != "/cases.json":
            return self.send_error(404)
        body = open(os.path.join(here, "gpu_kernels.html"), "rb").read() if page else made
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if self.path == "/result":
            result.update(body)
            done.set()
        else:
            rows.append(body)
            if not body["ok"]:
                print("WRONG", json.dumps(body), flush=True)

    def log_message(self, *_):
        pass


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = subprocess.Popen([args.browser, *flags, f"--user-data-dir={profile}", "--no-first-run", "--disable-extensions", f"http://127.0.0.1:{server.server_port}/"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + args.seconds
        while not done.wait(1) and time.monotonic() < end and browser.poll() is None:
            pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    server.shutdown()
print(result.get("adapter") or result.get("skip") or result.get("failed") or "the page did not come to an end: what it timed until then")
groups = {}
for row in rows:
    groups.setdefault(row["group"], []).append(row)
for group, found in groups.items():
    right = sorted((r for r in found if r["ok"] and r["us"]), key=lambda r: r["us"])
    plain = [r for r in right if "+" not in r["name"]]
    print("%s: %d of %d right; %s" % (group, len(right), len(found), " | ".join("%s %.2f us %.1f TFLOP/s" % (r["name"], r["us"], r["tflops"]) for r in plain[:5])))
    for r in (r for r in found if "chosen" in r["name"] and r["ok"]):
        print("    %-60s %9.2f us %6.1f TFLOP/s" % (r["name"], r["us"], r["tflops"]))
if args.out:
    json.dump({"adapter": result.get("adapter"), "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "rows": rows}, open(args.out, "w"), indent=0)
sys.exit(0 if rows and all(r["ok"] for r in rows) else 1)
