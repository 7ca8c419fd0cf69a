#!/usr/bin/env python3
"""Makes the seeded small models of each family under tests/data/families/, as ONNX backend test cases.

usage: tools/make_family_models.py [NAME ...] [--out DIR] [--style legacy|dynamo] [--report FILE]

Each case is NAME/model.onnx with NAME/test_data_set_0/{input,output}_*.pb: a model of the real
architecture (transformers' own code, random weights, tiny sizes), exported by the TorchScript based
exporter (opset 17) or the torch.export based one (its newest opset), and what PyTorch computes for
the inputs in float32. Everything is seeded; each export is checked with onnxruntime before it is
kept. A case passes where max |a - b| <= 1e-3 * max |b| for every output.
Needs torch, transformers, onnx, onnxscript, onnxruntime, numpy. The cases are committed; run this only
to change them. --style overrides a family's exporter, --report writes the operators per case.
"""
import argparse
import collections
import json
import os
import shutil
import sys
import traceback
import warnings

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEED = 20261124
LEGACY_OPSET = 17
DYNAMO_OPSET = 23
TOLERANCE = 1e-3
# what the text models share
TEXT = dict(vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=64)
DECODER = dict(TEXT, bos_token_id=1, eos_token_id=2, pad_token_id=0, use_cache=False)
VISION = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8)

FAMILIES = {}


def family(style, dynamic=None, attention=None):
    """Registers a maker, its exporter and its attention code (PyTorch's fused operator for the newer
    exporter, which makes it one Attention node, else the eager one). The maker returns (model, inputs, outputs), inputs a dict of arrays by keyword in the
    order of the graph's inputs, outputs names of the result's fields, or a function of model and keywords
    that returns a dict. `dynamic`: {input: {axis: name}}."""
    def register(f):
        FAMILIES[f.__name__.replace("_", "-")] = (f, style, dynamic or {}, attention or ("sdpa" if style == "dynamo" else "eager"))
        return f
    return register


def rng():
    return np.random.default_rng(SEED)


def tokens(shape, vocab=96, low=5):
    return rng().integers(low, vocab, shape, dtype=np.int64)


def mask_of(lengths, total):
    return np.array([[1] * n + [0] * (total - n) for n in lengths], np.int64)


def left_mask(lengths, total):
    return mask_of(lengths, total)[:, ::-1].copy()


def normal(shape, scale=1.0):
    return (rng().standard_normal(shape) * scale).astype(np.float32)


BATCH_SEQUENCE = {0: "batch", 1: "sequence"}
TEXT_AXES = {"input_ids": BATCH_SEQUENCE, "attention_mask": BATCH_SEQUENCE, "token_type_ids": BATCH_SEQUENCE,
             "position_ids": BATCH_SEQUENCE}
SEQ2SEQ_AXES = dict(TEXT_AXES, decoder_input_ids={0: "batch", 1: "target"})


# ---- encoders ----
@family("legacy", TEXT_AXES)
def bert(t):
    model = t.BertModel(t.BertConfig(**TEXT, type_vocab_size=2))
    ids = tokens((2, 9))
    types = np.zeros_like(ids)
    types[0, 4:] = 1
    return model, dict(input_ids=ids, attention_mask=mask_of([9, 6], 9), token_type_ids=types), ["last_hidden_state", "pooler_output"]


@family("dynamo", TEXT_AXES)
def roberta(t):
    """Position ids counted over what is not padding; the masked-word head is tied to the embedding."""
    model = t.RobertaForMaskedLM(t.RobertaConfig(**TEXT, type_vocab_size=1, pad_token_id=1))
    ids, mask = tokens((2, 9)), mask_of([9, 5], 9)
    ids[mask == 0] = 1
    return model, dict(input_ids=ids, attention_mask=mask), ["logits"]


@family("legacy", TEXT_AXES)
def mpnet(t):
    model = t.MPNetModel(t.MPNetConfig(**TEXT, pad_token_id=1))
    ids, mask = tokens((2, 11)), mask_of([11, 7], 11)
    ids[mask == 0] = 1
    return model, dict(input_ids=ids, attention_mask=mask), ["last_hidden_state", "pooler_output"]


# ---- encoder and decoder ----
def t5_like(config, model, **more):
    c = config(vocab_size=96, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4,
               relative_attention_num_buckets=8, relative_attention_max_distance=16, use_cache=False,
               pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, **more)
    ids, target = tokens((2, 10)), tokens((2, 5))
    target[:, 0] = 0
    return model(c), dict(input_ids=ids, attention_mask=mask_of([10, 7], 10), decoder_input_ids=target), ["logits", "encoder_last_hidden_state"]


