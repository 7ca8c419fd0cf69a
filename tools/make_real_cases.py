#!/usr/bin/env python3
"""Writes what onnxruntime computes with the real models, as ONNX backend test data.

usage: tools/make_real_cases.py small [--deps DIR]    the committed cases, tests/data/real/CASE/test_data_set_*
       tools/make_real_cases.py full  [--deps DIR]    more and larger ones beside the models, after the
                                                      committed ones that tools/fetch_models.sh put there

Cases: ppocr/{det,rec,cls} (PP-OCRv4 on a rendered line of text and on noise, at several sizes; the model's
shapes are dynamic) and silero/vad (chunks of a speech-like signal, of noise and of silence, the state of
each chunk being what onnxruntime gave for the one before; 16 and 8 kHz, one branch of its If each).
Needs numpy, onnx, onnxruntime, and the models under DIR/models (build/deps).
"""
import argparse
import os
import re
import shutil
import sys

import numpy as np
import onnx.numpy_helper
import onnxruntime

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMITTED = os.path.join(ROOT, "tests", "data", "real")
CASES = ("ppocr/det", "ppocr/rec", "ppocr/cls", "silero/vad")
SEED = 20261124
# 5 x 7 letters, a row a hexadecimal pair
FONT = {"A": "0e11111f111111", "B": "1e11111e11111e", "C": "0e11101010110e", "D": "1e11111111111e", "E": "1f10101e10101f", "G": "0e11101711110f",
        "H": "1111111f111111", "I": "0e04040404040e", "L": "1010101010101f", "M": "111b1515111111", "N": "11191513111111", "O": "0e11111111110e",
        "P": "1e11111e101010", "R": "1e11111e141211", "S": "0f10100e01011e", "T": "1f040404040404", "U": "1111111111110e", "W": "11111115151b11",
        "0": "0e11131519110e", "2": "0e11010204081f", "4": "02060a121f0202", "6": "0608101e11110e", "7": "1f010204080808", " ": "00000000000000"}


def glyphs(text):
    rows = [[int(FONT[c][2 * y:2 * y + 2], 16) for c in text] for y in range(7)]
    return np.array([[(v >> (4 - x)) & 1 if x < 5 else 0 for v in row for x in range(6)] for row in rows], np.float32)


