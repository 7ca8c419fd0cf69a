#!/usr/bin/env python3
"""Runs every WGSL kernel in a real browser against the CPU references.

usage: tests/e2e/wgsl_check.py build/test_wgsl [browser: Chromium, or firefox, which has f16 on lavapipe]
WA_WGSL_ONLY=pattern runs only the cases whose name matches; WA_WGSL_EVERY=n every n-th. Exits 77 where there is no browser or adapter.
test_wgsl writes plans, inputs and expected outputs as JSON; wgsl_check.html runs them. Only Python's
own library is used. $CHROME and $GPU_FLAGS override browser and flags.
"""
import contextlib, http.server, json, os, re, shlex, shutil, signal, subprocess, sys, tempfile, threading, time

here = os.path.dirname(os.path.abspath(__file__))
browser = (sys.argv[2:] or [os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome") or ""])[0]
if not browser:
    print("skipped: no Chromium here")
    sys.exit(77)
flags = shlex.split(os.environ.get("GPU_FLAGS", "--headless --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader"))
flags.append("--no-sandbox")  # root and containers have none, and the page is ours
result, done = {}, threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = {"/": os.path.join(here, "wgsl_check.html"), "/cases.json": cases}.get(self.path)
        if not path:
            return self.send_error(404)
        body = open(path, "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result.update(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if self.path == "/result":
            done.set()

    def log_message(self, *args):
        pass


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    cases = os.path.join(folder, "cases.json")
    subprocess.run([sys.argv[1]], env={**os.environ, "WA_WGSL_DUMP": cases}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listed = [c for c in json.load(open(cases)) if re.search(os.environ.get("WA_WGSL_ONLY", ""), c["name"])]
    json.dump(listed[::int(os.environ.get("WA_WGSL_EVERY", "1"))], open(cases, "w"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, profile = f"http://127.0.0.1:{server.server_port}/", os.path.join(folder, "profile")
    command = [browser, *flags, f"--user-data-dir={profile}", "--no-first-run", "--disable-extensions", url]
    if "firefox" in os.path.basename(browser):
        os.mkdir(profile)
        with open(os.path.join(profile, "user.js"), "w") as f:
            f.write("".join(f'user_pref("{p}", true);\n' for p in ("dom.webgpu.enabled", "gfx.webgpu.ignore-blocklist")))
        command = [browser, "--headless", "--no-remote", "--profile", profile, url]
    process = subprocess.Popen(command,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "HOME": folder, "TMPDIR": folder})
    try:
        end = time.monotonic() + float(os.environ.get("WA_WGSL_SECONDS", "120"))
        finished = False
        while not finished and time.monotonic() < end and process.poll() is None:
            finished = done.wait(1)
    finally:
        died = process.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    server.shutdown()
if not finished:
    if died is not None:
        sys.exit("%s ended by itself: exit %d" % (browser, died))
    sys.exit("the page gave no result in time; so far: " + json.dumps(result)[:3000])
if result.get("skip"):
    print("skipped:", result["skip"])
    sys.exit(77)
print(json.dumps({k: v for k, v in result.items() if k != "failures"}))
for failure in result["failures"]:
    print(failure)
sys.exit(1 if result["failures"] else 0)
