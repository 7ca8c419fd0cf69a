#!/usr/bin/env python3
"""Makes the seeded test models and reference vectors under tests/fixtures/.

usage: tools/make_fixtures.py [tiny] [reference] [--l6 FOLDER] [--l3 FOLDER]

tiny: tests/fixtures/bert-tiny/, a random BERT as a Hugging Face folder (float32, with bf16 and f16
twins), the same weights as ONNX exports, and what PyTorch computes for fixed inputs.
reference: tests/fixtures/reference/, embeddings of fixed token ids by the real MiniLM models.
Needs torch, transformers, onnx, onnxscript, onnxruntime, safetensors, numpy. Both are committed; run
this only to change them.
"""
import argparse
import json
import os
import platform
import shutil
import sys
import warnings

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
SEED = 20261124
TINY = dict(vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=64, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
WORDS = ("the a of to and in is it was for on with as at by he she they we you not this that from have or an be are "
         "were all one can will there what so if out up said her his has more when who its about into them some time "
         "cat dog house water light").split()


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def tiny_vocab():
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + ["##" + c for c in letters]
    vocab += list(".,!?'-") + [w for w in WORDS if len(w) > 1]
    vocab = vocab[:TINY["vocab_size"]]
    return vocab + [f"[unused{i}]" for i in range(TINY["vocab_size"] - len(vocab))]


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, decoders
    vocab = tiny_vocab()
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(vocab) + "\n")
    tok = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tok.add_special_tokens(vocab[:5])
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                       special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tok.decoder = decoders.WordPiece(prefix="##")
    tok.enable_truncation(TINY["max_position_embeddings"])
    tok.save(os.path.join(folder, "tokenizer.json"))
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "unk_token": "[UNK]", "sep_token": "[SEP]",
                "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
                "model_max_length": TINY["max_position_embeddings"]})


def write_hf(folder, model, dtype):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    write_json(os.path.join(folder, "config.json"),
               dict(TINY, architectures=["BertModel"], model_type="bert", position_embedding_type="absolute",
                    hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, initializer_range=0.02, pad_token_id=0,
                    use_cache=True, torch_dtype=str(dtype).replace("torch.", "")))


def tiny_model():
    import torch
    from transformers import BertConfig, BertModel
    torch.manual_seed(SEED)
    model = BertModel(BertConfig(**TINY), add_pooling_layer=False).eval()
    with torch.no_grad():  # far from the initial zeros and ones, so that every weight matters
        for name, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.2 if "weight" in name else 0.1))
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    return model


class Encoder:
    """The exported function: three inputs, last_hidden_state. `plain`: the mask becomes the additive bias
    (1 - mask) * min as in most published exports; else transformers' own mask code is traced."""

    def __new__(cls, model, plain=True):
        import torch

        class Wrapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask, token_type_ids):
                if plain:
                    attention_mask = attention_mask[:, None, None, :].to(torch.float32)
                    attention_mask = (1.0 - attention_mask) * torch.finfo(torch.float32).min
                return self.model(input_ids=input_ids, attention_mask=attention_mask,
                                  token_type_ids=token_type_ids).last_hidden_state

        return Wrapped().eval()


def tiny_inputs():
    rng = np.random.default_rng(SEED)
    ids = rng.integers(5, TINY["vocab_size"], (2, 7), dtype=np.int64)
    ids[:, 0], ids[:, -1] = 2, 3
    mask = np.ones((2, 7), np.int64)
    mask[1, 5:] = 0
    types = np.zeros((2, 7), np.int64)
    types[0, 4:] = 1
    return ids, mask, types


def strip_onnx(path):
    """Drops the exporter's notes (paths of this machine), shortens the names that only nodes see, and keeps
    the weights inside the file."""
    import onnx
    m = onnx.load(path)
    del m.graph.value_info[:]
    keep = {v.name for v in list(m.graph.input) + list(m.graph.output) + list(m.graph.initializer)}
    short = {}
    for i, n in enumerate(m.graph.node):
        n.name = f"{n.op_type}_{i}"
        for o in n.output:
            if o and o not in keep:
                short[o] = f"v{len(short)}"
    for n in m.graph.node:
        for names in (n.input, n.output):
            for i, x in enumerate(names):
                names[i] = short.get(x, x)
    for n in m.graph.node:
        n.doc_string = ""
        del n.metadata_props[:]
    for v in list(m.graph.value_info) + list(m.graph.input) + list(m.graph.output):
        del v.metadata_props[:]
    for t in m.graph.initializer:
        del t.metadata_props[:]
    del m.metadata_props[:]
    del m.graph.metadata_props[:]
    onnx.checker.check_model(m)
    onnx.save(m, path, save_as_external_data=False)
    data = path + ".data"
    if os.path.exists(data):
        os.remove(data)


