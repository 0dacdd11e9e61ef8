#!/usr/bin/env python3
"""What transformers and peft compute with the tiny models of ../convert: losses, logits and gradients of a full fine-tuning, of
LoRA with rsLoRA's scale and of an activated LoRA, in float32. Writes one text file per model; README.md says what is in it."""

import math
import pathlib

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
INVOCATION = [11, 12]
# Two sequences, which the decoder takes packed; INVOCATION stands in the first (twice: the last counts) and not in the second.
SEQUENCES = [
    [5, 9, 11, 12, 40, 41, 7, 11, 12, 100, 3, 250, 77, 6],
    [60, 61, 62, 11, 13, 12, 8, 90],
]
# The loss counts the tokens from these places on.
LEARNED_FROM = [6, 3]
ENTRIES = 6


def sampled(tensor):
    """Norm, sum, and some entries spread over the tensor."""
    flat = tensor.detach().double().flatten()
    step = max(1, len(flat) // ENTRIES)
    places = [(1 + i * step) % len(flat) for i in range(ENTRIES)]
    return [flat.norm().item(), flat.sum().item()] + [flat[p].item() for p in places]


def line(*words):
    return " ".join(w if isinstance(w, str) else f"{w:.9g}" for w in words)


def loss_of(model, scale):
    """Sum over the sequences of the cross-entropy of the learned tokens, divided by their number; backward."""
    total, rows = 0.0, []
    for tokens, first in zip(SEQUENCES, LEARNED_FROM):
        ids = torch.tensor([tokens])
        logits = model(input_ids=ids).logits[0]
        rows.append(logits[-1])
        losses = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
        loss = losses[first - 1 :].sum() * scale
        loss.backward()
        total += loss.item()
    return total, rows


def fill(model):
    """LoRA weights by a formula, so that they need no file."""
    index = 0
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            count = parameter.numel()
            values = [0.05 * math.sin(0.7 * i + index) for i in range(count)]
            parameter.data = torch.tensor(values, dtype=torch.float64).float().view(parameter.shape)
            index += 1
    return model


def main():
    torch.set_num_threads(1)
    learned = sum(len(s) - f for s, f in zip(SEQUENCES, LEARNED_FROM))
    for name in ("llama", "llama3", "qwen2"):
        folder = HERE.parent / "convert" / name
        load = lambda: transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        lines = [
            line("invocation", *map(str, INVOCATION)),
            *(line("sequence", str(f), *map(str, s)) for s, f in zip(SEQUENCES, LEARNED_FROM)),
        ]
        model = load()
        total, rows = loss_of(model, 1 / learned)
        lines.append(line("case", "full", total))
        lines += [line("logits", *sampled(row)) for row in rows]
        lines += [line("gradient", n, *sampled(p.grad)) for n, p in model.named_parameters()]
        for case, options in {
            "rslora": {"use_rslora": True},
            "lora": {"use_rslora": False},
            "alora": {"use_rslora": True, "alora_invocation_tokens": INVOCATION},
        }.items():
            config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM", **options)
            model = fill(peft.get_peft_model(load(), config))
            total, rows = loss_of(model, 1 / learned)
            lines.append(line("case", case, total))
            lines += [line("logits", *sampled(row)) for row in rows]
            for n, p in model.named_parameters():
                if p.grad is not None:
                    lines.append(line("gradient", n.replace(".default.", "."), *sampled(p.grad)))
        (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
