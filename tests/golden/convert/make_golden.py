#!/usr/bin/env python3
"""Makes the tiny checkpoints of src/kit/convert_test.cc: random weights in the layout Hugging Face publishes models in, and beside
each what transformers computes with it (expected.txt). With --minilm DIR also minilm.txt.

Needs torch, transformers, tokenizers, safetensors and sentencepiece, for --minilm also sentence-transformers; see README.md for the
versions. --only-minilm leaves the checkpoints alone."""

import argparse
import copy
import io
import json
import pathlib
import shutil

import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent

CORPUS = [
    "The hearth is where the fire is kept, and the kettle hangs above the hearth.",
    "In the morning the other engine started; the thing was then heard on the stairs.",
    "She said that there were 1234 stones, 56 of them in the river, and 7 on the shelf.",
    "def main(): return 0 if there else 1  # the end",
    "It's theirs, isn't it? They'd rather wander in the wind than rest in here.",
]
# Words, numbers, spaces, lines, marks, other alphabets and special tokens; composed (NFC) throughout.
TEXT = (
    "<|im_start|>user\nThe hearth's fire -- isn't it 1234567 degrees?  In 2026 they'd\tsay:\n\n\n  na\u00efve \u4f60\u597d, "
    "\u043c\u0438\u0440 \U0001f525\u00b2 x^2+y_3!!\r\n THE END   <|im_end|>\n"
)

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NUM_MERGES = 30


def byte_level_tokenizer(pre_tokenizer, specials, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + NUM_MERGES, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    return tokenizer


def split_tokenizer(pattern, trim_offsets, specials, **options):
    return byte_level_tokenizer(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=trim_offsets, use_regex=False),
            ]
        ),
        specials,
        **options,
    )


def qwen_tokenizer():
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return split_tokenizer(QWEN_PATTERN, False, specials, normalizer=normalizers.NFC())