@family("legacy", SEQ2SEQ_AXES)
def t5(t):
    return t5_like(t.T5Config, t.T5ForConditionalGeneration, feed_forward_proj="relu", tie_word_embeddings=True)


@family("dynamo", SEQ2SEQ_AXES)
def mt5(t):
    return t5_like(t.MT5Config, t.MT5ForConditionalGeneration, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


@family("legacy", SEQ2SEQ_AXES, attention="sdpa")
def bart(t):
    model = t.BartForConditionalGeneration(t.BartConfig(
        vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64, use_cache=False, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, scale_embedding=True))
    ids, target = tokens((2, 10)), tokens((2, 6))
    target[:, 0] = 2
    return model, dict(input_ids=ids, attention_mask=mask_of([10, 8], 10), decoder_input_ids=target), ["logits", "encoder_last_hidden_state"]


@family("dynamo")
def whisper(t):
    """Mel frames through two convolutions, sinusoidal positions, cross attention, head tied."""
    model = t.WhisperForConditionalGeneration(t.WhisperConfig(
        vocab_size=96, num_mel_bins=16, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_source_positions=24,
        max_target_positions=16, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3))
    return model, dict(input_features=normal((1, 16, 48)), decoder_input_ids=tokens((1, 5))), ["logits", "encoder_last_hidden_state"]


# ---- decoders ----
def causal(model, positions=False):
    """`positions`: given as an input, counted over what is not padding; else the model's own 0, 1, 2..."""
    mask = left_mask((9, 6), 9)
    inputs = dict(input_ids=tokens((2, 9)), attention_mask=mask)
    if positions:
        inputs["position_ids"] = np.maximum(mask.cumsum(1) - 1, 0)
    return model, inputs, ["logits"]


@family("dynamo", TEXT_AXES)
def llama(t):
    return causal(t.LlamaForCausalLM(t.LlamaConfig(**DECODER, num_key_value_heads=2, tie_word_embeddings=False)), positions=True)


@family("legacy", TEXT_AXES)
def gpt2(t):
    return causal(t.GPT2LMHeadModel(t.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=4, n_inner=48, bos_token_id=1,
                                                eos_token_id=2, use_cache=False)))


@family("legacy", TEXT_AXES, attention="sdpa")
def phi(t):
    """Rotary positions on half of each head; attention and MLP in parallel."""
    return causal(t.PhiForCausalLM(t.PhiConfig(**DECODER, partial_rotary_factor=0.5, qk_layernorm=True)))


@family("legacy", TEXT_AXES)
def mistral(t):
    """A sliding window of 4 over 9 positions."""
    return causal(t.MistralForCausalLM(t.MistralConfig(**DECODER, num_key_value_heads=2, sliding_window=4)))


@family("dynamo", TEXT_AXES)
def qwen2(t):
    return causal(t.Qwen2ForCausalLM(t.Qwen2Config(**DECODER, num_key_value_heads=2, tie_word_embeddings=True)), positions=True)


@family("legacy", TEXT_AXES)
def qwen3(t):
    """Normalised queries and keys; heads wider than hidden size / heads."""
    return causal(t.Qwen3ForCausalLM(t.Qwen3Config(**DECODER, num_key_value_heads=2, head_dim=16)))


@family("legacy", TEXT_AXES)
def gemma(t):
    return causal(t.GemmaForCausalLM(t.GemmaConfig(**DECODER, num_key_value_heads=1, head_dim=8)))


@family("dynamo", TEXT_AXES, attention="eager")
def gemma2(t):
    """Soft caps on scores and logits; every other layer with a sliding window."""
    return causal(t.Gemma2ForCausalLM(t.Gemma2Config(**DECODER, num_key_value_heads=2, head_dim=8, sliding_window=4, query_pre_attn_scalar=8)), positions=True)


