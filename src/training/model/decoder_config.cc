#include "training/model/decoder_config.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "kit/json_file.h"
#include "kit/model_keys.h"
#include "runtime/gguf/gguf_writer.h"
#include "runtime/quant/quant.h"

namespace hearth::forge {
namespace {

// Far above any model there is, far below what would overflow a product of two.
constexpr int64_t kMaxSize = 1 << 22;

// GGUF's keys, from a file or from what the kit makes of a config.json: one reader for both.
class Keys {
 public:
  using Find = std::function<const GgufValue*(const std::string& key)>;
  explicit Keys(Find find) : find_(std::move(find)) {}

  Result<std::string> String(const std::string& key, const std::string& fallback) const {
    const GgufValue* value = find_(key);
    if (value == nullptr) return fallback;
    if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
    return MakeError(ErrorCode::kCorrupt, key + " is no string");
  }
  // A key that is missing is the fallback; without one that is an error.
  Result<int64_t> Size(const std::string& key, std::optional<int64_t> fallback = {}) const {
    const GgufValue* value = find_(key);
    if (value == nullptr) {
      if (fallback) return *fallback;
      return MakeError(ErrorCode::kNotFound, key + " is missing");
    }
    const auto* number = std::get_if<int64_t>(&value->value);
    if (number == nullptr || *number < 0 || *number > (int64_t{1} << 30))
      return MakeError(ErrorCode::kCorrupt,
                       key + (number ? " is " + std::to_string(*number) : " is no integer"));
    return *number;
  }
  Result<double> Number(const std::string& key, double fallback) const {
    const GgufValue* value = find_(key);
    if (value == nullptr) return fallback;
    const auto* number = std::get_if<double>(&value->value);
    if (number == nullptr || !(*number >= 0 && *number <= 1e12))
      return MakeError(ErrorCode::kCorrupt, key + " is no number in [0, 1e12]");
    return *number;
  }

 private:
  Find find_;
};

Result<DecoderConfig> FromKeys(const Keys& keys) {
  DecoderConfig config;
  HEARTH_ASSIGN_OR_RETURN(config.architecture, keys.String("general.architecture", ""));
  if (config.architecture != "llama" && config.architecture != "qwen2")
    return MakeError(ErrorCode::kUnsupported, "general.architecture '" + config.architecture +
                                                  "': the forge trains llama and qwen2");
  const std::string prefix = config.architecture + ".";
  const auto size = [&](const char* key, std::optional<int64_t> fallback = {}) {
    return keys.Size(prefix + key, fallback);
  };
  HEARTH_ASSIGN_OR_RETURN(config.num_layers, size("block_count"));
  HEARTH_ASSIGN_OR_RETURN(config.hidden_size, size("embedding_length"));
  HEARTH_ASSIGN_OR_RETURN(config.num_heads, size("attention.head_count"));
  HEARTH_ASSIGN_OR_RETURN(config.num_kv_heads, size("attention.head_count_kv", config.num_heads));
  HEARTH_ASSIGN_OR_RETURN(
      config.head_dim,
      size("attention.key_length", config.hidden_size / std::max<int64_t>(1, config.num_heads)));
  HEARTH_ASSIGN_OR_RETURN(config.ffn_size, size("feed_forward_length"));
  HEARTH_ASSIGN_OR_RETURN(config.context_length, size("context_length"));
  HEARTH_ASSIGN_OR_RETURN(config.vocab_size, size("vocab_size", 0));
  HEARTH_ASSIGN_OR_RETURN(config.norm_eps,
                          keys.Number(prefix + "attention.layer_norm_rms_epsilon", 1e-6));
  HEARTH_ASSIGN_OR_RETURN(config.rope_theta, keys.Number(prefix + "rope.freq_base", 10000));
  HEARTH_ASSIGN_OR_RETURN(const std::string scaling,
                          keys.String(prefix + "rope.scaling.type", "none"));
  if (scaling == "linear") {
    HEARTH_ASSIGN_OR_RETURN(config.rope_linear_factor,
                            keys.Number(prefix + "rope.scaling.factor", 1));
  } else if (scaling != "none" && !scaling.empty()) {
    return MakeError(ErrorCode::kUnsupported, prefix + "rope.scaling.type '" + scaling + "'");
  }
  for (const char* key : {"expert_count", "attention.sliding_window"}) {
    HEARTH_ASSIGN_OR_RETURN(const int64_t value, size(key, 0));
    if (value != 0)
      return MakeError(ErrorCode::kUnsupported, prefix + key + " is " + std::to_string(value));
  }
  HEARTH_ASSIGN_OR_RETURN(const int64_t rope_dim, size("rope.dimension_count", config.head_dim));
  HEARTH_ASSIGN_OR_RETURN(const int64_t value_dim, size("attention.value_length", config.head_dim));
  if (rope_dim != config.head_dim || value_dim != config.head_dim)
    return MakeError(ErrorCode::kUnsupported, "heads of " + std::to_string(config.head_dim) +
                                                  " dimensions with " + std::to_string(rope_dim) +
                                                  " rotated and values of " +
                                                  std::to_string(value_dim));
  config.qkv_bias = config.architecture == "qwen2";
  return config;
}

}  // namespace

Result<DecoderConfig> ConfigFromGguf(const GgufFile& file) {
  const Keys keys([&file](const std::string& key) -> const GgufValue* {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? nullptr : &found->second;
  });
  HEARTH_ASSIGN_OR_RETURN(DecoderConfig config, FromKeys(keys));
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr)
    return MakeError(ErrorCode::kCorrupt, "tensor token_embd.weight is missing");
  config.vocab_size = static_cast<int64_t>(embedding->num_rows());
  config.tied_head = file.FindTensor("output.weight") == nullptr;
  if (const GgufTensor* factors = file.FindTensor("rope_freqs.weight")) {
    if (factors->type != TensorType::kF32 || factors->num_rows() != 1)
      return MakeError(ErrorCode::kCorrupt, "tensor rope_freqs.weight is no row of F32 values");
    config.rope_factors.resize(factors->num_columns());
    DequantizeRow(factors->type, factors->data, config.rope_factors);
  }
  HEARTH_RETURN_IF_ERROR(CheckConfig(config));
  return config;
}

