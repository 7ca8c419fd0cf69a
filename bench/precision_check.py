#!/usr/bin/env python3
"""How far embeddings of fewer bits are from 32 bits, over 1,000 varied sentences, and whether the error that
`webaccel run` reports is the one that its outputs have.

usage: precision_check.py --command build/webaccel --model FOLDER [--runs webgpu:firefox:16,webgpu:firefox:mixed,...]
                          [--sentences 1000] [--out FILE]
A run is TARGET[:BROWSER]:PRECISION. Each is compared with cpu at 32, sentence by sentence. Bars on the worst
cosine: 16 and mixed 0.9999, 8 0.995, 4 0.97. What a run reports is compared on a request of one sentence, whose
calibration input it is. Exit 1 when a bar is missed or a reported error is not the measured one.
"""
import argparse, array, json, math, os, random, re, shutil, struct, subprocess, sys, tempfile

BARS = {"32": 0.999999, "16": 0.9999, "mixed": 0.9999, "8": 0.995, "4": 0.97}
BATCH = 32
SUBJECTS = """the old harbour master|a red fox|my sister's orchestra|the tax office in Lyon|nobody|every third satellite|a retired chess champion|our compiler
the river|two tired nurses|an unnamed source|the museum's oldest clock|a quantum computer|grandmother's recipe|the football team from Leeds|this bridge
the committee|a stray cat|inflation|the second violinist|an enzyme|the night train to Vienna|seventeen students|the court""".replace("\n", "|").split("|")
VERBS = """repairs|forgets|paints|argues about|measures|sells|cannot explain|is afraid of|translates|dreams of|rebuilds|refuses|discovered|almost lost
counted|will deliver|quietly replaced|writes a letter about|has always loved|compared""".replace("\n", "|").split("|")
OBJECTS = """the blue door|a thousand paper boats|the budget for 2031|an ancient map of Peru|its own shadow|the theory of everything|three kilos of flour
a broken telescope|the password|winter|the second law of thermodynamics|a bowl of noodles|the election results|her first bicycle|the sound of rain|42 unread messages
a proof that P is not NP|the last glacier|fresh bread|a contract nobody signed|the moon's far side|an apology|low interest rates|the missing commas""".replace("\n", "|").split("|")
TAILS = """before sunrise|because the lights went out|, although it never rains in June|; nobody noticed|at a cost of $3,400.50|in the old town of Évora|with great care
while the kettle boils|and then, for no clear reason, stops|(see appendix B)|again and again and again|as if nothing had happened|for the sake of peace|under pressure|?|!""".replace("\n", "|").split("|")


def sentences(count):
    r, out = random.Random(20261129), []
    while len(out) < count:
        kind = r.random()
        if kind < 0.08:  # a few words, or one
            out.append(" ".join(r.choice(OBJECTS).split()[: r.randint(1, 3)]))
        else:
            parts = [" ".join((r.choice(SUBJECTS), r.choice(VERBS), r.choice(OBJECTS), r.choice(TAILS))) for _ in range(1 if kind < 0.75 else r.randint(2, 4))]
            text = ". ".join(p[0].upper() + p[1:] for p in parts)
            out.append(text.upper() if kind > 0.98 else text)
    return out


def rows(path):
    data = open(path, "rb").read()
    header = struct.unpack("<H", data[8:10])[0]
    text = data[10:10 + header].decode()
    assert "'<f4'" in text, text
    n, d = map(int, re.search(r"\((\d+), (\d+)\)", text).groups())
    a = array.array("f")
    a.frombytes(data[10 + header:10 + header + n * d * 4])
    return [a[i * d:(i + 1) * d] for i in range(n)]


def cosine(a, b):
    ab, aa, bb = (math.fsum(x * y for x, y in zip(p, q)) for p, q in ((a, b), (a, a), (b, b)))
    return ab / math.sqrt(aa * bb) if aa and bb else 0.0


def run(args, home, target, browser, precision, text):
    folder = tempfile.mkdtemp(dir=home)
    command = [args.command, "run", args.model, "-", "--json", "--target", target, "--precision", precision, "--batch", str(BATCH), "--output", folder, "--timeout", "600"]
    if browser:
        command += ["--browser", browser]
    r = subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, "WEBACCEL_HOME": home})
    if r.returncode:
        raise RuntimeError(r.stderr.strip()[-400:])
    result = json.loads(r.stdout)
    result.pop("output", None)
    return rows(os.path.join(folder, "embedding.npy")), result


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--command", required=True)
    ap.add_argument("--model", required=True)
    ap.add_argument("--runs", default="webgpu:firefox:16,webgpu:firefox:mixed,webgpu:firefox:8,webgpu:firefox:4,webgpu:chromium:8,webgpu:chromium:4,cpu:16,cpu:8,cpu:4")
    ap.add_argument("--sentences", type=int, default=1000)
    ap.add_argument("--out", default="")
    args = ap.parse_args()
    home, failed, table = tempfile.mkdtemp(), False, []
    try:
        text = "\n".join(sentences(args.sentences)) + "\n"
        want, _ = run(args, home, "cpu", None, "32", text)
        for spec in args.runs.split(","):
            parts = spec.split(":")
            target, precision, browser = parts[0], parts[-1], parts[1] if len(parts) > 2 else None
            try:
                got, result = run(args, home, target, browser, precision, text)
            except RuntimeError as e:
                print(f"{spec}: {e}")
                failed = True
                continue
            each = [cosine(a, b) for a, b in zip(got, want)]
            alone, told = run(args, tempfile.mkdtemp(dir=home), target, browser, precision, sentences(8)[7] + "\n")
            first, reported = cosine(alone[0], want[7]), (told.get("precision_error") or {}).get("cosine")
            honest = reported is not None and abs(reported - first) < 1e-6
            ok = min(each) >= BARS[precision] and honest and len(got) == len(want)
            failed |= not ok
            memory = result["memory_bytes"]
            table.append({"run": spec, "worst": min(each), "mean": sum(each) / len(each), "one": first, "reported": told.get("precision_error"), "bar": BARS[precision],
                          "memory_bytes": memory, "latency_ms": result["latency_ms"], "fallback": result.get("fallback"), "ok": ok})
            print(f"{spec}: worst cosine {min(each):.6f} (bar {BARS[precision]}), mean {sum(each) / len(each):.6f}; one sentence {first:.7f}, reported {reported}; "
                  f"{memory['actual'] / 1e6:.1f} MB (predicted {memory['predicted'] / 1e6:.1f}): {'ok' if ok else 'NOT OK'}", flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.out:
        json.dump({"model": os.path.basename(args.model.rstrip("/")), "sentences": args.sentences, "runs": table}, open(args.out, "w"), indent=1)
    sys.exit(1 if failed else 0)


main()