def decode_step(model, layers, heads, size, past):
    """One token with the keys and values of `past` before it; gives the logits and the grown cache."""
    from transformers import DynamicCache
    names = [f"past_{kv}_{i}" for i in range(layers) for kv in ("key", "value")]
    r = rng()
    inputs = dict(input_ids=tokens((2, 1)), attention_mask=left_mask((past + 1, past - 1), past + 1),
                  position_ids=np.array([[past], [past - 2]], np.int64))
    for n in names:
        inputs[n] = r.standard_normal((2, heads, past, size)).astype(np.float32)

    def run(m, input_ids, attention_mask, position_ids, **kv):
        cache = DynamicCache([(kv[f"past_key_{i}"], kv[f"past_value_{i}"]) for i in range(layers)])
        out = m(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True)
        result = dict(logits=out.logits)
        for i, layer in enumerate(out.past_key_values.layers):
            result[f"present_key_{i}"], result[f"present_value_{i}"] = layer.keys, layer.values
        return result

    return model, inputs, run


PAST_AXES = dict({"input_ids": {0: "batch"}, "attention_mask": {0: "batch", 1: "total"}, "position_ids": {0: "batch"}},
                 **{f"past_{kv}_{i}": {0: "batch", 2: "past"} for i in range(2) for kv in ("key", "value")})


@family("legacy", PAST_AXES)
def llama_past(t):
    model = t.LlamaForCausalLM(t.LlamaConfig(**dict(DECODER, use_cache=True), num_key_value_heads=2, tie_word_embeddings=True))
    return decode_step(model, 2, 2, 8, 6)


@family("dynamo")
def gpt2_past(t):
    model = t.GPT2LMHeadModel(t.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=4, n_inner=48, bos_token_id=1, eos_token_id=2))
    return decode_step(model, 2, 4, 8, 6)


# ---- vision ----
@family("legacy", {"pixel_values": {0: "batch"}}, attention="sdpa")
def vit(t):
    return t.ViTForImageClassification(t.ViTConfig(**VISION, num_labels=10)), dict(pixel_values=normal((2, 3, 32, 32))), ["logits"]


@family("dynamo")
def clip(t):
    text = dict(TEXT, max_position_embeddings=16, bos_token_id=1, eos_token_id=95, pad_token_id=0)
    model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24))
    ids, mask = tokens((2, 8), 95), mask_of([8, 5], 8)
    ids[0, 7] = ids[1, 4] = 95
    return model, dict(input_ids=ids, pixel_values=normal((2, 3, 32, 32)), attention_mask=mask), \
        ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]


@family("legacy")
def detr(t):
    """A ResNet with frozen batch norms, sine positions of the pixel mask, object queries."""
    backbone = t.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 2], layer_type="bottleneck", out_features=["stage2"])
    model = t.DetrForObjectDetection(t.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_ffn_dim=48, num_queries=7, num_labels=5))
    mask = np.ones((1, 48, 64), np.int64)
    mask[:, :, 56:] = 0
    return model, dict(pixel_values=normal((1, 3, 48, 64)), pixel_mask=mask), ["logits", "pred_boxes"]


# ---- sound ----
@family("legacy", {"input_values": {0: "batch", 1: "samples"}})
def wav2vec2(t):
    """Seven convolutions over raw samples with a group norm, a grouped positional convolution, CTC head."""
    model = t.Wav2Vec2ForCTC(t.Wav2Vec2Config(
        vocab_size=24, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, num_feat_extract_layers=7, mask_time_prob=0.0))
    return model, dict(input_values=normal((2, 4000))), ["logits"]


@family("dynamo", attention="eager")
def clap(t):
    """A Swin transformer with shifted windows over a mel spectrogram, and a RoBERTa."""
    text = dict(TEXT, type_vocab_size=1, pad_token_id=1, projection_dim=24)
    audio = dict(window_size=4, num_mel_bins=16, spec_size=64, patch_size=4, patch_stride=[4, 4], num_classes=8, hidden_size=32, projection_dim=24,
                 depths=[2, 2], num_attention_heads=[2, 4], patch_embeds_hidden_size=16, num_hidden_layers=2, enable_fusion=False, aff_block_r=2)
    model = t.ClapModel(t.ClapConfig(text_config=text, audio_config=audio, projection_dim=24))
    ids, mask = tokens((2, 7)), mask_of([7, 4], 7)
    ids[mask == 0] = 1
    return model, dict(input_ids=ids, input_features=normal((2, 1, 240, 16)), attention_mask=mask), \
        ["logits_per_audio", "logits_per_text", "text_embeds", "audio_embeds"]


