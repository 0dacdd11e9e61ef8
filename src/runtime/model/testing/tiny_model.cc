#include "runtime/model/testing/tiny_model.h"

#include <cmath>
#include <random>
#include <vector>

#include "runtime/gguf/gguf_writer.h"
#include "runtime/quant/quant.h"

namespace hearth::testing {
namespace {

std::string Utf8(int code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
}

// GPT-2's alphabet: printable bytes stand for themselves, the others are moved to U+0100 and up, in
// order.
std::vector<std::string> ByteAlphabet() {
  std::vector<std::string> spellings;
  int moved = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    spellings.push_back(Utf8(printable ? byte : 256 + moved++));
  }
  return spellings;
}

class TinyModelWriter {
 public:
  explicit TinyModelWriter(const TinyModelOptions& options)
      : options_(options), random_(options.seed) {}

  Status Write(const std::string& path) {
    for (const std::string& name : options_.extra_tensors) Norm(name, options_.hidden_size);
    if (options_.architecture == "bert") return WriteBert(path);
    Metadata();
    if (options_.tap_layers.empty())
      Matrix("token_embd.weight", options_.head_type, kTinyVocabSize, options_.hidden_size, 1.0);
    if (!options_.tied || !options_.tap_layers.empty() || !options_.head_ids.empty()) {
      const int rows =
          options_.head_ids.empty() ? kTinyVocabSize : static_cast<int>(options_.head_ids.size());
      Matrix("output.weight", options_.head_type, rows, options_.hidden_size, 1.0);
    }
    if (!options_.tap_layers.empty()) DraftHead();
    Norm("output_norm.weight", options_.hidden_size);
    for (int layer = 0; layer < options_.num_layers; ++layer)
      Layer("blk." + std::to_string(layer) + ".");
    if (options_.rope_factors) {
      std::vector<float> factors(options_.head_dim / 2);
      for (size_t i = 0; i < factors.size(); ++i) factors[i] = 1.0f + static_cast<float>(i) / 4;
      Floats("rope_freqs.weight", factors);
    }
    return writer_.Write(path);
  }

 private:
  Status WriteBert(const std::string& path) {
    const int hidden = options_.hidden_size;
    const auto set = [&](const std::string& key, int value) {
      writer_.SetUint32(key, static_cast<uint32_t>(value));
    };
    writer_.SetString("general.architecture", "bert");
    writer_.SetString("general.name", "tiny bert");
    set("bert.block_count", options_.num_layers);
    set("bert.embedding_length", hidden);
    set("bert.feed_forward_length", options_.ffn_size);
    set("bert.attention.head_count", hidden / options_.head_dim);
    set("bert.context_length", options_.context_length);
    writer_.SetFloat32("bert.attention.layer_norm_epsilon", 1e-12f);
    set("bert.pooling_type", 1);
    if (options_.max_tokens > 0) set("hearth.embedding.max_tokens", options_.max_tokens);

    // Every letter as a word's beginning and as what follows it.
    std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
    std::vector<int64_t> types = {3, 2, 3, 3};
    for (const char* mark : {"\xe2\x96\x81", ""}) {
      for (char letter = 'a'; letter <= 'z'; ++letter) {
        tokens.push_back(mark + std::string(1, letter));
        types.push_back(1);
      }
    }
    const auto num_tokens = static_cast<int>(tokens.size());
    writer_.SetString("tokenizer.ggml.model", "bert");
    writer_.SetStringArray("tokenizer.ggml.tokens", std::move(tokens));
    writer_.SetInt32Array("tokenizer.ggml.token_type", std::move(types));
    set("tokenizer.ggml.unknown_token_id", 1);
    set("tokenizer.ggml.cls_token_id", 2);
    set("tokenizer.ggml.seperator_token_id", 3);  // spelled so in GGUF

    Matrix("token_embd.weight", options_.head_type, num_tokens, hidden, 1.0);
    Matrix("position_embd.weight", TensorType::kF32, options_.context_length, hidden, 1.0);
    Matrix("token_types.weight", TensorType::kF32, 2, hidden, 1.0);
    const auto layer_norm = [&](const std::string& name) {
      Norm(name + ".weight", hidden);
      Floats(name + ".bias", Normal(hidden, 0.1));
    };
    layer_norm("token_embd_norm");
    for (int layer = 0; layer < options_.num_layers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      const auto linear = [&](const char* name, int rows, int columns) {
        Matrix(prefix + name + ".weight", options_.type, rows, columns);
        Floats(prefix + name + ".bias", Normal(rows, 0.1));
      };
      for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
        linear(name, hidden, hidden);
      linear("ffn_up", options_.ffn_size, hidden);
      linear("ffn_down", hidden, options_.ffn_size);
      layer_norm(prefix + "attn_output_norm");
      layer_norm(prefix + "layer_output_norm");
    }
    return writer_.Write(path);
  }

  void DraftHead() {
    const int hidden = options_.hidden_size;
    Matrix("hearth.head.fuse.weight", options_.type, hidden,
           hidden * static_cast<int>(options_.tap_layers.size()), 1.0);
    Matrix("hearth.head.join.weight", options_.type, hidden, 2 * hidden, 1.0);
    Norm("hearth.head.token_norm.weight", hidden);
    Norm("hearth.head.state_norm.weight", hidden);
    writer_.SetInt32Array("hearth.head.tap_layers",
                          {options_.tap_layers.begin(), options_.tap_layers.end()});
  }