def export_all(folder, model):
    import torch
    ids, mask, types = (torch.from_numpy(x) for x in tiny_inputs())
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {n: {0: "batch", 1: "sequence"} for n in names + ["last_hidden_state"]}
    wrapped = Encoder(model)
    notes = []
    for opset in (17, 14):
        path = os.path.join(folder, f"opset{opset}.onnx")
        try:
            torch.onnx.export(wrapped, (ids, mask, types), path, input_names=names, output_names=["last_hidden_state"],
                              dynamic_axes=axes, opset_version=opset, dynamo=False, do_constant_folding=True)
            strip_onnx(path)
            notes.append(f"opset{opset}.onnx: legacy exporter")
        except Exception as e:  # the note in README.md says what did not work
            notes.append(f"opset{opset}.onnx: legacy exporter failed: {type(e).__name__}: {e}")
    path = os.path.join(folder, "dynamo.onnx")
    try:
        batch, sequence = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("sequence", min=2, max=64)
        torch.onnx.export(Encoder(model, plain=False), (ids, mask, types), path, input_names=names,
                          output_names=["last_hidden_state"], dynamic_shapes=[{0: batch, 1: sequence}] * 3, opset_version=18, dynamo=True,
                          external_data=False)
        strip_onnx(path)
        notes.append("dynamo.onnx: torch.export based exporter, opset 18, with transformers' own mask code")
    except Exception as e:
        notes.append(f"dynamo.onnx: failed: {type(e).__name__}: {str(e)[:300]}")
    return notes


