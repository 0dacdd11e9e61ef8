#include "training/export/hf_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <string_view>

#include "base/mapped_file.h"
#include "kit/json_file.h"
#include "kit/model_keys.h"
#include "runtime/gguf/gguf_writer.h"

namespace hearth::forge {
namespace {

using Ordered = nlohmann::ordered_json;

// A value that was stored as a float, as people write it: 1e-05 and not 9.999999747378752e-06.
double Shortest(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), static_cast<float>(value));
  *end.ptr = '\0';
  const double shortest = std::strtod(text, nullptr);
  return static_cast<float>(shortest) == static_cast<float>(value) ? shortest : value;
}

bool Near(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::abs(x - y) <= 1e-4f * std::abs(y); });
}

// What config.json makes of these settings, read by the kit as any other.
std::vector<float> FactorsOf(const Ordered& config) {
  GgufWriter unused;
  const auto model = SetHyperparameters(Json(config), {}, unused);
  return model ? model->rope_factors : std::vector<float>();
}

// Llama 3's factors, which GGUF files have as numbers, back to the settings they were made of. The
// lowest frequency is divided by the whole factor; the bounds of 1 and 4 wavelengths are those of
// every published model; the original context follows from any factor between the bounds.
// Source: transformers' modeling_rope_utils, _compute_llama3_parameters, solved for it.
Status SetRopeFactors(const DecoderConfig& config, Ordered& json) {
  constexpr double kLow = 1, kHigh = 4;
  const double whole = Shortest(static_cast<double>(config.rope_factors.back()));
  std::vector<double> contexts = {8192};
  for (size_t i = 0; i < config.rope_factors.size() && whole > 1; ++i) {
    const auto factor = static_cast<double>(config.rope_factors[i]);
    if (factor < 1.001 || factor > 0.999 * whole) continue;
    const double smooth = (1 / factor - 1 / whole) / (1 - 1 / whole);
    const double wavelength = 2 * std::numbers::pi *
                              std::pow(config.rope_theta, 2.0 * static_cast<double>(i) /
                                                              static_cast<double>(config.head_dim));
    contexts.push_back(std::round(wavelength * (smooth * (kHigh - kLow) + kLow)));
  }
  for (const double context : contexts) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", whole},
                            {"low_freq_factor", kLow},
                            {"high_freq_factor", kHigh},
                            {"original_max_position_embeddings", static_cast<int64_t>(context)}};
    if (Near(FactorsOf(json), config.rope_factors)) return {};
  }
  return MakeError(ErrorCode::kUnsupported,
                   "rope_freqs.weight: no config.json gives these rotary factors");
}

}  // namespace

SpecialTokens SpecialTokensOf(const GgufFile& file) {
  const auto id = [&](const char* name) -> std::optional<int64_t> {
    const auto value = file.GetInt(std::string("tokenizer.ggml.") + name + "_token_id");
    return value ? std::optional(*value) : std::nullopt;
  };
  SpecialTokens tokens;
  tokens.bos = id("bos");
  tokens.pad = id("padding");
  for (const char* name : {"eos", "eot"}) {
    const auto end = id(name);
    if (end && std::ranges::find(tokens.ends, *end) == tokens.ends.end())
      tokens.ends.push_back(*end);
  }
  return tokens;
}

Result<std::string> HfConfigText(const DecoderConfig& config, const SpecialTokens& tokens,
                                 const std::string& dtype) {
  const bool is_llama = config.architecture == "llama";
  const auto optional_id = [](std::optional<int64_t> id) { return id ? Ordered(*id) : Ordered(); };
  Ordered json = {
      {"architectures", {is_llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM"}},
      {"model_type", config.architecture},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_layers},
      {"num_attention_heads", config.num_heads},
      {"num_key_value_heads", config.num_kv_heads},
      {"intermediate_size", config.ffn_size},
      {"vocab_size", config.vocab_size},
      {"max_position_embeddings", config.context_length},
      {"hidden_act", "silu"},
      {"rms_norm_eps", Shortest(config.norm_eps)},
      {"rope_theta", Shortest(config.rope_theta)},
      {"rope_scaling", nullptr},
      {"tie_word_embeddings", config.tied_head},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"use_cache", true},
      {"bos_token_id", optional_id(tokens.bos)},
      {"eos_token_id", tokens.ends.empty() ? Ordered() : Ordered(tokens.ends.front())},
      {"pad_token_id", optional_id(tokens.pad)},
      {"torch_dtype", dtype},
  };
  if (is_llama) {
    json["attention_bias"] = false;
    json["mlp_bias"] = false;
    json["pretraining_tp"] = 1;
  } else {
    json["use_sliding_window"] = false;
    json["sliding_window"] = nullptr;
  }
  if (is_llama || config.head_dim * config.num_heads != config.hidden_size)
    json["head_dim"] = config.head_dim;
  if (config.rope_linear_factor != 1)
    json["rope_scaling"] = {{"rope_type", "linear"},
                            {"type", "linear"},
                            {"factor", Shortest(config.rope_linear_factor)}};
  if (!config.rope_factors.empty()) HEARTH_RETURN_IF_ERROR(SetRopeFactors(config, json));
  return json.dump(2) + "\n";
}

std::string HfGenerationConfigText(const SpecialTokens& tokens) {
  Ordered json = Ordered::object();
  if (tokens.bos) json["bos_token_id"] = *tokens.bos;
  if (tokens.ends.size() == 1) json["eos_token_id"] = tokens.ends.front();
  if (tokens.ends.size() > 1) json["eos_token_id"] = tokens.ends;
  if (tokens.pad) json["pad_token_id"] = *tokens.pad;
  return json.empty() ? "" : json.dump(2) + "\n";
}

Result<std::string> HfConfigWithDtype(const std::string& path, const std::string& dtype) {
  HEARTH_RETURN_IF_ERROR(ReadJsonObject(path).map([](const Json&) {}));
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  // In the file's own order.
  Ordered json = Ordered::parse(
      std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()),
      nullptr, /*allow_exceptions=*/false);
  // Version 5 of transformers calls it dtype, and reads the other name too.
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = dtype;
  return json.dump(2, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

}  // namespace hearth::forge
