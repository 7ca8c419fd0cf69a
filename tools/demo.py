"""The demo's second half: runs both models by CID on every target and prints what happened.

usage: demo.py WEBACCEL CID_L6 CID_L3
"""
import json, math, subprocess, sys

command, l6, l3 = sys.argv[1:4]
TEXTS = ["A man is eating food.", "Someone is having a meal.", "A cheetah chases its prey.", "A wild cat is running after an antelope.", "The stock market fell sharply today."]


def webaccel(*args):
    p = subprocess.run([command, *args, "--json"], capture_output=True, text=True)
    if p.returncode:
        return None, p.stderr.strip()
    return json.loads(p.stdout), None


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def usable_browsers():
    doctor, error = webaccel("doctor", "--no-probe")
    if error:
        sys.exit("demo: doctor failed: " + error)
    families = []
    for b in doctor["browsers"]:
        if not b.get("problem") and b["family"] not in families:
            families.append(b["family"])
    return families


browsers = usable_browsers()
if not browsers:
    print("no browser on this machine: running on the CPU target only")
failed = False
for name, cid in [("all-MiniLM-L6-v2", l6), ("paraphrase-MiniLM-L3-v2", l3)]:
    print("\n== %s" % name)
    base = None
    for target, browser in [("cpu", None)] + [("webgpu", b) for b in browsers]:
        r, error = webaccel("run", cid, *TEXTS, "--target", target, "--no-fallback", "--runs", "3", *(["--browser", browser] if browser else []))
        if error:
            print("%-7s %-9s FAILED: %s" % (target, browser or "", error))
            failed = True
            continue
        rows = r["output"]
        if base is None:
            base = rows
            print("\nsimilarity  " + "".join("%8d" % (i + 1) for i in range(len(TEXTS))))
            for i, a in enumerate(rows):
                print("%d           " % (i + 1) + "".join("%8.3f" % cosine(a, b) for b in rows) + "   " + TEXTS[i])
            print("\n%-7s %-9s %-16s %-34s %9s %11s %12s %12s" % ("target", "browser", "version", "adapter", "ms a run", "cosine", "GPU bytes", "predicted"))
        a = r["adapter"]
        adapter = "this CPU" if not a else "%s (%s)" % (a["description"] or a["device"] or a["architecture"] or a["vendor"] or "unnamed", a["kind"])
        agree = min(cosine(x, y) for x, y in zip(base, rows))
        print("%-7s %-9s %-16.16s %-34.34s %9.2f %11.7f %12d %12d" % (r["target"], r["browser"] or "-", r["browser_version"] or "-", adapter, r["latency_ms"], agree,
                                                                   r["memory_bytes"]["actual"], r["memory_bytes"]["predicted"]))
        if agree < 0.99999 or r["memory_bytes"]["actual"] != r["memory_bytes"]["predicted"]:
            print("        ^ disagrees with the CPU or with its own memory plan")
            failed = True

print("\n== rows in DuckDB (webaccel results)")
print(subprocess.run([command, "results", "-n", "6"], capture_output=True, text=True).stdout.rstrip())
sys.exit(1 if failed else 0)
