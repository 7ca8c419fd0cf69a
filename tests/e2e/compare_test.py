"""bench/compare's statistics: what it calls slower, faster, noise; which files it reads.

usage: compare_test.py
"""
import importlib.machinery, importlib.util, io, contextlib, json, os, random, sys, tempfile, unittest

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench", "compare")
loader = importlib.machinery.SourceFileLoader("compare", PATH)
sys.dont_write_bytecode = True
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
loader.exec_module(compare)


def runs(median, spread, n=30, seed=1):
    r = random.Random(seed)
    return [max(0.001, r.gauss(median, spread)) for _ in range(n)]


def bench(times, **more):
    return dict({"model": "/x/l6", "target": "cpu", "precision": 32, "batch": 1, "tokens": 128, "median_ms": sorted(times)[len(times) // 2], "runs_ms": times}, **more)


def verdict(old, new, *args):
    """(exit code, verdicts) of two files."""
    with tempfile.TemporaryDirectory() as t:
        for name, o in (("old", old), ("new", new)):
            with open("%s/%s" % (t, name), "w") as f:
                json.dump(o, f)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            try:
                code = compare.main([t + "/old", t + "/new", "--json", *args])
            except SystemExit as e:
                return e.code, []
        return code, [r["verdict"] for r in json.loads(out.getvalue())]


class Compare(unittest.TestCase):
    def test_clear_changes(self):
        slow, fast = bench(runs(12, 0.3, seed=2)), bench(runs(10, 0.3))
        self.assertEqual(verdict(fast, slow), (1, ["SLOWER"]))
        self.assertEqual(verdict(slow, fast), (0, ["faster"]))
        self.assertEqual(verdict(fast, fast), (0, ["same"]))

    def test_the_same_distribution_is_no_regression(self):
        found = [verdict(bench(runs(10, 2, 20, s)), bench(runs(10, 2, 20, s + 1000)))[0] for s in range(60)]
        self.assertLessEqual(sum(found), 1, "false alarms")

    def test_a_real_change_in_noise_is_found(self):
        found = [verdict(bench(runs(10, 1, 40, s)), bench(runs(12, 1, 40, s + 1000)))[0] for s in range(40)]
        self.assertEqual(sum(found), 40)

    def test_noise_is_called_noise(self):
        self.assertEqual(verdict(bench([8, 9, 10, 14, 20]), bench([8.5, 9.5, 11.5, 14, 20])), (0, ["noise"]))

    def test_small_changes_do_not_count_unless_asked_for(self):
        old, new = bench(runs(10, 0.01)), bench(runs(10.3, 0.01, seed=2))
        self.assertEqual(verdict(old, new), (0, ["same"]))
        self.assertEqual(verdict(old, new, "--min", "1"), (1, ["SLOWER"]))

    def test_percentiles_alone(self):
        one = lambda m, spread, n=30: {"shapes": {"1x128": {"engines": {"ours-cpu": {"median_ms": m, "p10_ms": m - spread, "p90_ms": m + spread, "runs": n}}}}}
        self.assertEqual(verdict(one(10, 0.5), one(12, 0.5)), (1, ["SLOWER"]))
        self.assertEqual(verdict(one(10, 6), one(11, 6)), (0, ["noise"]))
        self.assertEqual(verdict(one(10, 0.5, 2), one(12, 0.5, 2)), (0, ["noise"]))  # two runs know nothing
        self.assertEqual(list(compare.collect(one(10, 1))), ["1x128 ours-cpu"])

    def test_repeats_count_by_their_range(self):
        old = [bench(runs(m, 0.1, seed=i)) for i, m in enumerate((10, 12, 11))]
        self.assertEqual(verdict(old, [bench(runs(m, 0.1, seed=9 + i)) for i, m in enumerate((11.9, 12.4, 12.2))]), (0, ["noise"]))
        self.assertEqual(verdict(old, [bench(runs(m, 0.1, seed=9 + i)) for i, m in enumerate((13, 14, 13.5))]), (1, ["SLOWER"]))

    def test_keys_tell_results_apart(self):
        old = [bench([10] * 9), bench([20] * 9, target="webgpu", browser="chromium"), bench([5] * 9, precision=16)]
        new = [bench([10] * 9), bench([30] * 9, target="webgpu", browser="chromium"), bench([5] * 9, batch=32)]
        code, found = verdict(old, new)
        self.assertEqual((code, found), (1, ["same", "SLOWER", "only in OLD", "only in NEW"]))

    def test_what_cannot_be_compared(self):
        self.assertEqual(verdict({}, bench([1] * 9))[0], 2)
        self.assertEqual(verdict([], [])[0], 2)
        self.assertEqual(verdict(bench([1] * 9), bench([1] * 9, model="other"))[0], 2)
        self.assertEqual(verdict({"median_ms": -1}, {"median_ms": 1})[0], 2)
        with contextlib.redirect_stderr(io.StringIO()) as err, self.assertRaises(SystemExit) as e:
            compare.load("/no/such/file")
        self.assertEqual(e.exception.code, 2)
        self.assertIn("/no/such/file", err.getvalue())


unittest.main(argv=["compare_test"] + sys.argv[1:], verbosity=1)