# ---- vision and language ----
@family("legacy")
def llava(t):
    """A CLIP vision tower, a projector, and a LLaMA whose image tokens are replaced by what it gives."""
    vision = t.CLIPVisionConfig(**VISION)
    text = t.LlamaConfig(**DECODER, num_key_value_heads=2)
    model = t.LlavaForConditionalGeneration(t.LlavaConfig(vision_config=vision, text_config=text, image_token_index=95, image_token_id=95,
                                                          vision_feature_layer=-2, vision_feature_select_strategy="default"))
    ids = tokens((1, 24), 95)
    ids[:, 3:19] = 95
    return model, dict(input_ids=ids, pixel_values=normal((1, 3, 32, 32)), attention_mask=np.ones((1, 24), np.int64)), ["logits"]


@family("legacy")
def blip(t):
    """A ViT whose states the text decoder attends to, with token logits."""
    text = dict(TEXT, encoder_hidden_size=32, bos_token_id=1, eos_token_id=2, pad_token_id=0, sep_token_id=2, use_cache=False, is_decoder=True)
    model = t.BlipForConditionalGeneration(t.BlipConfig(text_config=text, vision_config=VISION, projection_dim=24, image_text_hidden_size=24))
    return model, dict(pixel_values=normal((2, 3, 32, 32)), input_ids=tokens((2, 6)), attention_mask=mask_of([6, 4], 6)), ["logits", "last_hidden_state"]


@family("legacy")
def fuyu(t):
    """Image patches go through one linear layer into the decoder's stream, at the placeholder tokens."""
    text = dict(DECODER, model_type="persimmon", partial_rotary_factor=0.5, hidden_act="relu2", qk_layernorm=True)
    model = t.FuyuForCausalLM(t.FuyuConfig(**DECODER, image_size=24, patch_size=8, num_channels=3, text_config=text, image_token_id=95,
                                           hidden_act="relu2", partial_rotary_factor=0.5))
    ids = tokens((1, 16), 95)
    ids[:, 1:10] = 95
    return model, dict(input_ids=ids, image_patches=normal((1, 9, 192)), attention_mask=np.ones((1, 16), np.int64)), ["logits"]


# ---- export ----
def seeded(maker, attention):
    """Weights from the seed, moved away from the initial zeros and ones so that each of them matters."""
    import torch
    import transformers
    torch.manual_seed(SEED)
    model, inputs, outputs = maker(transformers)
    model = model.eval()
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation(attention)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn_like(p) * 0.08)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.add_(torch.randn_like(b) * 0.1)
            if name.endswith("running_var"):
                b.add_(torch.rand_like(b))
    return model, inputs, outputs


def wrap(model, inputs, outputs):
    """The exported function: positional tensors in, a tuple out. forward() is written out because the
    exporters name inputs and match dynamic shapes by its parameters."""
    import torch

    def call(m, **kw):
        if callable(outputs):
            return tuple(outputs(m, **kw).values())
        result = m(**kw, return_dict=True)
        return tuple(getattr(result, o) for o in outputs)

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

    scope = {"call": call}
    exec(f"def forward(self, {', '.join(inputs)}):\n    return call(self.model, {', '.join(f'{n}={n}' for n in inputs)})", scope)
    Wrapped.forward = scope["forward"]
    return Wrapped().eval()


def export(wrapped, args, names, outputs, dynamic, style, path):
    import torch
    if style == "legacy":
        torch.onnx.export(wrapped, args, path, input_names=names, output_names=outputs, opset_version=LEGACY_OPSET, dynamo=False,
                          dynamic_axes={n: a for n, a in dynamic.items() if n in names}, do_constant_folding=True)
    else:
        shapes = {n: {a: torch.export.Dim.DYNAMIC for a in dynamic[n]} if n in dynamic else None for n in names} if dynamic else None
        torch.onnx.export(wrapped, args, path, input_names=names, output_names=outputs, opset_version=DYNAMO_OPSET, dynamo=True,
                          dynamic_shapes=shapes, external_data=False, verbose=False)


def shorten(graph, keep, short):
    """Node names and the names that only nodes see, in sub-graphs too."""
    import onnx
    inner = []
    for n in graph.node:
        for o in n.output:
            if o and o not in keep:
                short[o] = f"v{len(short)}"
        n.name = ""
        n.doc_string = ""
        del n.metadata_props[:]
        for a in n.attribute:
            a.doc_string = ""
            inner += [a.g] if a.type == onnx.AttributeProto.GRAPH else []
    for g in inner:
        shorten(g, keep, short)
        for v in list(g.output):
            v.name = short.get(v.name, v.name)
    for n in graph.node:
        for side in (n.input, n.output):
            for i, x in enumerate(side):
                side[i] = short.get(x, x)


