#!/usr/bin/env python3
"""Checks that llama.cpp loads the adapters that `hearth-forge export --format gguf-adapter` writes, and computes with them what the
merged model computes.

    check_llama_cpp.py --forge build/test/apps/hearth-forge/hearth-forge --bin LLAMA_CPP/bin [--model BASE --adapter PEFT_DIR]

Without a model: the tiny ones of ../convert with this folder's adapters. For each
  1. llama-export-lora merges base and adapter; its tensors must be those of `export --merge` within F16's rounding;
  2. llama-completion writes the same greedy text from base + --lora as from our merged file;
  3. the adapter does something: the base alone writes another text, or its tensors differ."""

import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def read_tensors(path):
    """Name -> list of floats, of a GGUF file's F32 and F16 tensors."""
    data = pathlib.Path(path).read_bytes()
    at = 8

    def take(code):
        nonlocal at
        value = struct.unpack_from("<" + code, data, at)[0]
        at += struct.calcsize(code)
        return value

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size : at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            element, count = take("I"), take("Q")
            return [value(element) for _ in range(count)]
        return take(SCALARS[kind])

    num_tensors, num_keys = take("Q"), take("Q")
    keys = {}
    for _ in range(num_keys):
        key = text()
        keys[key] = value(take("I"))
    infos = []
    for _ in range(num_tensors):
        name = text()
        shape = [take("Q") for _ in range(take("I"))]
        infos.append((name, shape, take("I"), take("Q")))
    alignment = keys.get("general.alignment", 32)
    begin = (at + alignment - 1) // alignment * alignment
    tensors = {}
    for name, shape, kind, offset in infos:
        count = 1
        for extent in shape:
            count *= extent
        code = {0: "f", 1: "e"}.get(kind)
        if code:
            tensors[name] = struct.unpack_from(f"<{count}{code}", data, begin + offset)
    return tensors


def largest_difference(a, b):
    """Relative to the tensor's own largest value, over the tensors that both have as floats."""
    worst, where = 0.0, "nothing"
    for name in a.keys() & b.keys():
        size = max(map(abs, a[name])) or 1.0
        difference = max(abs(x - y) for x, y in zip(a[name], b[name])) / size
        if difference >= worst:
            worst, where = difference, name
    return worst, where


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, errors="replace")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def check(name, model, adapter, options, folder):
    export = [options.forge, "export", "--force", "--model", model]
    run(*export, "--format", "gguf", "--type", "f32", "--output", folder / "base.gguf")
    run(*export, "--adapter", adapter, "--format", "gguf-adapter", "--output", folder / "lora.gguf")
    run(*export, "--adapter", adapter, "--merge", "--format", "gguf", "--type", "f32", "--output", folder / "merged.gguf")
    run(options.bin / "llama-export-lora", "-m", folder / "base.gguf", "--lora", folder / "lora.gguf", "-o", folder / "theirs.gguf")
    ours = read_tensors(folder / "merged.gguf")
    difference, where = largest_difference(ours, read_tensors(folder / "theirs.gguf"))
    change, changed = largest_difference(ours, read_tensors(folder / "base.gguf"))

    def complete(*model_options):
        fixed = ["-p", "The hearth", "-n", "24", "--temp", "0", "--seed", "1", "-no-cnv", "--no-display-prompt", "-t", "2"]
        return run(options.bin / "llama-completion", *model_options, *fixed)

    applied = complete("-m", folder / "base.gguf", "--lora", folder / "lora.gguf")
    merged = complete("-m", folder / "merged.gguf")
    plain = complete("-m", folder / "base.gguf")
    print(f"{name}: merged tensors within {difference:.1e} of llama-export-lora's ({where}); the adapter changes {changed} by {change:.1e}")
    print(f"{name}: greedy text applied {'=' if applied == merged else '!='} merged, {'!=' if applied != plain else '='} base alone")
    return difference < 1e-3 < change and applied == merged


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forge", type=pathlib.Path, required=True)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--adapter", type=pathlib.Path)
    options = parser.parse_args()
    agreed = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        if options.model:
            cases = [(options.model.name, options.model, options.adapter)]
        else:
            cases = []
            for name in ("llama", "qwen2"):
                shutil.copytree(HERE / name, folder / name)
                config = json.loads((folder / name / "adapter_config.json").read_text())
                config["alora_invocation_tokens"] = None  # a plain one, so that it can be merged
                (folder / name / "adapter_config.json").write_text(json.dumps(config))
                cases.append((name, HERE.parent / "convert" / name, folder / name))
        for case in cases:
            agreed = check(*case, options, folder) and agreed
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
