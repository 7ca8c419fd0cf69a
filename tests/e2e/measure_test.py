"""webaccel bench, profile and tune as scripts lean on them, on the CPU and, where it is here, in Chromium.

usage: measure_test.py WEBACCEL
"""
import json, os, shutil, subprocess, sys, tempfile, unittest, xml.dom.minidom

COMMAND = os.path.abspath(sys.argv[1])
TINY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "bert-tiny")
HOME = tempfile.mkdtemp(prefix="wa-measure-")
ENV = {**os.environ, "WEBACCEL_HOME": HOME}
CHROMIUM = ["chromium"] if shutil.which("chromium") else []


def run(*args, check=0, env=None):
    p = subprocess.run([COMMAND, *args], capture_output=True, text=True, env=env or ENV, timeout=170)
    if check is not None and p.returncode != check:
        raise AssertionError("webaccel %s: exit %d, wanted %d\n%s%s" % (" ".join(args), p.returncode, check, p.stdout[-2000:], p.stderr[-2000:]))
    return p


class Bench(unittest.TestCase):
    KEYS = ["median_ms", "p10_ms", "p90_ms", "first_ms", "load_ms", "throughput", "dispatches", "gpu_ms", "memory_bytes", "target", "browser", "adapter", "precision"]

    def test_one_result_is_an_object(self):
        r = json.loads(run("bench", TINY + "/hf", "--target", "cpu", "--tokens", "16", "--batch", "2", "--runs", "9", "--warmup", "20", "--json").stdout)
        for key in self.KEYS + ["runs_ms", "steady", "model", "batch", "tokens"]:
            self.assertIn(key, r)
        self.assertEqual((r["target"], r["batch"], r["tokens"], r["runs"], len(r["runs_ms"])), ("cpu", 2, 16, 9, 9))
        self.assertLessEqual(r["p10_ms"], r["median_ms"])
        self.assertLessEqual(r["median_ms"], r["p90_ms"])
        self.assertAlmostEqual(r["throughput"], 2e3 / r["median_ms"], places=2)
        self.assertGreater(r["memory_bytes"], 0)
        self.assertEqual(r["median_ms"], sorted(r["runs_ms"])[4])
        self.assertEqual(json.loads(run("results", "--json").stdout), [], "a benchmark is no result of the user's")

    def test_several_side_by_side_with_plots(self):
        with tempfile.TemporaryDirectory() as t:
            targets = "cpu,webgpu" if CHROMIUM else "cpu"
            args = ["bench", TINY + "/hf", TINY + "/opset17.onnx", "--target", targets, "--tokens", "16", "--runs", "5", "--warmup", "0", *(["--browser", "chromium"] if CHROMIUM else [])]
            rows = json.loads(run(*args, "--json", "--plot", t + "/a.svg").stdout)
            self.assertEqual([(os.path.basename(r["model"]), r["target"]) for r in rows], [(m, x) for m in ("hf", "opset17.onnx") for x in targets.split(",")])
            text = [n.firstChild.data for n in xml.dom.minidom.parse(t + "/a.svg").getElementsByTagName("text")]
            self.assertIn("hf, batch 1, 16 tokens", text)
            self.assertIn("cpu, 32 bits", text)
            table = run(*args, "--plot", t + "/a.png", check=None)
            self.assertIn("median ms", table.stdout)
            if table.returncode == 0:
                self.assertEqual(open(t + "/a.png", "rb").read(8), b"\x89PNG\r\n\x1a\n")
            else:
                self.assertIn("cairo", table.stderr)
            self.assertIn(".svg", run("bench", TINY + "/hf", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0", "--plot", t + "/a.gif", check=4).stderr)

    def test_same_inputs_give_the_same_sample_everywhere(self):
        rows = [json.loads(run("bench", TINY + "/hf", "--tokens", "16", "--runs", "1", "--warmup", "0", "--json", *where).stdout)
                for where in [["--target", "cpu"]] + ([["--target", "webgpu", "--browser", "chromium"]] if CHROMIUM else [])]
        self.assertEqual(len(rows[0]["sample"]), 8)
        for r in rows[1:]:
            self.assertLess(max(abs(a - b) for a, b in zip(r["sample"], rows[0]["sample"])), 1e-4)

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_pipelines_compiled_at_first_use(self):
        rows = [json.loads(run("bench", TINY + "/hf", "--target", "webgpu", "-b", "chromium", "--tokens", "16", "--runs", "1", "--warmup", "0", "--json", "--precompile-shaders", c,
                               env={**ENV, "WEBACCEL_HOME": HOME + "/" + c}).stdout) for c in ("on", "off")]
        self.assertEqual(rows[0]["sample"], rows[1]["sample"])
        self.assertGreater(rows[1]["first_ms"], 2 * rows[1]["median_ms"], "the first run compiles")

    def test_no_falling_back_and_clear_errors(self):
        self.assertIn("edge", run("bench", TINY + "/hf", "--target", "webgpu", "--browser", "edge", check=9).stderr)
        self.assertIn("--precision", run("bench", TINY + "/hf", "--precision", "31", check=2).stderr)
        self.assertIn("--target", run("bench", TINY + "/hf", "--target", "cpu,,webgpu", check=2).stderr)
        self.assertIn("nope", run("bench", TINY + "/hf", "--target", "cpu", "-i", "nope=f32[1]", check=2).stderr)
        self.assertIn("--tokens", run("bench", TINY + "/hf", "--tokens", "none", check=2).stderr)
        rows = json.loads(run("bench", TINY + "/hf", "/no/such/model", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0", "--json", check=3).stdout)
        self.assertEqual([("error" in r) for r in rows], [False, True])


class Profile(unittest.TestCase):
    def profile(self, *where):
        """A profile's JSON and its trace's events, looked over as far as both targets are alike."""
        with tempfile.TemporaryDirectory() as t:
            o = json.loads(run("profile", TINY + "/hf", "--tokens", "16", "--runs", "3", "--warmup", "0", "--json", "--trace", t + "/t.json", *where).stdout)
            trace = json.load(open(t + "/t.json"))
        rows = o["kernels"]
        for r in rows:
            for key in ["label", "kind", "kernel", "spec", "grid", "flops", "bytes", "predicted_us", "us", "share", "gflops", "gb_s", "floor_us", "of_floor"]:
                self.assertIn(key, r)
            self.assertGreater(r["us"], 0, r["label"])
            self.assertGreater(r["floor_us"], 0)
            self.assertAlmostEqual(r["of_floor"], r["floor_us"] / r["us"], places=5)
        self.assertAlmostEqual(sum(r["share"] for r in rows), 1, places=6)
        self.assertAlmostEqual(sum(r["us"] for r in rows) / 1e3, o["kernels_ms"], places=5)
        self.assertEqual(sum(k["count"] for k in o["kinds"]), len(rows))
        self.assertAlmostEqual(sum(k["us"] for k in o["kinds"]), sum(r["us"] for r in rows), places=2)
        self.assertEqual([k["us"] for k in o["kinds"]], sorted((k["us"] for k in o["kinds"]), reverse=True))
        product = [r for r in rows if r["kind"] == "FusedMatMul"][0]
        self.assertGreater(product["flops"], 0)
        for key in ["f32_per_s", "far_bytes_per_s", "near_bytes_per_s", "pass_us"]:
            self.assertGreater(o["floors"][key], 0)
        self.trace(trace["traceEvents"], rows)
        return o

    def trace(self, events, rows):
        tracks = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
        self.assertEqual(len(tracks), 2)
        for e in events:
            self.assertIn(e["ph"], ("M", "X"))
            if e["ph"] == "X":
                self.assertGreaterEqual(e["ts"], 0)
                self.assertGreaterEqual(e["dur"], 0)
                self.assertIn(e["tid"], tracks)
        host = [e for e in events if e["ph"] == "X" and tracks[e["tid"]] == "host"]
        self.assertEqual([e["name"] for e in host], ["import", "browser", "compile", "load", "run", "profiled run"])
        target = [e for e in events if e["ph"] == "X" and tracks[e["tid"]] != "host"]
        self.assertEqual([e["name"] for e in target], [r["label"] for r in rows])
        whole = host[-1]
        for a, b in zip(target, target[1:]):
            self.assertGreaterEqual(b["ts"] + 0.5, a["ts"])
        self.assertGreaterEqual(target[0]["ts"] + 1000, whole["ts"])
        self.assertLessEqual(target[-1]["ts"] + target[-1]["dur"], whole["ts"] + whole["dur"] + 1000)

    def test_cpu(self):
        o = self.profile("--target", "cpu")
        self.assertTrue(all(r["grid"] is None for r in o["kernels"]))
        plan = run("plan", TINY + "/hf", "--target", "cpu", "--length", "16", "--print").stdout
        self.assertEqual(plan.count("  measured "), len(o["kernels"]))
        self.assertNotIn("measured", run("plan", TINY + "/hf", "--target", "cpu", "--length", "12", "--print").stdout)

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_chromium(self):
        o = self.profile("--target", "webgpu", "--browser", "chromium")
        self.assertTrue(all(len(r["grid"]) == 3 for r in o["kernels"]))
        plan = run("plan", TINY + "/hf", "--browser", "chromium", "--length", "16", "--print").stdout
        self.assertEqual(plan.count("  measured "), len(o["kernels"]))
        self.assertEqual(plan.count("  predicted "), len(o["kernels"]))

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_cpu_segments_have_their_row(self):
        here = os.path.dirname(TINY)
        rows = json.loads(run("profile", here + "/mixed/model.onnx", "-i", "x=f32[5,12]", "--target", "webgpu", "--browser", "chromium", "--runs", "2", "--warmup", "0", "--json").stdout)["kernels"]
        self.assertTrue(all(r["us"] > 0 for r in rows))
        self.assertEqual([r["kernel"] for r in rows].count("cpu"), 1)

    def test_table_and_errors(self):
        text = run("profile", TINY + "/hf", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0").stdout
        self.assertIn("% of floor", text)
        self.assertIn("QkvAttention", text)
        self.assertIn("/no/such/folder", run("profile", TINY + "/hf", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0", "--trace", "/no/such/folder/t.json", check=4).stderr)

    def test_a_bad_tune_file_is_said_and_ignored(self):
        run("profile", TINY + "/hf", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0")
        name = [f for f in os.listdir(HOME + "/tune") if f.startswith("cpu-")][0]
        for bad in ["", "{", "[]", '{"webaccel_tune": 2}', '{"webaccel_tune": 1, "floors": {"pass_us": -1}}', '{"webaccel_tune": 1, "floors": 7}', "\0\xff"]:
            open(HOME + "/tune/" + name, "w").write(bad)
            p = run("profile", TINY + "/hf", "--target", "cpu", "--tokens", "8", "--runs", "1", "--warmup", "0", "--json", "--verbose")
            self.assertIn(name, p.stderr, bad)
            self.assertGreater(json.loads(p.stdout)["floors"]["f32_per_s"], 0)


@unittest.skipUnless(CHROMIUM, "no Chromium")
class Tune(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="wa-tune-")
        self.env = {**os.environ, "WEBACCEL_HOME": self.home}

    def tearDown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def file(self):  # the one that Chromium wrote
        return [os.path.join(self.home, "tune", f) for f in os.listdir(self.home + "/tune") if "swiftshader" in f.lower()][0]

    def test_winners_are_kept_and_used(self):
        args = ["bench", TINY + "/hf", "--target", "webgpu", "-b", "chromium", "--tokens", "16", "--runs", "1", "--warmup", "0", "--json", "--tune"]
        plain = json.loads(run(*args, "off", env=self.env).stdout)
        o = json.loads(run("tune", TINY + "/hf", "-b", "chromium", "--tokens", "16", "--seconds", "60", "--json", env=self.env).stdout)
        self.assertEqual(o["file"], self.file())
        kept = json.load(open(o["file"]))["tiles"]
        self.assertEqual(len(kept), len(o["products"]))
        for p in o["products"]:
            self.assertGreater(p["tried"], 0)
            self.assertLessEqual(p["us"], p["default_us"])
            self.assertEqual(p["failed"], 0, p["failure"])
            row = [r for r in kept if (r["n"], r["k"], r["m_max"]) == (p["n"], p["k"], p["m"])][0]
            self.assertEqual((row["tile"], row["bits"], row["m_min"]), (p["tile"], 32, p["m"] // 2 + 1))
        # another tile than the default, whatever won here: the plan is another one, its results are the same
        table = json.load(open(o["file"]))
        for r in table["tiles"]:
            r["tile"] = "plain 4x32/4x8"
        json.dump(table, open(o["file"], "w"))
        tuned = json.loads(run(*args, "on", env=self.env).stdout)
        self.assertNotEqual(tuned["plan_key"], plain["plan_key"])
        self.assertLess(max(abs(a - b) for a, b in zip(tuned["sample"], plain["sample"])), 1e-5)
        self.assertEqual(json.loads(run(*args, "off", env=self.env).stdout)["plan_key"], plain["plan_key"])

    def test_first_use(self):
        args = ["bench", TINY + "/hf", "--target", "webgpu", "-b", "chromium", "--tokens", "8", "--runs", "1", "--warmup", "0", "--json"]
        self.assertIsNone(json.loads(run(*args, env=self.env).stdout)["tune_ms"], "a software adapter is not tuned unless asked for")
        self.assertFalse(os.path.exists(self.home + "/tune"))
        r = json.loads(run(*args, "--tune", "on", env=self.env).stdout)
        self.assertGreater(r["tune_ms"], 0)
        self.assertLess(r["tune_ms"], 20000) # 2 s, but a software adapter compiles on cores that others use
        self.assertTrue(json.load(open(self.file()))["tiles"])

    def test_a_bad_file_means_the_shipped_choices(self):
        args = ["bench", TINY + "/hf", "--target", "webgpu", "-b", "chromium", "--tokens", "16", "--runs", "1", "--warmup", "0", "--json", "--verbose"]
        plain = json.loads(run(*args, "--tune", "off", env=self.env).stdout)
        run("tune", TINY + "/hf", "-b", "chromium", "--tokens", "16", "--seconds", "1", env=self.env)
        open(self.file(), "w").write('{"webaccel_tune": 1, "tiles": [')
        p = run(*args, env=self.env)
        self.assertIn(os.path.basename(self.file()), p.stderr)
        self.assertEqual(json.loads(p.stdout)["plan_key"], plain["plan_key"])

    def test_choices_measured_in_firefox(self):
        args = ["bench", TINY + "/hf", "--target", "webgpu", "-b", "chromium", "--tokens", "16", "--runs", "1", "--warmup", "0", "--json"]
        run("tune", TINY + "/hf", "-b", "chromium", "--tokens", "16", "--seconds", "60", env=self.env)
        table = json.load(open(self.file()))
        self.assertEqual({r["tile"].split()[0] for r in table["tiles"]}, {"plain"})
        for r in table["tiles"]:
            r["tile"] = "plain 8x16/8x4"
        json.dump(dict(table, adapter="", browser="firefox 153.0"), open(self.home + "/tune/of-firefox.json", "w"))
        os.remove(self.file())
        keys = {c: json.loads(run(*args, "--firefox-optimizations", c, env=self.env).stdout)["plan_key"] for c in ("on", "off")}
        self.assertNotEqual(keys["on"], keys["off"])
        json.dump(dict(table, adapter="", browser="firefox 153.0", driver="another"), open(self.home + "/tune/of-firefox.json", "w"))
        self.assertEqual(json.loads(run(*args, "--firefox-optimizations", "on", env=self.env).stdout)["plan_key"], keys["off"], "another driver's table")

    def test_errors(self):
        self.assertIn("edge", run("tune", TINY + "/hf", "-b", "edge", check=9, env=self.env).stderr)
        self.assertIn("--seconds", run("tune", TINY + "/hf", "--seconds", "0", check=2, env=self.env).stderr)


try:
    unittest.main(argv=["measure_test"] + sys.argv[2:], verbosity=1, warnings="ignore")
finally:
    shutil.rmtree(HOME, ignore_errors=True)