def strip(path):
    """Drops the exporter's notes (paths of this machine) and shortens names, so that a rerun gives the
    same bytes."""
    import onnx
    m = onnx.load(path)
    del m.graph.value_info[:]
    del m.metadata_props[:]
    del m.graph.metadata_props[:]
    m.doc_string = m.graph.doc_string = ""
    m.graph.name = "main"
    names = {}
    for i, w in enumerate(m.graph.initializer):
        names[w.name] = f"w{i}"
        w.name = names[w.name]
        w.doc_string = ""
        del w.metadata_props[:]
    for n in m.graph.node:
        for i, x in enumerate(n.input):
            n.input[i] = names.get(x, x)
    keep = {v.name for v in list(m.graph.input) + list(m.graph.output)} | set(names.values())
    shorten(m.graph, keep, {})
    for v in list(m.graph.input) + list(m.graph.output):
        v.doc_string = ""
        del v.metadata_props[:]
    onnx.checker.check_model(m, full_check=True)
    with open(path, "wb") as f:
        f.write(m.SerializeToString(deterministic=True))
    return m


def write_tensors(folder, kind, arrays):
    import onnx.numpy_helper
    for i, (name, x) in enumerate(arrays.items()):
        with open(os.path.join(folder, f"{kind}_{i}.pb"), "wb") as f:
            f.write(onnx.numpy_helper.from_array(x, name).SerializeToString(deterministic=True))


def worst_of(got, want):
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"shape {a.shape} instead of {b.shape}")
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)))
    return worst


def make(name, folder, style=None):
    import onnxruntime
    import torch
    maker, usual, dynamic, attention = FAMILIES[name]
    style = style or usual
    model, inputs, outputs = seeded(maker, attention)
    args = tuple(torch.from_numpy(x) for x in inputs.values())
    wrapped = wrap(model, inputs, outputs)
    with torch.no_grad():
        names = list(outputs(model, **dict(zip(inputs, args)))) if callable(outputs) else outputs
        want = {n: x.contiguous().numpy() for n, x in zip(names, wrapped(*args))}
        shutil.rmtree(folder, ignore_errors=True)
        data = os.path.join(folder, "test_data_set_0")
        os.makedirs(data)
        path = os.path.join(folder, "model.onnx")
        export(wrapped, args, list(inputs), names, dynamic, style, path)
    m = strip(path)
    if [v.name for v in m.graph.input] != list(inputs):
        raise ValueError(f"the export's inputs are {[v.name for v in m.graph.input]}")
    write_tensors(data, "input", inputs)
    write_tensors(data, "output", want)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = worst_of(session.run(names, inputs), want.values())
    if not worst <= TOLERANCE or not all(np.isfinite(x).all() for x in want.values()):
        raise ValueError(f"onnxruntime differs from PyTorch by {worst:.2e} of the largest value")
    counts = collections.Counter()
    count_ops(m.graph, counts)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(folder) for f in fs)
    opset = {o.domain or "ai.onnx": o.version for o in m.opset_import}
    return dict(style=style, opset=opset, bytes=size, worst=worst, nodes=sum(counts.values()), operators=dict(sorted(counts.items())))


def count_ops(graph, counts):
    for n in graph.node:
        counts[(n.domain + "." if n.domain else "") + n.op_type] += 1
        for a in n.attribute:
            if a.HasField("g"):
                count_ops(a.g, counts)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", default=os.path.join(ROOT, "tests", "data", "families"))
    ap.add_argument("--style", choices=("legacy", "dynamo"))
    ap.add_argument("--report")
    args = ap.parse_args()
    warnings.filterwarnings("ignore")
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    report, failed = {}, 0
    for name in args.names or FAMILIES:
        try:
            r = report[name] = make(name, os.path.join(args.out, name), args.style)
            print(f"{name}: {r['style']}, opset {r['opset']}, {r['nodes']} nodes, {r['bytes']} bytes, onnxruntime within {r['worst']:.1e}", flush=True)
        except Exception as e:
            failed += 1
            shutil.rmtree(os.path.join(args.out, name), ignore_errors=True)
            print(f"{name}: {type(e).__name__}: {str(e)[:600]}", file=sys.stderr, flush=True)
            if os.environ.get("TRACE"):
                traceback.print_exc()
    if args.report:
        with open(args.report, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
            f.write("\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
