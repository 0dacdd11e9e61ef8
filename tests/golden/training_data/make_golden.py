#!/usr/bin/env python3
"""What transformers makes of conversations.jsonl: token ids and the mask of the assistant's tokens.

The models' own templates carry no {% generation %} marks, which transformers needs for its mask, so each is rewritten with
them; both must render alike. Usage: make_golden.py MODELS_DIR, with transformers and torch installed.
"""

import json
import pathlib
import sys

from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
MODELS = {
    "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen2": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
}
MARKED = (
    "{%% for message in messages %%}"
    "{%% if loop.first and message['role'] != 'system' %%}{{ '<|im_start|>system\n%s<|im_end|>\n' }}{%% endif %%}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%% if message['role'] == 'assistant' %%}"
    "{%% generation %%}{{ message['content'] + '<|im_end|>' }}{%% endgeneration %%}"
    "{%% else %%}{{ message['content'] + '<|im_end|>' }}{%% endif %%}{{ '\n' }}"
    "{%% endfor %%}"
)
SYSTEM = {
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "qwen2": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
}


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    rows = [json.loads(line)["messages"] for line in (HERE / "conversations.jsonl").read_text().splitlines()]
    goldens = {}
    for name, file in MODELS.items():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        marked = MARKED % SYSTEM[name]
        goldens[name] = []
        for messages in rows:
            plain = tokenizer.apply_chat_template(messages, tokenize=False)
            again = tokenizer.apply_chat_template(messages, tokenize=False, chat_template=marked)
            assert plain == again, (plain, again)
            row = tokenizer.apply_chat_template(
                messages, chat_template=marked, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
            goldens[name].append({"tokens": row["input_ids"], "mask": "".join(map(str, row["assistant_masks"]))})
    text = json.dumps(goldens, separators=(",", ":")).replace('{"tokens"', '\n{"tokens"')
    (HERE / "masks.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
