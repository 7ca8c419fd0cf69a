#!/usr/bin/env python3
"""Writes tests/unit/narrow_tables.h: what ml_dtypes says of every code of the small floats, and of
rounding to them. usage: python tools/make_narrow_tables.py > tests/unit/narrow_tables.h"""
import ml_dtypes
import numpy as np

KINDS = [("F8E4M3FN", "float8_e4m3fn", 256), ("F8E4M3FNUZ", "float8_e4m3fnuz", 256), ("F8E5M2", "float8_e5m2", 256),
         ("F8E5M2FNUZ", "float8_e5m2fnuz", 256), ("F8E8M0", "float8_e8m0fnu", 256), ("F4E2M1", "float4_e2m1fn", 16)]


def rows(name, kind, values, width, per):
    print(f"static const {kind} {name}[] = {{")
    for i in range(0, len(values), per):
        print("    " + " ".join(f"0x{v:0{width}x}," for v in values[i : i + per]))
    print("};")


print("/* Written by tools/make_narrow_tables.py with ml_dtypes. Small floats: the f32 bits of every code (NaN as")
print(" * 7fc00000), and the code of each of rounding_inputs (f32 bits) without saturation. */")
print("#include <stdint.h>")
for ours, theirs, count in KINDS:
    f = np.arange(count, dtype=np.uint8).view(getattr(ml_dtypes, theirs)).astype(np.float32)
    bits = f.view(np.uint32).copy()
    bits[np.isnan(f)] = 0x7FC00000
    rows(f"codes_{ours}", "uint32_t", bits.tolist(), 8, 8)
rng = np.random.default_rng(7)
near = []
for _, theirs, count in KINDS[:4] + KINDS[5:]:  # every midpoint of two neighbours, and just beside it
    f = np.arange(count // 2, dtype=np.uint8).view(getattr(ml_dtypes, theirs)).astype(np.float32)
    f = f[np.isfinite(f)]
    mid = ((f[:-1] + f[1:]) / 2).astype(np.float32)
    pick = mid[:: max(1, len(mid) // 24)]
    near += [pick, np.nextafter(pick, np.float32(np.inf)), -np.nextafter(pick, np.float32(0))]
x = np.concatenate(near + [rng.normal(0, 30, 60).astype(np.float32), np.array([0, -0.0, np.inf, -np.inf, np.nan, 448, 464, 465, 480, -1e6, 61440, 61439, 240, 248, 57344, 1e-9], np.float32)]).astype(np.float32)
rows("rounding_inputs", "uint32_t", x.view(np.uint32).tolist(), 8, 8)
with np.errstate(all="ignore"):
    for ours, theirs, _ in KINDS[:4] + KINDS[5:]:
        rows(f"rounded_{ours}", "uint8_t", x.astype(getattr(ml_dtypes, theirs)).view(np.uint8).tolist(), 2, 20)
