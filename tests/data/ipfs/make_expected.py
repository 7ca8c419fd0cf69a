#!/usr/bin/env python3
"""Makes expected.txt: the CIDs that a real Kubo gives to the trees of cases.txt.

usage: make_expected.py KUBO_BINARY      (v0.43.0 made the committed file; needs openssl on the path)
"""
import hashlib, os, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
kubo = os.path.abspath(sys.argv[1])
PROFILE = {"v1": ["--profile=test,unixfs-v1-2025"], "v0": ["--profile=test,unixfs-v0-2015"], "k1": ["--profile=test"]}


def chacha(seed, size):
    key = hashlib.sha256(seed.encode()).hexdigest()
    return subprocess.run(["openssl", "enc", "-chacha20", "-K", key, "-iv", "0" * 32], input=bytes(size),
                          stdout=subprocess.PIPE, check=True).stdout[:size]


def make(root, lines):
    for words in lines:
        path = os.path.normpath(os.path.join(root, words[1].replace("%20", " ")))
        os.makedirs(path if words[0] == "dir" else os.path.dirname(path), exist_ok=True)
        if words[0] == "file":
            open(path, "wb").write(chacha(words[3], int(words[2])))
        elif words[0] == "zero":
            with open(path, "wb") as f:
                f.truncate(int(words[2]))
        elif words[0] == "many":
            for i in range(int(words[2])):
                open(path + str(i), "wb").write(b"x")
        elif words[0] == "link":
            os.symlink(words[2], path)


cases = []
for line in open(here + "/cases.txt", encoding="utf-8"):
    words = line.split()
    if words and not line.startswith("#"):
        cases.append((words, [])) if words[0] == "case" else cases[-1][1].append(words)
work = tempfile.mkdtemp()
with open(here + "/expected.txt", "w", encoding="utf-8") as out:
    for (_, name, profile, flags), lines in cases:
        env = dict(os.environ, IPFS_PATH=f"{work}/repo-{profile}", IPFS_TELEMETRY="off")
        if not os.path.isdir(env["IPFS_PATH"]):
            subprocess.run([kubo, "init", *PROFILE[profile]], env=env, check=True, stdout=subprocess.DEVNULL)
        tree = f"{work}/{name}"
        make(tree, lines)
        args = [kubo, "add", "-r", "-n", "-Q"] + (["--hidden"] if flags == "hidden" else []) + (["--cid-version=1"] if profile == "k1" else [])
        cid = subprocess.run(args + [tree], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        out.write(f"{name} {cid}\n")
        shutil.rmtree(tree) if os.path.isdir(tree) else os.remove(tree)
shutil.rmtree(work)