Result<DecoderConfig> ConfigFromFolder(const std::string& folder) {
  HEARTH_ASSIGN_OR_RETURN(const Json json, ReadJsonObject(folder + "/config.json"));
  GgufWriter writer;
  HEARTH_ASSIGN_OR_RETURN(const ModelConfig model, SetHyperparameters(json, {}, writer));
  const Keys keys([&writer](const std::string& key) -> const GgufValue* {
    for (const auto& [name, value] : writer.metadata()) {
      if (name == key) return &value;
    }
    return nullptr;
  });
  HEARTH_ASSIGN_OR_RETURN(DecoderConfig config, FromKeys(keys));
  config.tied_head = model.tied;
  config.rope_factors = model.rope_factors;
  HEARTH_RETURN_IF_ERROR(CheckConfig(config));
  return config;
}

std::string DifferenceOf(const DecoderConfig& a, const DecoderConfig& b) {
  const auto differ = [](const char* field, auto left, auto right) {
    return std::string(field) + " " + std::to_string(left) + " and " + std::to_string(right);
  };
  if (a.architecture != b.architecture)
    return "architecture " + a.architecture + " and " + b.architecture;
#define HEARTH_COMPARE(field) \
  if (a.field != b.field) return differ(#field, a.field, b.field)
  HEARTH_COMPARE(num_layers);
  HEARTH_COMPARE(hidden_size);
  HEARTH_COMPARE(num_heads);
  HEARTH_COMPARE(num_kv_heads);
  HEARTH_COMPARE(head_dim);
  HEARTH_COMPARE(ffn_size);
  HEARTH_COMPARE(vocab_size);
  HEARTH_COMPARE(tied_head);
#undef HEARTH_COMPARE
  return "";
}

Status CheckConfig(const DecoderConfig& config) {
  const auto wrong = [](const std::string& what) {
    return MakeError(ErrorCode::kInvalidArgument, "model: " + what);
  };
  const std::pair<const char*, int64_t> sizes[] = {
      {"num_layers", config.num_layers}, {"hidden_size", config.hidden_size},
      {"num_heads", config.num_heads},   {"num_kv_heads", config.num_kv_heads},
      {"head_dim", config.head_dim},     {"ffn_size", config.ffn_size},
      {"vocab_size", config.vocab_size},
  };
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > kMaxSize)
      return wrong(std::string(name) + " is " + std::to_string(value));
  }
  if (config.num_layers > 4096) return wrong(std::to_string(config.num_layers) + " layers");
  if (config.num_heads % config.num_kv_heads != 0)
    return wrong(std::to_string(config.num_heads) + " heads cannot share " +
                 std::to_string(config.num_kv_heads) + " KV heads evenly");
  if (config.head_dim % 2 != 0)
    return wrong("heads of " + std::to_string(config.head_dim) + " dimensions");
  if (!config.rope_factors.empty() &&
      static_cast<int64_t>(config.rope_factors.size()) != config.head_dim / 2)
    return wrong(std::to_string(config.rope_factors.size()) + " rotary factors for heads of " +
                 std::to_string(config.head_dim));
  for (const float factor : config.rope_factors) {
    if (!(factor > 0)) return wrong("a rotary factor of " + std::to_string(factor));
  }
  if (!(config.rope_theta >= 1) || !(config.rope_linear_factor > 0) || !(config.norm_eps >= 0))
    return wrong("rope_theta " + std::to_string(config.rope_theta) + ", rope factor " +
                 std::to_string(config.rope_linear_factor) + ", norm_eps " +
                 std::to_string(config.norm_eps));
  return {};
}

}  // namespace hearth::forge
