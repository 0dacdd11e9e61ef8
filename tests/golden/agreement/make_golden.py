#!/usr/bin/env python3
"""Makes the agreement goldens: what transformers in float32 predicts with the dequantised weights of a GGUF file.

    make_golden.py MODEL.gguf TEXT OUT.agr [NUM_TOKENS]

Needs torch, transformers, tokenizers, gguf and numpy; used by hand, never by the build. The text is tokenised by the
tokenizers package from the GGUF's own tables, so that the test also checks our tokenizer against it.

Format, little-endian: "HAG1", uint32 num_tokens, uint32 num_top; int32 ids[num_tokens]; per position, most likely first,
uint32 id[num_top], float32 log-probability[num_top].
"""
import struct
import sys

import gguf
import numpy as np
import tokenizers
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

NUM_TOP = 8
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LAYER_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


class Source:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.arch = self.field("general.architecture")

    def field(self, key):
        return self.reader.fields[key].contents()

    def hparam(self, key):
        return self.field(f"{self.arch}.{key}")

    def weights(self, name):
        tensor = self.tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        shape = tuple(int(extent) for extent in reversed(tensor.shape))
        return torch.from_numpy(np.array(values, dtype=np.float32).reshape(shape))


def tokenize(source, text):
    tokens = source.field("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in source.field("tokenizer.ggml.merges")]
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    if source.field("tokenizer.ggml.pre") == "smollm":
        bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False, use_regex=True)])
    else:
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    return bpe.encode(text).ids


def load_model(source):
    heads, kv_heads = source.hparam("attention.head_count"), source.hparam("attention.head_count_kv")
    tied = "output.weight" not in source.tensors
    common = dict(
        hidden_size=source.hparam("embedding_length"), num_hidden_layers=source.hparam("block_count"),
        num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=source.hparam("feed_forward_length"),
        vocab_size=int(source.tensors["token_embd.weight"].shape[1]),
        rms_norm_eps=source.hparam("attention.layer_norm_rms_epsilon"), rope_theta=source.hparam("rope.freq_base"),
        max_position_embeddings=source.hparam("context_length"), tie_word_embeddings=tied)
    model = (LlamaForCausalLM(LlamaConfig(**common)) if source.arch == "llama"
             else Qwen2ForCausalLM(Qwen2Config(**common))).float().eval()

    def unpermute(weight, num_heads):  # llama's query and key rows stand in another order in GGUF
        shape = (num_heads, weight.shape[0] // num_heads // 2, 2, *weight.shape[1:])
        return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)

    state = {"model.embed_tokens.weight": source.weights("token_embd.weight"),
             "model.norm.weight": source.weights("output_norm.weight")}
    state["lm_head.weight"] = state["model.embed_tokens.weight"] if tied else source.weights("output.weight")
    for name in source.tensors:
        if not name.startswith("blk."):
            continue
        _, layer, part, kind = name.split(".")
        weight = source.weights(name)
        if source.arch == "llama" and part in ("attn_q", "attn_k"):
            weight = unpermute(weight, heads if part == "attn_q" else kv_heads)
        state[f"model.layers.{layer}.{LAYER_NAMES[part]}.{kind}"] = weight
    result = model.load_state_dict(state, strict=False)
    assert not result.missing_keys and not result.unexpected_keys, result
    return model


def main():
    model_path, text_path, out_path = sys.argv[1:4]
    num_tokens = int(sys.argv[4]) if len(sys.argv) > 4 else 2000
    source = Source(model_path)
    ids = tokenize(source, open(text_path, encoding="utf-8").read())[:num_tokens]
    assert len(ids) == num_tokens, f"the text has only {len(ids)} tokens"
    model = load_model(source)
    with torch.no_grad():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    top = torch.topk(logprobs, NUM_TOP)
    with open(out_path, "wb") as out:
        out.write(b"HAG1" + struct.pack("<II", num_tokens, NUM_TOP) + np.array(ids, "<i4").tobytes())
        for position in range(num_tokens):
            out.write(top.indices[position].numpy().astype("<u4").tobytes())
            out.write(top.values[position].numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main()
