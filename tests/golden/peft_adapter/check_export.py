#!/usr/bin/env python3
"""Loads with transformers and peft what hearth-forge exported, and compares logits and tokens with ours.

    check_export.py CASE...

Each CASE is a folder: base/ (a model folder; or base.txt, naming one), adapter/ (PEFT's; optional), logits.txt with lines
"sequence ID..." and "logits VALUE..." (of the sequence's last token), text.txt and tokens.txt (optional: what the tokenizer in base/
must make of the text). Exit codes: 0 all agree, 1 something differs, 77 transformers or peft is not installed (a skip)."""

import pathlib
import sys
import warnings

TOLERANCE = 5e-5


def check(case, torch, transformers, peft):
    named = case / "base.txt"
    base = named.read_text().strip() if named.exists() else case / "base"
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    if (case / "adapter").exists():
        model = peft.PeftModel.from_pretrained(model, case / "adapter")
        missing = [n for n, p in model.named_parameters() if "lora_B" in n and not p.abs().sum() > 0]
        if missing:
            return f"not loaded: {missing[:3]}"
    model.eval()
    worst, sequence = 0.0, None
    for line in (case / "logits.txt").read_text().splitlines():
        kind, *values = line.split()
        if kind == "sequence":
            sequence = torch.tensor([[int(v) for v in values]])
            continue
        with torch.no_grad():
            logits = model(input_ids=sequence).logits[0, -1]
        worst = max(worst, (logits - torch.tensor([float(v) for v in values])).abs().max().item())
    if not worst <= TOLERANCE:
        return f"logits differ by {worst:.2e}"
    note = f"logits within {worst:.1e}"
    if (case / "text.txt").exists():
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        text = (case / "text.txt").read_bytes().decode()
        expected = [int(v) for v in (case / "tokens.txt").read_text().split()]
        ids = tokenizer(text)["input_ids"]
        if ids != expected:
            return f"tokens differ: {ids[:12]}... for {expected[:12]}..."
        if tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) != text:
            return "the decoded text is another"
        note += f", {len(ids)} tokens the same"
        if tokenizer.chat_template:
            tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
            note += ", a chat template"
    print(f"{case.name}: {note}")
    return None


def main():
    try:
        import peft
        import torch
        import transformers
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    faults = 0
    for case in map(pathlib.Path, sys.argv[1:]):
        fault = check(case, torch, transformers, peft)
        if fault:
            print(f"{case.name}: {fault}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