def page(height, width, lines, scale, top=None, left=None):
    """Dark text on a light page with uneven light, edges softened as a camera would; 3 x height x width
    in [-1, 1], as PP-OCR wants it."""
    image = np.ones((height, width), np.float32)
    step = 9 * scale
    y = (height - step * len(lines)) // 2 + scale if top is None else top
    for line in lines:
        ink = np.kron(glyphs(line), np.ones((scale, scale), np.float32))
        x = max(0, (width - ink.shape[1]) // 2) if left is None else left
        ink = ink[:max(0, height - y), :width - x]
        image[y:y + ink.shape[0], x:x + ink.shape[1]] -= 0.85 * ink
        y += step
    padded = np.pad(image, 1, mode="edge")
    image = sum(padded[i:i + height, j:j + width] for i in range(3) for j in range(3)) / 9
    light = 0.95 - 0.1 * np.linspace(0, 1, width, dtype=np.float32)[None, :]
    return np.repeat(((image * light - 0.5) / 0.5)[None], 3, axis=0).astype(np.float32)


def noise(shape, seed=SEED):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def pictures(case, full):
    """The inputs of a PP-OCR model: text, and noise over the shade of a page (on noise alone detection gives
    nearly nothing, 1e-7, of which there is no comparing)."""
    murk = lambda h, w: (0.7 * page(h, w, ["RUN", "GPU"] if h > 64 else ["GPU"], max(3, h // 32))[None] + 0.3 * noise((1, 3, h, w))).astype(np.float32)
    line = lambda w, text, s=5: page(48, w, [text], s)
    if case == "ppocr/det":
        if not full:
            return [page(64, 96, ["GPU"], 4)[None], murk(32, 64)]
        text = ["WEBGPU 2026", "RUNS ALL MODELS", "IN ONE PAGE"]
        return [page(320, 480, text, 4)[None], page(640, 640, text, 6)[None], murk(224, 352), page(736, 736, text, 7)[None]]
    if case == "ppocr/rec":
        if not full:
            return [line(32, "4")[None]]
        return [line(320, "WEBGPU 24")[None], np.stack([line(480, "ALL MODELS 2026"), line(480, "ONE PAGE 76")]), noise((1, 3, 48, 160))]
    flip = lambda x: x[:, ::-1, ::-1].copy()
    if not full:
        return [line(64, "OCR", 3)[None]]
    up = line(192, "UPRIGHT"[:5])
    return [np.stack([up, flip(up), line(192, "AGENT"), flip(line(192, "AGENT"))]), noise((2, 3, 48, 192))]


def speech(count, rate):
    """A voice of sorts: a gliding pitch with harmonics under two formants, in syllables."""
    t = np.arange(count) / rate
    pitch = 130 + 30 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [(600 + 250 * np.sin(2 * np.pi * 2.1 * t), 120.0), (1500 + 500 * np.sin(2 * np.pi * 1.7 * t), 200.0)]
    out = np.zeros(count)
    for k in range(1, 25):
        gain = sum(1 / (1 + ((k * pitch - f) / w) ** 2) for f, w in formants) + 0.02
        out += gain * np.sin(k * phase) * (k * pitch < rate / 2)
    out *= np.clip(np.sin(2 * np.pi * 3.5 * t) + 0.4, 0, 1)
    out += 0.003 * np.random.default_rng(SEED).standard_normal(count)
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def chunks(session, signal, rate, keep):
    """(inputs, outputs) of the chunks whose number is in `keep`; state and context go from chunk to chunk."""
    size, context = (512, 64) if rate == 16000 else (256, 32)
    state = np.zeros((2, 1, 128), np.float32)
    before = np.zeros((1, context), np.float32)
    sets = []
    for i in range(max(keep) + 1):
        x = np.concatenate([before, signal[None, i * size:(i + 1) * size]], axis=1)
        inputs = dict(input=x, state=state, sr=np.array(rate, np.int64))
        outputs = run(session, inputs)
        if i in keep:
            sets.append((inputs, outputs))
        state, before = outputs["stateN"], x[:, -context:]
    return sets


def run(session, inputs):
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def sets_of(case, session, full):
    if case != "silero/vad":
        name = session.get_inputs()[0].name
        return [({name: x}, run(session, {name: x})) for x in pictures(case, full)]
    hiss = lambda n: (0.05 * np.random.default_rng(SEED).standard_normal(n)).astype(np.float32)
    if not full:
        return chunks(session, speech(512 * 12, 16000), 16000, (0, 1, 9)) + chunks(session, hiss(512 * 2), 16000, (1,)) + \
            chunks(session, speech(256 * 3, 8000), 8000, (2,))
    return chunks(session, speech(512 * 24, 16000), 16000, range(24)) + chunks(session, hiss(512 * 8), 16000, range(8)) + \
        chunks(session, np.zeros(512 * 3, np.float32), 16000, range(3)) + chunks(session, speech(256 * 8, 8000), 8000, range(8))


def write(folder, first, sets, session):
    """From test_data_set_<first> on; older ones with higher numbers go. Inputs in the graph's order."""
    for d in os.listdir(folder) if os.path.isdir(folder) else []:
        m = re.fullmatch(r"test_data_set_(\d+)", d)
        if m and int(m[1]) >= first:
            shutil.rmtree(os.path.join(folder, d))
    order = [i.name for i in session.get_inputs()]
    for n, (inputs, outputs) in enumerate(sets):
        at = os.path.join(folder, f"test_data_set_{first + n}")
        os.makedirs(at)
        for kind, arrays in (("input", {k: inputs[k] for k in order}), ("output", outputs)):
            for i, (name, x) in enumerate(arrays.items()):
                with open(os.path.join(at, f"{kind}_{i}.pb"), "wb") as f:
                    f.write(onnx.numpy_helper.from_array(np.ascontiguousarray(x), name).SerializeToString(deterministic=True))


def describe(case, session, sets):
    """What the models see, in words, so that the person who runs this knows that the input is real."""
    if case == "silero/vad":
        return "speech " + " ".join(f"{o['output'].item():.2f}" for _, o in sets)
    outs = [next(iter(o.values())) for _, o in sets]
    if case == "ppocr/rec":
        letters = [""] + session.get_modelmeta().custom_metadata_map.get("character", "").splitlines() + [" "]
        read = lambda ids: "".join(letters[i] for k, i in enumerate(ids) if i and (k == 0 or ids[k - 1] != i))
        return "reads " + ", ".join(repr(read(row.argmax(-1))) for o in outs for row in o)
    if case == "ppocr/det":
        return "text on " + ", ".join(f"{(o > 0.3).mean():.1%} of {o.shape[2]}x{o.shape[3]}" for o in outs)
    return "upside down " + ", ".join(f"{row[1]:.2f}" for o in outs for row in o)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=("small", "full"))
    ap.add_argument("--deps", default=os.path.join(ROOT, "build", "deps"))
    args = ap.parse_args()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    for case in CASES:
        model = os.path.join(args.deps, "models", case, "model.onnx")
        if not os.path.exists(model):
            print(f"make_real_cases: {model} is missing: run tools/fetch_models.sh first", file=sys.stderr)
            return 77
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        full = args.what == "full"
        committed = os.path.join(COMMITTED, case)
        first = len(os.listdir(committed)) if full else 0
        sets = sets_of(case, session, full)
        write(os.path.join(args.deps, "models", case) if full else committed, first, sets, session)
        print(f"{case}: {len(sets)} sets; {describe(case, session, sets)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
