"""The command's contracts, as scripts lean on them: run with the real models on the CPU, and with a
browser for Ctrl-C.

usage: cli_test.py WEBACCEL DEPS    exits 77 when the models are not here
"""
import json, os, shutil, signal, struct, subprocess, sys, tempfile, threading, time, unittest

COMMAND, DEPS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
L6, L3 = os.path.join(DEPS, "models", "l6"), os.path.join(DEPS, "models", "l3")
if not os.path.exists(L6 + "/model.safetensors"):
    print("SKIPPED: %s is not here; make deps fetches it" % L6)
    sys.exit(77)
TINY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "bert-tiny", "hf")
HOME = tempfile.mkdtemp(prefix="wa-cli-")
ENV = {**os.environ, "WEBACCEL_HOME": HOME}
ENV.pop("BENCHMARK_DB_PATH", None)


def run(*args, check=0, text=None, env=None):
    p = subprocess.run([COMMAND, *args], capture_output=True, text=True, input=text, env=env or ENV, timeout=170)
    if check is not None and p.returncode != check:
        raise AssertionError("webaccel %s: exit %d, wanted %d\n%s%s" % (" ".join(args), p.returncode, check, p.stdout[-2000:], p.stderr[-2000:]))
    return p


def floats(path):
    """Elements of a small f32 .npy."""
    with open(path, "rb") as f:
        data = f.read()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack("<%df" % ((len(data) - start) // 4), data[start:])


def processes_of(home):
    """Every process that names this home on its command line or in its environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                data = f.read()
        except OSError:
            continue
        if home.encode() in data and int(pid) != os.getpid():
            found.append((pid, data.replace(b"\0", b" ")[:120]))
    return found


class Cli(unittest.TestCase):
    def test_add_ends_with_the_cid_alone(self):
        out = run("add", L6).stdout.splitlines()
        self.assertEqual(out[-1], "bafybeievye3hsgubuje3e66q75lpoji2lkl6qcxoud6o2ugooy6m4gxkau")
        self.assertEqual(json.loads(run("add", L6, "--json").stdout)["cid"], out[-1])
        listed = json.loads(run("ls", "--json").stdout)
        self.assertIn(out[-1], [x["cid"] for x in listed])

    def test_get_gives_the_bytes_back(self):
        with tempfile.TemporaryDirectory() as t:
            open(t + "/a.bin", "wb").write(os.urandom(3 << 20))
            cid = run("add", t + "/a.bin").stdout.split()[-1]
            run("get", cid, t + "/b.bin")
            self.assertEqual(open(t + "/a.bin", "rb").read(), open(t + "/b.bin", "rb").read())
            run("get", cid, t + "/b.bin", check=None)
            run("rm", cid)
            run("get", cid, t + "/c.bin", check=3)
            self.assertFalse(os.path.exists(t + "/c.bin"))

    def test_run_json_contract(self):
        cid = run("add", L6).stdout.split()[-1]
        r = json.loads(run("run", cid, "hello world", "good bye", "--target", "cpu", "--json").stdout)
        for key in ["model_cid", "task", "target", "browser", "adapter", "simulated", "fallback", "output", "latency_ms", "throughput", "memory_bytes"]:
            self.assertIn(key, r)
        self.assertEqual((r["model_cid"], r["task"], r["target"], r["simulated"], r["fallback"], r["browser"]), (cid, "embed", "cpu", False, None, None))
        self.assertEqual((len(r["output"]), len(r["output"][0])), (2, 384))
        self.assertAlmostEqual(sum(x * x for x in r["output"][0]), 1, places=4)
        self.assertEqual(r["memory_bytes"]["predicted"], r["memory_bytes"]["actual"])
        for alias in ["platform", "is_real_implementation", "is_simulation", "throughput_items_per_sec", "ipfs_cache_hit", "memory_usage_mb"]:
            self.assertIn(alias, r)
        self.assertIsNone(r["energy_efficiency_score"])

    def test_lines_from_stdin_come_in_order(self):
        lines = ["one", "two words", "three words here", "a much longer line of words to change the bucket of the whole request"] * 3
        whole = json.loads(run("run", L3, *lines, "--target", "cpu", "--json").stdout)["output"]
        out = [json.loads(x) for x in run("run", L3, "-", "--target", "cpu", "--jsonl", "--batch", "5", text="\n".join(lines) + "\n").stdout.splitlines()]
        self.assertEqual([x["index"] for x in out[:-1]], list(range(12)))
        self.assertIn("summary", out[-1])
        for a, b in zip(whole, out):
            self.assertLess(max(abs(x - y) for x, y in zip(a, b["output"])), 1e-4)

    def stream(self, lines, *args, check=0):
        """Rows and summary of a run over stdin, and the most memory that it took, in KiB."""
        with tempfile.TemporaryDirectory() as t:
            with open(t + "/in", "w") as f:
                f.writelines(x + "\n" for x in lines)
            with open(t + "/in") as i, open(t + "/out", "w") as o:
                # AddressSanitizer holds freed memory back, 256 MB of it, unless told otherwise
                p = subprocess.Popen([COMMAND, "run", TINY, "-", "--jsonl", "--quiet", *args], stdin=i, stdout=o, env={"ASAN_OPTIONS": "quarantine_size_mb=1", **ENV})
                most = 0
                while p.poll() is None: # not rusage: that counts what the fork of this script had
                    with open("/proc/%d/status" % p.pid) as f:
                        most = max([most] + [int(x.split()[1]) for x in f if x.startswith("VmHWM")])
                    time.sleep(0.02)
            self.assertEqual(p.returncode, check)
            with open(t + "/out") as f:
                rows = [json.loads(x) for x in f]
        return rows[:-1], rows[-1], most

    def test_stream_keeps_order_over_mixed_lengths(self):
        lines = [" ".join(["word%d" % (i * k % 97) for k in range(1 + i * 37 % 60)]) for i in range(300)]
        some = list(range(0, 300, 23))
        want = json.loads(run("run", TINY, *[lines[i] for i in some], "--target", "cpu", "--json").stdout)["output"]
        for browser in [None] + [b for b, p in (("chromium", "chromium"), ("firefox", "firefox-esr")) if shutil.which(p)]:
            count = 300 if browser != "firefox" else 60
            rows, last, _ = self.stream(lines[:count], *(["--browser", browser, "--no-fallback"] if browser else ["--target", "cpu"]))
            self.assertEqual([r["index"] for r in rows], list(range(count)))
            for i, w in zip(some, want):
                if i < count:
                    self.assertLess(max(abs(a - b) for a, b in zip(rows[i]["output"], w)), 1e-5, "row %d, %s" % (i, browser))
            s = last["summary"]
            self.assertEqual(s["memory_bytes"]["predicted"], s["memory_bytes"]["actual"])
            self.assertEqual(s["stream"]["texts"], count)
            self.assertGreater(s["stream"]["buckets"], 2)
            self.assertEqual(s["stream"]["in_flight"], 3 if browser else 1)

    def test_stream_memory_is_flat(self):
        lines = [" ".join(["a%d" % (i * k % 31) for k in range(1 + i % 5)]) for i in range(60000)]
        few, many = self.stream(lines[:10000], "--target", "cpu"), self.stream(lines, "--target", "cpu")
        self.assertEqual(len(many[0]), 60000)
        self.assertEqual(many[0][9999]["output"], few[0][9999]["output"])
        self.assertLess(many[2], few[2] + 4000, "KiB at 10,000 and 60,000 lines")

    def test_stream_answers_a_slow_writer(self):
        p = subprocess.Popen([COMMAND, "run", TINY, "-", "--jsonl", "--quiet", "--target", "cpu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV)
        for i in range(3): # each before the next is written
            p.stdin.write("line %d\n" % i)
            p.stdin.flush()
            self.assertEqual(json.loads(p.stdout.readline())["index"], i)
        p.stdin.write("one more without an end")
        p.stdin.close()
        self.assertEqual(json.loads(p.stdout.readline())["index"], 3)
        self.assertEqual(json.loads(p.stdout.readline())["summary"]["stream"]["texts"], 4)
        self.assertEqual(p.wait(20), 0)

    def test_stream_interrupted_loses_nothing_that_is_done(self):
        for where in [["--target", "cpu"]] + ([["--browser", "chromium"]] if shutil.which("chromium") else []):
            p = subprocess.Popen([COMMAND, "run", TINY, "-", "--jsonl", "--quiet", *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
            def write():
                try:
                    for i in range(10000000):
                        p.stdin.write("some words %d of an endless text\n" % i)
                except (BrokenPipeError, ValueError):
                    pass
            writer = threading.Thread(target=write)
            writer.start()
            first = json.loads(p.stdout.readline())
            p.send_signal(signal.SIGINT)
            out = p.stdout.read().splitlines()
            code = p.wait(30)
            writer.join(10)
            err = p.stderr.read()
            p.stdout.close(), p.stderr.close()
            self.assertNotEqual(code, 0)
            rows = [first] + [json.loads(x) for x in out]
            self.assertEqual(rows.pop()["error"]["status"], "cancelled")
            index = [r["index"] for r in rows]
            self.assertEqual(index, sorted(set(index)))
            self.assertEqual(index[0], 0)
            self.assertIn("after %d texts" % len(index), err)

    def test_stream_ends_with_its_reader(self):
        p = subprocess.Popen("yes some words | %s run %s - --jsonl --quiet --target cpu | head -n 2" % (COMMAND, TINY), shell=True, stdout=subprocess.PIPE, text=True, env=ENV)
        self.assertEqual(len(p.communicate(timeout=60)[0].splitlines()), 2)

    def test_stream_names_the_bad_text(self):
        p = run("run", TINY, "-", "--target", "cpu", text="", check=2)
        self.assertIn("no texts", p.stderr)

    def test_named_tensors_in_and_out(self):
        with tempfile.TemporaryDirectory() as t:
            raw = struct.pack("<4q", 101, 7592, 2088, 102)
            open(t + "/ids.bin", "wb").write(raw)
            open(t + "/mask.bin", "wb").write(struct.pack("<4q", 1, 1, 1, 1))
            run("run", L3, "-i", "input_ids=%s/ids.bin:i64[1,4]" % t, "-i", "attention_mask=%s/mask.bin:i64[1,4]" % t, "--target", "cpu", "-o", t + "/out")
            self.assertIn("461.npy", os.listdir(t + "/out"))
            p = run("run", L3, "-i", "input_ids=%s/ids.bin:i64[1,5]" % t, "--target", "cpu", check=2)
            self.assertIn("32 bytes", p.stderr)
            p = run("run", L3, "-i", "nope=%s/ids.bin:i64[1,4]" % t, "--target", "cpu", check=2)
            self.assertIn('"nope"', p.stderr)

    def test_mixed_plan_runs_its_cpu_segment(self):
        here = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "mixed")
        targets = [("cpu", None)] + [("webgpu", b) for b, p in (("chromium", "chromium"), ("firefox", "firefox-esr")) if shutil.which(p)]
        for target, browser in targets:
            with tempfile.TemporaryDirectory() as t:
                r = json.loads(run("run", here + "/model.onnx", "-i", "x=%s/x.npy" % here, "--target", target, "--no-fallback", "-o", t, "--json", *(["--browser", browser] if browser else [])).stdout)
                self.assertEqual(r["cpu_segments"], 1 if browser else 0)
                self.assertLess(max(abs(a - b) for a, b in zip(floats(t + "/y.npy"), floats(here + "/y.npy"))), 1e-5, browser)
                self.assertEqual(r["memory_bytes"]["predicted"], r["memory_bytes"]["actual"])
        self.assertIn("CumSum", run("plan", here + "/model.onnx", "-i", "x=f32[5,12]", "--print").stdout)

    def test_every_form_of_one_model_agrees_with_pytorch(self):
        here = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "bert-tiny")
        want = floats(here + "/embedding_mean_normalized.npy")
        inputs = [x for n in ("input_ids", "attention_mask", "token_type_ids") for x in ("-i", "%s=%s/%s.npy" % (n, here, n))]
        for browser in [None] + (["chromium"] if shutil.which("chromium") else []):
            for form, most in [("hf", 1e-5), ("hf-f16", 1e-3), ("hf-bf16", 1e-2), ("opset14.onnx", 1e-5), ("opset17.onnx", 1e-5), ("dynamo.onnx", 1e-5)]:
                r = json.loads(run("run", here + "/" + form, "--task", "embed", *inputs, "--json", "--no-fallback", *(["--target", "webgpu", "--browser", browser] if browser else ["--target", "cpu"])).stdout)
                got = [x / sum(y * y for y in row) ** 0.5 for row in r["output"] for x in row]
                self.assertEqual(len(got), len(want))
                self.assertLess(max(abs(a - b) for a, b in zip(got, want)), most, "%s on %s" % (form, browser or "cpu"))

    def test_simulation_says_so(self):
        r = json.loads(run("run", L3, "x", "--target", "webgpu", "--browser", "firefox", "--simulate", "--json").stdout)
        self.assertEqual((r["target"], r["simulated"], r["is_simulation"], r["browser"]), ("cpu", True, True, None))

    def test_fallback_has_its_reason_or_is_an_error(self):
        r = json.loads(run("run", L3, "x", "--target", "webgpu", "--browser", "edge", "--json").stdout)
        self.assertEqual(r["target"], "cpu")
        self.assertIn("edge", r["fallback"])
        p = run("run", L3, "x", "--target", "webgpu", "--browser", "edge", "--no-fallback", "--json", check=9)
        self.assertEqual(json.loads(p.stdout)["error"]["status"], "browser")

    def test_bad_input_is_named(self):
        self.assertIn("no command", run("frobnicate", check=2).stderr)
        self.assertIn("--frob", run("run", L3, "x", "--frob", check=2).stderr)
        self.assertIn("neither a CID nor a path", run("run", "/no/such/model", "x", check=3).stderr)
        self.assertIn("webaccel add", run("run", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "x", check=3).stderr)
        with tempfile.TemporaryDirectory() as t:
            open(t + "/model.onnx", "wb").write(open(L3 + "/paraphrase-MiniLM-L3-v2.onnx", "rb").read(100000))
            self.assertIn("byte", run("run", t, "x", "--target", "cpu", check=5).stderr)
            shutil.copytree(L6, t + "/m", ignore=shutil.ignore_patterns("model.safetensors"))
            os.symlink(L6 + "/model.safetensors", t + "/m/model.safetensors")
            open(t + "/m/config.json", "w").write('{"architectures": ["FrobModel"], "model_type": "frob"}')
            self.assertIn("Frob", run("run", t + "/m", "x", "--target", "cpu", check=6).stderr)
            open(t + "/m/config.json", "w").write('{"architectures": [')
            self.assertIn("config.json", run("run", t + "/m", "x", "--target", "cpu", check=5).stderr)

    def test_results_list_and_export(self):
        run("run", L3, "x", "--target", "cpu")
        rows = json.loads(run("results", "--json", "-n", "1").stdout)
        self.assertEqual(rows[0]["target"], "cpu")
        self.assertIsInstance(rows[0]["id"], int)
        for ext in ["csv", "json", "parquet"]:
            f = os.path.join(HOME, "x." + ext)
            run("results", "--export", f)
            self.assertGreater(os.path.getsize(f), 100)

    def test_many_processes_lose_no_row(self):
        env = {**ENV, "BENCHMARK_DB_PATH": os.path.join(HOME, "many.duckdb")}
        run("run", L3, "x", "--target", "cpu", env=env)
        ps = [subprocess.Popen([COMMAND, "run", L3, "x", "--target", "cpu"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(4)]
        for p in ps:
            self.assertEqual(p.wait(60), 0, p.stderr.read())
            p.stderr.close()
        self.assertEqual(len(json.loads(run("results", "--json", "-n", "0", env=env).stdout)), 5)

    def test_inspect_and_plan(self):
        o = json.loads(run("inspect", L3, "--json").stdout)
        self.assertEqual((o["model_type"], o["format"]), ("text_embedding", "onnx"))
        self.assertGreater(o["parameters"], 17e6)
        self.assertIn("MatMul", o["operators"])
        for target in ["cpu", "webgpu"]:
            p = json.loads(run("plan", L6, "--target", target, "--json").stdout)
            self.assertEqual(p["segments"], 1, "an encoder is one segment on " + target)
        self.assertLessEqual(p["dispatches"], 48)
        self.assertIn("dispatch", run("plan", L6, "--target", "webgpu", "--print").stdout)

    def test_help_man_completion(self):
        self.assertIn("Examples", run("run", "--help").stdout)
        self.assertTrue(run("help", "--man").stdout.startswith(".TH WEBACCEL"))
        bash = run("completion", "bash").stdout
        self.assertEqual(subprocess.run(["bash", "-n"], input=bash, text=True).returncode, 0)
        self.assertIn("version", json.loads(run("version", "--json").stdout))

    def test_config_file_and_environment(self):
        with tempfile.TemporaryDirectory() as t:
            open(t + "/config", "w").write("# defaults\ntarget = cpu\n")
            env = {**ENV, "WEBACCEL_HOME": t}
            r = json.loads(run("run", L3, "x", "--json", env=env).stdout)
            self.assertEqual(r["reason"], "the CPU was asked for")

    def test_doctor(self):
        o = json.loads(run("doctor", "--no-probe", "--json").stdout)
        for key in ["system", "gpus", "browsers", "verdict"]:
            self.assertIn(key, o)

    def test_interrupt_leaves_nothing(self):
        browsers = [b for b in ("chromium", "firefox-esr", "firefox") if shutil.which(b)]
        for browser in browsers[:2]:
            for delay in (0.2, 0.7, 1.5, 3.0):
                with tempfile.TemporaryDirectory(prefix="wa-int-") as home:
                    p = subprocess.Popen([COMMAND, "run", L6, "hello", "--target", "webgpu", "--browser", browser.replace("-esr", ""), "--runs", "1000", "--no-fallback"],
                                         env={**ENV, "WEBACCEL_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(delay)
                    p.send_signal(signal.SIGINT)
                    code = p.wait(30)
                    self.assertEqual(code, 130, "%s after %.1f s" % (browser, delay))
                    end = time.time() + 3
                    while processes_of(home) and time.time() < end:
                        time.sleep(0.05)
                    self.assertEqual(processes_of(home), [], "%s after %.1f s" % (browser, delay))
                    left = os.listdir(home + "/tmp") if os.path.isdir(home + "/tmp") else []
                    self.assertEqual(left, [], "%s after %.1f s left temporary files" % (browser, delay))

    def test_interrupted_add_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as t:
            with open(t + "/big", "wb") as f:
                for _ in range(64):
                    f.write(os.urandom(1 << 20) * 8)
            for delay in (0.05, 0.15, 0.3):
                p = subprocess.Popen([COMMAND, "add", t + "/big"], env={**ENV, "WEBACCEL_HOME": t + "/home"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(delay)
                p.send_signal(signal.SIGINT)
                code = p.wait(30)
                listed = json.loads(run("ls", "--json", env={**ENV, "WEBACCEL_HOME": t + "/home"}).stdout)
                if code == 0:
                    break
                self.assertEqual(code, 130)
                self.assertEqual(listed, [])
                self.assertEqual([f for _, _, fs in os.walk(t + "/home/store/files") for f in fs], [])


try:
    unittest.main(argv=["cli_test"] + sys.argv[3:], verbosity=1, warnings="ignore")
finally:
    shutil.rmtree(HOME, ignore_errors=True)