def make_tiny():
    import onnxruntime
    import torch
    import transformers
    torch.set_num_threads(1)
    folder = os.path.join(FIXTURES, "bert-tiny")
    shutil.rmtree(folder, ignore_errors=True)
    model = tiny_model()
    write_hf(os.path.join(folder, "hf"), model, torch.float32)
    write_hf(os.path.join(folder, "hf-bf16"), model, torch.bfloat16)
    write_hf(os.path.join(folder, "hf-f16"), model, torch.float16)
    hf = os.path.join(folder, "hf")
    write_tokenizer(hf)
    write_json(os.path.join(hf, "modules.json"),
               [{"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + t}
                for i, (p, t) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])])
    write_json(os.path.join(hf, "sentence_bert_config.json"), {"max_seq_length": 64, "do_lower_case": False})
    os.makedirs(os.path.join(hf, "1_Pooling"))
    os.makedirs(os.path.join(hf, "2_Normalize"))
    write_json(os.path.join(hf, "1_Pooling", "config.json"),
               {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    with open(os.path.join(hf, "2_Normalize", ".gitkeep"), "w", encoding="utf-8"):
        pass
    ids, mask, types = tiny_inputs()
    with torch.no_grad():
        out = Encoder(model)(*(torch.from_numpy(x) for x in (ids, mask, types))).numpy()
    for name, x in (("input_ids", ids), ("attention_mask", mask), ("token_type_ids", types), ("last_hidden_state", out),
                    ("embedding_mean_normalized", mean_pool(out, mask, True))):
        np.save(os.path.join(folder, name + ".npy"), x)
    notes = export_all(folder, model)
    for f in sorted(os.listdir(folder)):
        if f.endswith(".onnx"):
            s = onnxruntime.InferenceSession(os.path.join(folder, f), providers=["CPUExecutionProvider"])
            got = s.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
            notes.append(f"{f}: onnxruntime differs from PyTorch by at most {np.abs(got - out).max():.2e}")
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# bert-tiny
A random BERT ({TINY['hidden_size']} wide, {TINY['num_hidden_layers']} layers, {TINY['num_attention_heads']} heads, seed {SEED}), made by tools/make_fixtures.py with torch {torch.__version__}, transformers {transformers.__version__}, onnxruntime {onnxruntime.__version__}.
`hf/` is the Hugging Face folder, `hf-bf16/` and `hf-f16/` its twins in half precision, `*.onnx` exports of the same weights. `*.npy` are inputs and what PyTorch computes for them in float32 (eager attention); padded positions of row 1 are computed too, so compare only where the mask is 1 or through the pooled embedding.

""" + "".join(f"- {n}\n" for n in notes))
    print("\n".join(notes))


def mean_pool(hidden, mask, normalize):
    m = mask[..., None].astype(np.float32)
    e = (hidden * m).sum(1) / np.maximum(m.sum(1), 1e-9)
    if normalize:
        e = e / np.maximum(np.linalg.norm(e, axis=-1, keepdims=True), 1e-12)
    return e.astype(np.float32)


# name, lengths of the rows; padded to the longest with id 0
CASES = [("b1_s2", [2]), ("b1_s7", [7]), ("b1_s64", [64]), ("b1_s128", [128]), ("b1_s256", [256]),
         ("b3_mixed", [5, 17, 33]), ("b32_s128", [128] * 32)]


def reference_ids():
    """Row by row: [CLS]=101, uniform ids from 1000 to 30521, [SEP]=102; rows padded with 0."""
    rng = np.random.default_rng(SEED)
    cases = []
    for name, lengths in CASES:
        ids = np.zeros((len(lengths), max(lengths)), np.int64)
        mask = np.zeros_like(ids)
        for r, n in enumerate(lengths):
            ids[r, 0], ids[r, n - 1] = 101, 102
            ids[r, 1:n - 1] = rng.integers(1000, 30522, n - 2)
            mask[r, :n] = 1
        cases.append((name, ids, mask))
    return cases


def make_reference(l6, l3):
    import onnxruntime
    import torch
    import transformers
    from transformers import AutoModel
    torch.set_num_threads(1)
    folder = os.path.join(FIXTURES, "reference")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = AutoModel.from_pretrained(l6, local_files_only=True).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.path.join(l3, "paraphrase-MiniLM-L3-v2.onnx"), options,
                                           providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    hidden_name = next(o.name for o in session.get_outputs() if o.type == "tensor(float)" and len(o.shape) == 3)
    for name, ids, mask in reference_ids():
        np.save(os.path.join(folder, f"{name}.ids.npy"), ids.astype(np.uint16))
        with torch.no_grad():
            hidden = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
        np.save(os.path.join(folder, f"{name}.l6.npy"), mean_pool(hidden.numpy(), mask, True))
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = session.run([hidden_name], {k: v for k, v in feed.items() if k in names})[0]
        np.save(os.path.join(folder, f"{name}.l3.npy"), mean_pool(hidden, mask, False))
        print(name, flush=True)
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# Reference embeddings
Made by tools/make_fixtures.py (seed {SEED}) with torch {torch.__version__}, transformers {transformers.__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}, Python {platform.python_version()} on {platform.machine()}, one thread, float32.

- `CASE.ids.npy`: token ids, uint16 [batch, length]; [CLS]=101 first, [SEP]=102 last of each row, padded with 0. The attention mask is id != 0; token types are 0.
- `CASE.l6.npy`: all-MiniLM-L6-v2 (folder l6) in PyTorch, mean over the masked tokens, then L2-normalised; float32 [batch, 384].
- `CASE.l3.npy`: paraphrase-MiniLM-L3-v2's ONNX file (folder l3) in onnxruntime's CPU provider, mean over the masked tokens of its rank-3 output `{hidden_name}`, not normalised; float32 [batch, 384].

Cases: {", ".join(f"`{n}`" for n, _ in CASES)}.
""")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("what", nargs="*", choices=["tiny", "reference"], default=[])
    p.add_argument("--l6", default="build/deps/models/l6")
    p.add_argument("--l3", default="build/deps/models/l3")
    a = p.parse_args()
    warnings.filterwarnings("ignore")
    what = a.what or ["tiny", "reference"]
    if "tiny" in what:
        make_tiny()
    if "reference" in what:
        make_reference(a.l6, a.l3)


if __name__ == "__main__":
    sys.exit(main())
