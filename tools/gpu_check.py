"""On a GPU machine: makes MiniLM-L6 with seeded random weights (same shapes as the demo's), runs it on
the CPU and in the browser on the GPU that the product's own ladder finds, and compares with PyTorch.

usage: gpu_check.py WEBACCEL WORKDIR [--layers 6] [--shapes 1x16,1x128,32x128]    needs torch, transformers
"""
import argparse, json, os, struct, subprocess, sys, time

ap = argparse.ArgumentParser()
ap.add_argument("command")
ap.add_argument("work")
ap.add_argument("--layers", type=int, default=6)
ap.add_argument("--shapes", default="1x16,1x128,32x128")
ap.add_argument("--runs", type=int, default=100)
ap.add_argument("--browser", default="")
ap.add_argument("--out", default="", help="write the figures there as JSON")
args = ap.parse_args()
import numpy as np, torch
from transformers import BertConfig, BertModel

folder = os.path.join(args.work, "minilm")
torch.manual_seed(7)
config = BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=args.layers, num_attention_heads=12, intermediate_size=1536, max_position_embeddings=512)
model = BertModel(config, add_pooling_layer=False).eval()
if not os.path.exists(folder):
    model.save_pretrained(folder)
    os.makedirs(folder + "/1_Pooling")
    json.dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
               {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}], open(folder + "/modules.json", "w"))
    json.dump({"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}, open(folder + "/1_Pooling/config.json", "w"))
bad = False
rows = []
for shape in args.shapes.split(","):
    b, n = map(int, shape.split("x"))
    rng = np.random.default_rng(b * 1000 + n)
    ids = rng.integers(1000, 29000, (b, n))
    mask = np.ones((b, n), dtype=np.int64)
    for i in range(1, b):
        mask[i, n - (i * 3) % (n // 2):] = 0 if (i * 3) % (n // 2) else 1
    with torch.no_grad():
        h = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), token_type_ids=torch.zeros(b, n, dtype=torch.long)).last_hidden_state.double()
        m = torch.tensor(mask).double().unsqueeze(-1)
        want = torch.nn.functional.normalize((h * m).sum(1) / m.sum(1), dim=1).numpy()
    np.save(args.work + "/ids.npy", ids.astype(np.int64))
    np.save(args.work + "/mask.npy", mask)
    np.save(args.work + "/types.npy", np.zeros((b, n), dtype=np.int64))
    for target in ("cpu", "webgpu"):
        cmd = [args.command, "run", folder, "--task", "embed", "--target", target, "--no-fallback", "--json", "--runs", str(args.runs), "--home", args.work + "/home"]
        cmd += ["-i", "input_ids=%s/ids.npy" % args.work, "-i", "attention_mask=%s/mask.npy" % args.work, "-i", "token_type_ids=%s/types.npy" % args.work]
        if args.browser and target == "webgpu":
            cmd += ["--browser", args.browser]
        t = time.time()
        p = subprocess.run(cmd, capture_output=True, text=True)
        wall = time.time() - t
        if p.returncode:
            print(shape, target, "FAILED:", p.stderr.strip()[-1500:])
            bad = True
            continue
        r = json.loads(p.stdout)
        got = np.array(r["output"], dtype=np.float64)
        cos = float(((got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)).min())
        worst = float(np.abs(got - want).max())
        ok = cos >= 0.99999 and worst <= 1e-4 and r["memory_bytes"]["predicted"] == r["memory_bytes"]["actual"]
        bad = bad or not ok
        keep = ["latency_ms", "latency_p90_ms", "gpu_ms", "load_ms", "first_result_ms", "dispatches", "adapter", "browser", "browser_version", "memory_bytes", "reason", "system"]
        rows.append(dict(shape=shape, target=target, ok=ok, cosine=cos, max_abs=worst, wall_s=round(wall, 3), runs=args.runs, **{k: r[k] for k in keep}))
        print(shape, target, "OK" if ok else "WRONG", "cosine %.8f max abs %.2e median %.3f ms p90 %.3f gpu %s ms, load %.0f ms, first result %.0f ms, wall %.2f s, %d dispatches, %s, memory %s" % (
            cos, worst, r["latency_ms"], r["latency_p90_ms"], r["gpu_ms"], r["load_ms"], r["first_result_ms"], wall, r["dispatches"], json.dumps(r["adapter"]), r["memory_bytes"]), "|", r["reason"])
if args.out:
    json.dump(dict(model="MiniLM-L6 shapes, seeded weights, f32", when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), rows=rows), open(args.out, "w"), indent=1)
sys.exit(bad)