def llama3_tokenizer():
    specials = ["<|begin_of_text|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = split_tokenizer(LLAMA3_PATTERN, True, specials, ignore_merges=True)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    return tokenizer


def smollm_tokenizer():
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    return byte_level_tokenizer(pre_tokenizer, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def fill(model, seed):
    """Weights that make uneven logits, norms that are not all ones, biases that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                base = 0.0 if "gemma" in model.config.model_type else 1.0
                parameter.copy_(base + 0.2 * noise)
            else:
                parameter.copy_(0.15 * noise)


def use_old_layout(config):
    """config.json as transformers 4 wrote it, which is how nearly every published model has it."""
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.3"
    if "full_attention" in rope:
        scaling = rope["full_attention"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = 6
        config.pop("layer_types", None)
        config.pop("_sliding_window_pattern", None)
    else:
        scaling = rope
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = None if scaling["rope_type"] == "default" else scaling
    return config


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def logits_of(folder, tokens):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model.eval()(tokens[None]).logits[0]


def write_expected(folder, num_tokens, text, text_ids, num_usable):
    """Lines of a name and values: a text and its tokens; tokens, and what the model makes of them at three positions."""
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, num_usable, (num_tokens,), generator=generator)
    logits = logits_of(folder, tokens)
    entries = torch.randperm(logits.shape[1], generator=generator)[:24].sort().values
    out = io.StringIO()
    out.write(f"text {escaped(text)}\n")
    for name, values in (("text_tokens", text_ids), ("tokens", tokens.tolist()), ("entries", entries.tolist())):
        out.write(f"{name} {' '.join(map(str, values))}\n")
    for position in (num_tokens // 8, num_tokens // 2, num_tokens - 1):
        values = logits[position, entries]
        assert values.std() > 0.3, "the logits are too flat to tell models apart"
        out.write(f"logits {position} " + " ".join(f"{v:.7g}" for v in values.tolist()) + "\n")
    (folder / "expected.txt").write_text(out.getvalue(), encoding="utf-8")


def save_model(name, model, dtype, seed, old_layout):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    fill(model, seed)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if old_layout:
        write_json(folder / "config.json", use_old_layout(read_json(folder / "config.json")))
    assert (folder / "model.safetensors").stat().st_size < 200_000, (folder / "model.safetensors").stat().st_size
    return folder


def save_tokenizer(folder, tokenizer, chat_template=None, **tokens):
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    return fast


def added_tokens(ids_and_texts):
    return {
        str(index): {
            "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True,
        }
        for index, text in ids_and_texts
    }  # fmt: skip


def finish(folder, fast, num_tokens=40):
    write_expected(folder, num_tokens, TEXT, fast(TEXT)["input_ids"], len(fast))


def make_llama():
    """Tied embeddings, heads wider than hidden_size / num_heads; config.json as transformers 5 writes it; chat_template.jinja."""
    tokenizer = smollm_tokenizer()
    config = transformers.LlamaConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32, intermediate_size=64,
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        bos_token_id=tokenizer.token_to_id("<|im_start|>"), eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
    )  # fmt: skip
    folder = save_model("llama", transformers.LlamaForCausalLM(config), torch.float16, 1, old_layout=False)
    fast = save_tokenizer(
        folder, tokenizer, CHATML, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
    )  # fmt: skip
    assert (folder / "chat_template.jinja").exists()
    finish(folder, fast)


def make_sharded_llama():
    """The same model in two files, config.json as transformers 4 wrote it, merges spelled "a b" as tokenizers < 0.20 did."""
    folder = HERE / "llama-sharded"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "llama", folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weight_map = {name: shards[index % 2] for index, name in enumerate(sorted(tensors))}
    for shard in shards:
        own = {name: tensor for name, tensor in tensors.items() if weight_map[name] == shard}
        save_file(own, folder / shard, metadata={"format": "pt"})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    write_json(folder / "config.json", use_old_layout(read_json(folder / "config.json")))
    tokenizer = read_json(folder / "tokenizer.json")
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    write_json(folder / "tokenizer.json", tokenizer)
    finish(folder, transformers.PreTrainedTokenizerFast.from_pretrained(folder))


def make_llama3():
    """Llama 3.x: its RoPE scaling, a head of its own, BOS before every text, no head_dim in config.json."""
    tokenizer = llama3_tokenizer()
    config = transformers.LlamaConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=64,
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=[tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")],
    )  # fmt: skip
    folder = save_model("llama3", transformers.LlamaForCausalLM(config), torch.bfloat16, 2, old_layout=True)
    config = read_json(folder / "config.json")
    config.pop("head_dim", None)
    write_json(folder / "config.json", config)
    finish(folder, save_tokenizer(folder, tokenizer, bos_token="<|begin_of_text|>", eos_token="<|endoftext|>"))


def make_qwen2():
    """Biases on query, key and value; more rows of embeddings than tokens; the chat template in tokenizer_config.json."""
    tokenizer = qwen_tokenizer()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    config = transformers.Qwen2Config(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=96, vocab_size=304,
        max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"), eos_token_id=tokenizer.token_to_id("<|im_end|>"),
    )  # fmt: skip
    folder = save_model("qwen2", transformers.Qwen2ForCausalLM(config), torch.bfloat16, 3, old_layout=True)
    fast = save_tokenizer(folder, tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False, "add_prefix_space": False,
            "added_tokens_decoder": added_tokens((tokenizer.token_to_id(token), token) for token in specials),
            "bos_token": None, "chat_template": CHATML, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
        },
    )  # fmt: skip
    finish(folder, fast)


def make_qwen3():
    """Norms of query and key heads, F32 weights."""
    tokenizer = qwen_tokenizer()
    config = transformers.Qwen3Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32, intermediate_size=64,
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"), eos_token_id=tokenizer.token_to_id("<|im_end|>"),
    )  # fmt: skip
    folder = save_model("qwen3", transformers.Qwen3ForCausalLM(config), torch.float32, 4, old_layout=True)
    finish(folder, save_tokenizer(folder, tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"))


def make_gemma3():
    """Seven layers, the sixth without the sliding window and with RoPE scaled; a SentencePiece tokenizer.model alone."""
    model_bytes = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4), model_writer=model_bytes, model_type="bpe", vocab_size=380, byte_fallback=True,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", unk_piece="<unk>",
        user_defined_symbols=["<start_of_turn>", "<end_of_turn>"], split_digits=True, add_dummy_prefix=False,
        remove_extra_whitespaces=False, normalization_rule_name="identity", allow_whitespace_only_pieces=True,
        character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model_bytes.getvalue())
    config = transformers.Gemma3TextConfig(
        hidden_size=32, num_hidden_layers=7, num_attention_heads=2, num_key_value_heads=1, head_dim=32, intermediate_size=32,
        vocab_size=pieces.vocab_size(), max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        sliding_window=16, query_pre_attn_scalar=32, pad_token_id=0, eos_token_id=[1, pieces.piece_to_id("<end_of_turn>")],
        bos_token_id=2,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    )  # fmt: skip
    folder = save_model("gemma3", transformers.Gemma3ForCausalLM(config), torch.bfloat16, 5, old_layout=False)
    (folder / "tokenizer.model").write_bytes(model_bytes.getvalue())
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": True, "add_eos_token": False,
            "added_tokens_decoder": added_tokens(
                # The last has no row in the embedding, as in the text-only models of the family.
                [(index, pieces.id_to_piece(index)) for index in range(6)] + [(pieces.vocab_size(), "<image_soft_token>")]
            ),
            "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
            "tokenizer_class": "GemmaTokenizer",
        },
    )  # fmt: skip
    text = TEXT.replace("<|im_start|>", "<start_of_turn>").replace("<|im_end|>", "<end_of_turn>")
    write_expected(folder, 80, text, [2] + pieces.encode(text), pieces.vocab_size())

    # Both layouts of config.json must mean the same model.
    newer, expected = read_json(folder / "config.json"), (folder / "expected.txt").read_text(encoding="utf-8")
    write_json(folder / "config.json", use_old_layout(copy.deepcopy(newer)))
    write_json(folder / "config.v5.json", newer)
    write_expected(folder, 80, text, [2] + pieces.encode(text), pieces.vocab_size())
    assert (folder / "expected.txt").read_text(encoding="utf-8") == expected


SENTENCES = [
    "A cat sits outside.",
    "Hello",
    "What is the capital of France?",
    "Paris is the capital and largest city of France.",
    "The new movie is awesome, and I would watch it twice!",
    "How do I reset my password?",
    "To change a forgotten password, open the settings page and follow the link.",
    "SELECT name, age FROM users WHERE age > 42 ORDER BY name;",
    "for (int i = 0; i < n; ++i) sum += values[i];",
    "Caf\u00e9 na\u00efve r\u00e9sum\u00e9 \u2014 \u201cquoted\u201d text\u2026",
    "Der Fluss flie\u00dft langsam durch die alte Stadt.",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430 \u0420\u043e\u0441\u0441\u0438\u0438.",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "I love pizza \U0001f355 and ice cream \U0001f366!!!",
    "3.14159 is approximately pi; 2,718 is not e. 50% of $1,000 = $500.",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "  Leading,   repeated\tand trailing   spaces   ",
    "The quick brown fox jumps over the lazy dog while the quiet owl watches from the branch of an ancient oak, thinking about "
    "nothing in particular and waiting for the evening to come.",
]  # fmt: skip
LONG_TEXT = (
    "The library keeps its oldest maps in the basement, where the air is dry and nobody walks without a reason. Every autumn a "
    "clerk unrolls them one by one, counts the holes that insects made, and writes a number beside the name. Some rivers on "
    "those maps have moved since; some towns were never there, and were drawn only to please a duke. A student asked once why "
    "they are kept at all, and was told that errors are also part of what people knew. Outside, buses pass on the wet street, "
    "and the noise reaches the basement as a slow and even breathing. "
)  # fmt: skip


def make_minilm(folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = (LONG_TEXT * 12).split()
    lengths = []
    out = io.StringIO()
    out.write("# all-MiniLM-L6-v2: a text, and its embedding by sentence-transformers in millionths.\n")
    # The last three: just below max_seq_length, just above it, and longer than the model has places.
    for text in SENTENCES + [" ".join(words[:count]) for count in (210, 300, 1000)]:
        lengths.append(len(tokenizer(text)["input_ids"]))
        embedding = model.encode([text], convert_to_numpy=True)[0]
        out.write(f"text {escaped(text)}\n")
        out.write("embedding " + " ".join(str(round(v * 1e6)) for v in embedding.tolist()) + "\n")
    print("tokens of the long texts:", lengths[-3:])
    assert lengths[-3] <= model.max_seq_length < lengths[-2] < 512 < lengths[-1]
    (HERE / "minilm.txt").write_text(out.getvalue(), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=pathlib.Path, help="all-MiniLM-L6-v2 as published: makes minilm.txt too")
    parser.add_argument("--only-minilm", action="store_true", help="with --minilm: make minilm.txt alone")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if not args.only_minilm:
        make_llama()
        make_sharded_llama()
        make_llama3()
        make_qwen2()
        make_qwen3()
        make_gemma3()
    if args.minilm:
        make_minilm(args.minilm)


if __name__ == "__main__":
    main()
