#!/usr/bin/env python3
"""Makes tests/fixtures/tokenizer: lines of text and the ids that Hugging Face `tokenizers` gives them.

usage: PYTHON tools/make_tokenizer_fixture.py MODEL_DIR     (PYTHON has tokenizers; MODEL_DIR a BERT tokenizer.json)

l6.bin: 10,000 lines under MODEL_DIR's vocabulary. small.json, cased.json: cut-down tokenizers with every
kind of added token, and their lines in small.bin, cased.bin. Seeded: the same library gives the same files.

A .bin is a list of records of LEB128 numbers and bytes: length limit (0: none), bytes of A, A, 1 if a
pair follows, [bytes of B, B], count of ids, ids, [type ids].
"""
import json, os, random, sys
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(HERE, "tests/fixtures/tokenizer")
R = random.Random(20261124)

SCRIPTS = [(0x41, 0x7A), (0xC0, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F),
           (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x7BF), (0x7C0, 0x8FF), (0x900, 0x97F), (0x980, 0xDFF), (0xE01, 0xE5B),
           (0xE80, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x16FF),
           (0x1700, 0x18AF), (0x1900, 0x1AFF), (0x1B00, 0x1CFF), (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2C00, 0x2DFF),
           (0x3040, 0x30FF), (0x3105, 0x318F), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
           (0xFB00, 0xFDFF), (0xFE70, 0xFFEF), (0x10000, 0x10FFF), (0x11000, 0x11FFF), (0x12000, 0x123FF), (0x16800, 0x16FFF),
           (0x1D165, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E000, 0x1EFFF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBE0), (0x2F800, 0x2FA1F)]
MARKS = [(0x300, 0x36F), (0x483, 0x487), (0x591, 0x5BD), (0x64B, 0x65F), (0x93C, 0x94D), (0xE34, 0xE3A), (0x1AB0, 0x1ACE),
         (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x302A, 0x302F), (0xFE20, 0xFE2F), (0x1D165, 0x1D169), (0x1E000, 0x1E02A)]
WHITE = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2000\u2002\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff\u180e\x1c\x1d\x1e\x1f"
CONTROLS = "".join(map(chr, [0, 1, 7, 8, 0x1b, 0x7f, 0x80, 0x9f, 0xad, 0x61c, 0x200c, 0x200d, 0x200e, 0x200f, 0x202a, 0x202e, 0x2066,
                             0x2069, 0xfe0f, 0xfffc, 0xfffd, 0xfffe, 0xe0001, 0xe007f, 0xe0100]))
EMOJI = ["😀", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏽", "❤️", "1️⃣", "☃", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠", "🪿", "©", "™", "→", "𝄞"]
SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[cls]", "[MASK", "CLS]", "[ SEP ]", "[[CLS]]", "##ing", "##", "[unused1]"]
CODE = ["int main(void){return 0;}", "a[i]+=b->c;", "x = {'k': [1, 2]}", "#include <stdio.h>", "$ ls -la | grep x", "f(x)=>x**2", "<p class=\"a\">", "0xDEADBEEF",
        "C:\\Users\\me", "https://example.org/a?b=c&d=%20#e", "user@example.com", "snake_case_name", "camelCaseName", "v1.2.3-rc4", "1,234,567.89", "--no-cache", "~/.bashrc"]


def pick(r):
    while True:
        c = R.randint(*r)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def word(words):
    w = R.choice(words)
    return R.choice([w, w, w, w.capitalize(), w.upper(), w + R.choice(words), w + R.choice("'-.,!?;:")])


