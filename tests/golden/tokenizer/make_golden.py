#!/usr/bin/env python3
"""Token ids of texts.txt by the reference implementations.

    make_golden.py --models DIR      the folder of the development models

smollm2.txt, qwen2.txt: the `tokenizers` library with the tables of the models' GGUF files and the pre-tokenizers of their
published tokenizer.json. spm.txt: sentencepiece with a small vocabulary trained here on the agreement tests' texts (spm.vocab).
wordpiece.txt: transformers' BERT tokenizer with a small vocabulary (wordpiece.vocab). A line is the ids of one text.
Versions: tokenizers 0.23.3, transformers 5.23.0, sentencepiece 0.2.3, gguf for reading the files.
"""
import argparse
import json
import os
import tempfile

import gguf
import sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import BertTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTES_ONLY = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
PRE_TOKENIZERS = {
    "smollm2": [pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL],
    "qwen2": [pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"), BYTES_ONLY],
}


def texts():
    with open(os.path.join(HERE, "texts.txt"), encoding="utf-8") as file:
        # \\ \n \t \r \uXXXX as in JSON; a quotation mark stands for itself
        return [json.loads('"' + line.rstrip("\n").replace('"', '\\"') + '"') for line in file]


def write_ids(name, rows):
    with open(os.path.join(HERE, name + ".txt"), "w", encoding="utf-8") as file:
        file.writelines(" ".join(map(str, row)) + "\n" for row in rows)


def byte_level(name, path):
    fields = gguf.GGUFReader(path).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    vocab = {text: index for index, text in reversed(list(enumerate(strings("tokenizer.ggml.tokens"))))}
    merges = [tuple(merge.split(" ")) for merge in strings("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRE_TOKENIZERS[name])
    write_ids(name, [tokenizer.encode(text, add_special_tokens=False).ids for text in texts()])


def spm():
    with tempfile.TemporaryDirectory() as folder:
        sources = [os.path.join(HERE, "..", "agreement", name) for name in ("english.txt", "code.txt")]
        sentencepiece.SentencePieceTrainer.train(
            input=",".join(sources), model_prefix=os.path.join(folder, "m"), model_type="bpe", vocab_size=700,
            byte_fallback=True, character_coverage=0.995, normalization_rule_name="identity",
            remove_extra_whitespaces=False, user_defined_symbols=["<start_of_turn>", "():", "in\u2581"], num_threads=1)
        processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "m.model"))
    with open(os.path.join(HERE, "spm.vocab"), "w", encoding="utf-8") as file:
        for index in range(processor.vocab_size()):
            kind = (2 if processor.is_unknown(index) else 3 if processor.is_control(index) else 6 if processor.is_byte(index)
                    else 4 if processor.id_to_piece(index) in ("<start_of_turn>", "():", "in\u2581") else 1)
            file.write(f"{processor.id_to_piece(index)}\t{processor.get_score(index):.9g}\t{kind}\n")
    write_ids("spm", [processor.encode(text) for text in texts()])


def wordpiece():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    words = ("the quick brown fox over dogs times is something say we they it hello world main list if len return for int sum "
             "user special name age first second nested star quote print control json null true select from where and cafe "
             "naive unicode strasse end col").split()
    pieces = "ing ed er est ly tion s es ##".split()[:-1]
    vocab = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(letters) + ["##" + c for c in letters] + list(marks) + words +
             ["##" + piece for piece in pieces if len(piece) > 1] + list("你好世界мирпвет안") + ["##и", "##р", "##в"])
    with open(os.path.join(HERE, "wordpiece.vocab"), "w", encoding="utf-8") as file:
        file.writelines(token + "\n" for token in vocab)
    tokenizer = BertTokenizerFast(vocab=os.path.join(HERE, "wordpiece.vocab"), do_lower_case=True)
    tokenizer.backend_tokenizer.encode_special_tokens = True
    rows = []
    for text in texts():
        # marks of the format that a user typed are text
        rows.append(tokenizer.backend_tokenizer.encode(text, add_special_tokens=True).ids)
    write_ids("wordpiece", rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", required=True)
    options = parser.parse_args()
    byte_level("smollm2", os.path.join(options.models, "SmolLM2-135M-Instruct.Q4_1.gguf"))
    byte_level("qwen2", os.path.join(options.models, "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"))
    spm()
    wordpiece()


if __name__ == "__main__":
    main()