  void Metadata() {
    const std::string& arch = options_.architecture;
    writer_.SetString("general.architecture", arch);
    writer_.SetString("general.name", "tiny " + arch);
    const auto set = [&](const char* key, int value) {
      writer_.SetUint32(arch + "." + key, static_cast<uint32_t>(value));
    };
    set("block_count", options_.num_layers);
    set("embedding_length", options_.hidden_size);
    set("attention.head_count", options_.num_heads);
    set("attention.head_count_kv", options_.num_kv_heads);
    set("attention.key_length", options_.head_dim);
    set("attention.value_length", options_.head_dim);
    set("feed_forward_length", options_.ffn_size);
    set("context_length", options_.context_length);
    if (options_.sliding_window > 0) set("attention.sliding_window", options_.sliding_window);
    writer_.SetFloat32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
    writer_.SetFloat32(arch + ".rope.freq_base", 10000.0f);

    set("vocab_size", kTinyVocabSize);
    if (!options_.head_ids.empty())
      writer_.SetInt32Array("hearth.draft.token_ids",
                            {options_.head_ids.begin(), options_.head_ids.end()});
    if (!options_.tap_layers.empty()) return;

    std::vector<std::string> tokens = ByteAlphabet();
    if (!options_.first_token.empty()) tokens[0] = options_.first_token;
    std::vector<int64_t> types(tokens.size(), 1);
    for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
      tokens.push_back(special);
      types.push_back(3);
    }
    writer_.SetString("tokenizer.ggml.model", "gpt2");
    writer_.SetString("tokenizer.ggml.pre", "gpt-2");
    writer_.SetStringArray("tokenizer.ggml.tokens", std::move(tokens));
    writer_.SetInt32Array("tokenizer.ggml.token_type", std::move(types));
    writer_.SetStringArray("tokenizer.ggml.merges", {});
    writer_.SetUint32("tokenizer.ggml.bos_token_id", kTinyEndOfText);
    writer_.SetUint32("tokenizer.ggml.eos_token_id", kTinyEndOfTurn);
    writer_.SetBool("tokenizer.ggml.add_bos_token", options_.adds_bos);
    if (!options_.chat_template.empty())
      writer_.SetString("tokenizer.chat_template", options_.chat_template);
  }

  void Layer(const std::string& prefix) {
    const std::string& arch = options_.architecture;
    const int hidden = options_.hidden_size;
    const int q_size = options_.num_heads * options_.head_dim,
              kv_size = options_.num_kv_heads * options_.head_dim;
    Norm(prefix + "attn_norm.weight", hidden);
    Norm(prefix + "ffn_norm.weight", hidden);
    Matrix(prefix + "attn_q.weight", options_.type, q_size, hidden);
    Matrix(prefix + "attn_k.weight", options_.type, kv_size, hidden);
    Matrix(prefix + "attn_v.weight", options_.type, kv_size, hidden);
    Matrix(prefix + "attn_output.weight", options_.type, hidden, q_size);
    Matrix(prefix + "ffn_gate.weight", options_.type, options_.ffn_size, hidden);
    Matrix(prefix + "ffn_up.weight", options_.type, options_.ffn_size, hidden);
    Matrix(prefix + "ffn_down.weight", options_.type, hidden, options_.ffn_size);
    if (arch == "qwen2") {
      Floats(prefix + "attn_q.bias", Normal(q_size, 0.5));
      Floats(prefix + "attn_k.bias", Normal(kv_size, 0.5));
      Floats(prefix + "attn_v.bias", Normal(kv_size, 0.5));
    }
    if (arch == "qwen3" || arch == "gemma3") {
      Norm(prefix + "attn_q_norm.weight", options_.head_dim);
      Norm(prefix + "attn_k_norm.weight", options_.head_dim);
    }
    if (arch == "gemma3") {
      Norm(prefix + "post_attention_norm.weight", hidden);
      Norm(prefix + "post_ffw_norm.weight", hidden);
    }
  }

  std::vector<float> Normal(int count, double deviation, double mean = 0) {
    std::normal_distribution<float> distribution(static_cast<float>(mean),
                                                 static_cast<float>(deviation));
    std::vector<float> values(count);
    for (float& value : values) value = distribution(random_);
    return values;
  }

  void Floats(const std::string& name, const std::vector<float>& values) {
    writer_.AddTensor(name, TensorType::kF32, {values.size()}, std::as_bytes(std::span(values)));
  }

  void Norm(const std::string& name, int size) { Floats(name, Normal(size, 0.1, 1)); }

  // `gain`: the outputs' deviation for inputs of deviation 1.
  void Matrix(const std::string& name, TensorType type, int rows, int columns, double gain = 1.5) {
    std::vector<std::byte> data(rows * RowBytes(type, columns));
    std::vector<float> dequantized(options_.dequantized ? rows * columns : 0);
    for (int row = 0; row < rows; ++row) {
      const std::vector<float> values = Normal(columns, gain / std::sqrt(columns));
      const auto stored =
          std::span(data).subspan(row * RowBytes(type, columns), RowBytes(type, columns));
      QuantizeRow(type, values, stored);
      if (options_.dequantized)
        DequantizeRow(type, stored, std::span(dequantized).subspan(row * columns, columns));
    }
    const std::vector<uint64_t> shape = {static_cast<uint64_t>(columns),
                                         static_cast<uint64_t>(rows)};
    if (options_.dequantized) {
      writer_.AddTensor(name, TensorType::kF32, shape, std::as_bytes(std::span(dequantized)));
    } else {
      writer_.AddTensor(name, type, shape, data);
    }
  }

  const TinyModelOptions& options_;
  std::mt19937_64 random_;
  GgufWriter writer_;
};

}  // namespace

Status WriteTinyModel(const std::string& path, const TinyModelOptions& options) {
  return TinyModelWriter(options).Write(path);
}

}  // namespace hearth::testing