def line(words, kind):
    k = kind % 20
    n = R.randint(1, 8)
    if k < 5:
        return " ".join(word(words) for _ in range(n))
    if k == 5:
        r = R.choice(SCRIPTS)
        return "".join(pick(r) + (" " if R.random() < .15 else "") for _ in range(R.randint(1, 14)))
    if k == 6:
        return "".join(pick(R.choice(SCRIPTS)) for _ in range(R.randint(1, 9)))
    if k == 7:
        return "".join(R.choice("aeioucnsyAEOZ가각") + "".join(pick(R.choice(MARKS)) for _ in range(R.randint(0, 4))) for _ in range(R.randint(1, 4)))
    if k == 8:
        return "".join(R.choice(EMOJI) + R.choice(["", " ", "a"]) for _ in range(R.randint(1, 3)))
    if k == 9:
        return "".join(R.choice(words) + R.choice(WHITE) for _ in range(R.randint(1, 4)))
    if k == 10:
        w = R.choice(words)
        at = R.randint(0, len(w))
        return w[:at] + R.choice(CONTROLS) + w[at:] + R.choice(["", " " + R.choice(CONTROLS)])
    if k == 11:
        return R.choice(["", " ", "x"]).join(R.choice([R.choice(SPECIAL), R.choice(words)]) for _ in range(R.randint(1, 4)))
    if k == 12:
        return R.choice(CODE) + R.choice(["", " ", "\t"]) + R.choice(CODE + words)
    if k == 13:
        return "".join(R.choice(words + [pick((0x4E00, 0x9FFF)), pick((0x3040, 0x30FF)), pick((0xAC00, 0xD7A3))]) for _ in range(R.randint(1, 5)))
    if k == 14:  # any code point, unassigned and private use with it
        return "".join(pick((0, 0x10FFFF)) if R.random() < .4 else pick((0, 0xFFFF)) for _ in range(R.randint(1, 5)))
    if k == 15:
        return "".join(R.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡§«»¿‐–—‘’“”…‰′※、。「」！＂（）") + R.choice(["", "a", " "]) for _ in range(R.randint(1, 8)))
    if k == 16:
        return "".join(R.choice(["é", "É", "ß", "İ", "ı", "Σ", "ς", "ﬁ", "Ǆ", "ǅ", "Å", "Å", "Ω", "ñ", "Ñ", "ü", "ơ", "ệ", "Ặ", "각", "ᄀ", "ᅡ", "ᆨ", "が", "ガ", "Ж", "й", "Й", "ё"]) for _ in range(R.randint(1, 8)))
    if k == 17:
        return R.choice(["naïve café", "Straße", "ΑΛΦΑ ωμέγα", "Привет, мир", "שלום עולם", "مرحبا بالعالم", "สวัสดีชาวโลก", "नमस्ते दुनिया", "こんにちは世界", "안녕하세요 세계", "你好，世界！",
                         "გამარჯობა", "ជំរាបសួរ", "ສະບາຍດີ", "བཀྲ་ཤིས", "Xin chào thế giới", "ሰላም ልዑል", "வணக்கம்", "నమస్కారం", "မင်္ဂလာပါ"]) + " " + R.choice(words)
    if k == 18 and kind % 400 == 18:
        return "".join(R.choice(words) for _ in range(R.randint(10, 40)))[:R.choice([99, 100, 101, 150])] + R.choice(["", " end"])
    if k == 18:
        return R.choice(words) + str(R.randint(0, 10**R.randint(1, 12))) + R.choice(words)
    return "".join(R.choice([pick((0x20, 0x7E)), pick((0xA0, 0x2FF)), pick((0x2000, 0x2BFF)), " "]) for _ in range(R.randint(1, 12)))


def broken(words):
    b = bytearray(line(words, R.randint(0, 19)).encode())
    for _ in range(R.randint(1, 3)):
        b.insert(R.randint(0, len(b)), R.choice([0x80, 0xBF, 0xC0, 0xC3, 0xE2, 0xED, 0xA0, 0xF0, 0x9F, 0xF4, 0x90, 0xFF]))
    return bytes(b)


def leb(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def record(t, a, b=None, limit=0):
    t.no_padding()
    if limit:
        t.enable_truncation(limit)
    else:
        t.no_truncation()
    text = [x.decode("utf-8", "replace") for x in ([a] if b is None else [a, b])]
    e = t.encode(*text)
    out = leb(limit) + leb(len(a)) + a
    out += b"\x00" if b is None else b"\x01" + leb(len(b)) + b
    out += leb(len(e.ids)) + b"".join(map(leb, e.ids))
    return out if b is None else out + bytes(e.type_ids)


def records(t, words, count):
    out = []
    for i in range(count):
        a = line(words, i).encode()
        if i % 100 == 1:
            out.append(record(t, broken(words)))
        elif i % 50 == 3:
            out.append(record(t, a, line(words, R.randint(0, 19)).encode(), R.choice([0, 0, 3, 5, 8, 9, 16])))
        elif i % 50 == 4:
            out.append(record(t, a, None, R.choice([2, 3, 5, 8])))
        else:
            out.append(record(t, a))
    return b"".join(out)


def cut(spec, words, bert):
    spec = json.loads(json.dumps(spec))
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(c) for c in range(33, 127)] + ["##" + chr(c) for c in range(97, 123)]
    vocab += [w for w in words if w not in vocab] + ["##ing", "##ed", "##s", "##er", "é", "ж", "你", "好", "##ж", "и", "##и", "가", "ᄀ", "##ᅡ", "!", "…"]
    vocab = list(dict.fromkeys(vocab))
    spec["model"]["vocab"] = {w: i for i, w in enumerate(vocab)}
    spec["normalizer"].update(bert)
    for a in spec["added_tokens"]:
        a["id"] = vocab.index(a["content"])
    post = spec["post_processor"]
    for k, v in post["special_tokens"].items():
        v["ids"] = [vocab.index(k)]
    spec["padding"] = spec["truncation"] = None
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    more = [("<left>", dict(lstrip=True, special=True)), ("<right>", dict(rstrip=True)), ("<both>", dict(lstrip=True, rstrip=True)), ("whole", dict(single_word=True)),
            ("Normal", dict(normalized=True)), ("Ünï", dict(normalized=True, single_word=True)), ("wholesome", dict()), ("a b", dict(normalized=True, lstrip=True)), ("好吧", dict(normalized=True))]
    for text, on in more:
        spec["added_tokens"].append({"id": len(vocab), "content": text, **{**flags, **on}})
        vocab.append(text)
    return spec


def main():
    os.makedirs(OUT, exist_ok=True)
    source = os.path.join(sys.argv[1], "tokenizer.json")
    spec = json.load(open(source))
    t = Tokenizer.from_file(source)
    vocab = spec["model"]["vocab"]
    words = [w for w in vocab if w.isascii() and w.isalpha() and len(w) > 1][:6000]
    files = {"l6.bin": records(t, words, 10000)}
    few = R.sample(words[:2000], 150)
    for name, bert in (("small", {}), ("cased", dict(lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False))):
        s = cut(spec, few, bert)
        files[name + ".json"] = (json.dumps(s, ensure_ascii=False, indent=None) + "\n").encode()
        global SPECIAL
        keep = SPECIAL
        SPECIAL = keep + ["<left>", " <left> ", "<right>", "<right>\u3000 ", " \t<both>\n", "<both>", "whole", "wholesome", " whole ", "éwhole", "Normal", "normal", "NORMAL", "ünï", "Üni", "a b", " A B", "好吧", "a", " "]
        t = Tokenizer.from_str(json.dumps(s))
        files[name + ".bin"] = records(t, few + SPECIAL[13:], 1500 if name == "small" else 800)
        SPECIAL = keep
    for name, data in files.items():
        with open(os.path.join(OUT, name), "wb") as f:
            f.write(data)
        print(name, len(data))


main()
