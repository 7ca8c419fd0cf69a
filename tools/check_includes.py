#!/usr/bin/env python3
"""Enforces the dependency law of docs/ARCHITECTURE.md: which folder may include which.

usage: tools/check_includes.py      exits 1 naming each include that breaks the law.
"""
import glob, os, re, sys

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAY = {
    "base": "", "net": "base", "ipfs": "base net", "graph": "base", "import": "base graph", "opt": "base graph",
    "plan": "base graph kernels", "kernels": "base", "run": "base plan", "cpu": "base plan run kernels",
    "browser": "base net", "bridge": "base net plan run browser cpu", "task": "base plan run", "results": "base", "program": "base graph opt plan kernels run",
    "api": "base net ipfs graph import opt plan kernels run program cpu browser bridge task results",
}
# plan.h shows graph.h and kernels.h to those who include it; only these headers may be named directly.
ONLY = {("plan", "kernels"): {"kernels.h"}}
NO_SYSTEM = {"graph", "import", "opt", "plan", "kernels", "program", "task"}  # no sockets, files or threads of their own
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|strtok|atoi|gets|alloca)\s*\(")
bad = []
for path in sorted(glob.glob(root + "/src/*/*.[ch]") + glob.glob(root + "/cli/*.[ch]") + glob.glob(root + "/examples/*.c")):
    rel = os.path.relpath(path, root)
    here = rel.split("/")[1] if rel.startswith("src/") else "cli"
    text = open(path, encoding="utf-8").read()
    for n, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m and "/" in m.group(1):
            folder, name = m.group(1).split("/", 1)
            if folder == "webaccel" or folder == here:
                pass
            elif here == "cli":
                if not rel.startswith("cli/") or folder != "cli":
                    bad.append(f"{rel}:{n}: only the public API may be included, not {m.group(1)}")
            elif here not in MAY:
                bad.append(f"{rel}:{n}: folder {here} is not in the law")
            elif folder not in MAY[here].split() or name not in ONLY.get((here, folder), {name}):
                bad.append(f"{rel}:{n}: {here} may not include {m.group(1)}")
            if here in NO_SYSTEM and m.group(1) == "base/os.h":
                bad.append(f"{rel}:{n}: {here} uses no files: base/os.h is not for it")
        m = re.match(r"\s*#\s*include\s+<(sys/|unistd|fcntl|netinet|arpa|signal|pthread)", line)
        if m and here in NO_SYSTEM:
            bad.append(f"{rel}:{n}: {here} uses no operating system of its own: {line.strip()}")
        m = BANNED.search(re.sub(r'"(\\.|[^"\\])*"', '""', line.split("//")[0]))
        if m and not line.lstrip().startswith("*"):
            bad.append(f"{rel}:{n}: {m.group(1)} is banned (docs/ARCHITECTURE.md)")
if bad:
    sys.exit("\n".join(bad))
