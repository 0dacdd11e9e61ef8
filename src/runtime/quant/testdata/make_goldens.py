#!/usr/bin/env python3
"""Writes goldens.txt for quant_test.cc: what gguf-py and ggml make of a few blocks.

    make_goldens.py LIBGGML_BASE_SO MODEL.gguf... > goldens.txt

Needs numpy and the gguf package. Lines, fields separated by blanks, bytes and little-endian floats in hexadecimal:
    decode TYPE SOURCE BLOCKS FLOATS   gguf-py's dequantisation of random blocks, and of a block of each type in the models
    encode TYPE SOURCE FLOATS BLOCKS   ggml's reference quantisation (gguf-py's is checked to be the same)
    rmse TYPE DATA VALUE               root mean square error of ggml's quantiser on the data that Sample() makes
"""
import ctypes
import os
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_NL]
SPANNING = [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0]
SEARCHED = [T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_NL]


def sample(kind, count):
    """The data of quant_test.cc's Sample(): sums of four 16-bit outputs of a linear congruential generator, exact floats."""
    state = 12345
    values = np.zeros(count, np.float64)
    for i in range(count):
        total = 0
        for _ in range(4):
            state = (state * 1664525 + 1013904223) % 2**32
            total += state >> 16
        values[i] = total / 65536 - 2  # near normal, within [-2, 2)
    if kind == "bell":
        return values.astype(np.float32)
    if kind == "tailed":
        return (values**3).astype(np.float32)
    if kind == "shifted":
        return (values + 1).astype(np.float32)
    raise ValueError(kind)


def ggml_quantize(ggml, qtype, x):
    block, size = gguf.GGML_QUANT_SIZES[qtype]
    out = np.zeros(x.size // block * size, np.uint8)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    ggml.ggml_quantize_chunk(int(qtype), x.ctypes.data, out.ctypes.data, 0, 1, x.size, None)
    return out


def decode(qtype, blocks):
    return quants.dequantize(blocks.reshape(1, -1), qtype).ravel().astype(np.float32)


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    rng = np.random.default_rng(20)
    for qtype in TYPES:
        block, size = gguf.GGML_QUANT_SIZES[qtype]
        count = 1 if block == 256 else 2 if block == 32 else 16
        while True:
            blocks = rng.integers(0, 256, count * size, dtype=np.uint8)
            with np.errstate(all="ignore"):
                floats = decode(qtype, blocks)
            if np.all(np.isfinite(floats)):
                break
        print("decode", qtype.name, "random", blocks.tobytes().hex(), floats.tobytes().hex())

    seen = set()
    for path in sys.argv[2:]:
        for tensor in gguf.GGUFReader(path).tensors:
            qtype = tensor.tensor_type
            if qtype in seen or qtype == T.F32:
                continue
            seen.add(qtype)
            size = gguf.GGML_QUANT_SIZES[qtype][1]
            blocks = np.ascontiguousarray(tensor.data).view(np.uint8).ravel()[:size]
            source = os.path.basename(path) + ":" + tensor.name
            print("decode", qtype.name, source, blocks.tobytes().hex(), decode(qtype, blocks).tobytes().hex())

    inputs = {
        "bell": sample("bell", 64),
        "tailed": sample("tailed", 64),
        "zeros": np.zeros(32, np.float32),
        "constant": np.full(32, -0.3, np.float32),
        "tiny": (sample("bell", 32) * np.float32(1e-9)).astype(np.float32),
    }
    for qtype in SPANNING:
        for name, x in inputs.items():
            blocks = ggml_quantize(ggml, qtype, x)
            assert np.array_equal(blocks, quants.quantize(x.reshape(1, -1), qtype).ravel()), (qtype, name)
            print("encode", qtype.name, name, x.tobytes().hex(), blocks.tobytes().hex())

    for qtype in SEARCHED:
        for kind in ("bell", "tailed", "shifted"):
            x = sample(kind, 64 * 256)
            error = decode(qtype, ggml_quantize(ggml, qtype, x)).astype(np.float64) - x
            print("rmse", qtype.name, kind, "%.9g" % np.sqrt(np.mean(error**2)))


if __name__ == "__main__":
    main()
