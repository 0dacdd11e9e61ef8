#!/usr/bin/env python3
"""Makes the adapters of src/training/export/adapter_test.cc: saved by peft for the tiny models of ../convert, and beside each
what peft computes with it (logits.txt, float32). README.md says what is in it."""

import pathlib
import shutil

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
SEQUENCES = [
    [5, 9, 11, 12, 40, 41, 7, 11, 12, 100, 3, 250, 77, 6],
    [60, 61, 62, 11, 13, 12, 8, 90],
]
ADAPTERS = {
    # Every linear, rsLoRA, activated from the last 11 12 on (in the first sequence twice, in the second nowhere).
    "llama": {
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": True,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "alora_invocation_tokens": [11, 12],
    },
    # Some of them, named by an expression, the plain scale, with dropout (which only training sees).
    "qwen2": {"r": 3, "lora_alpha": 5, "lora_dropout": 0.1, "target_modules": r".*\.(q_proj|v_proj|down_proj)"},
}


def main():
    torch.set_num_threads(1)
    for name, options in ADAPTERS.items():
        base = transformers.AutoModelForCausalLM.from_pretrained(
            HERE.parent / "convert" / name, dtype=torch.float32, attn_implementation="eager"
        )
        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **options))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model.peft_config["default"].base_model_name_or_path = name  # no path of this machine
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        model.eval()
        lines = []
        for tokens in SEQUENCES:
            logits = model(input_ids=torch.tensor([tokens])).logits[0, -1]
            lines.append("sequence " + " ".join(map(str, tokens)))
            lines.append("logits " + " ".join(f"{value:.7g}" for value in logits.tolist()))
        (folder / "logits.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
