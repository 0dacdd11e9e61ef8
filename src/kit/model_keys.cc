#include "kit/model_keys.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hearth {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 31;

class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  Result<int64_t> Size(const char* field) const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> value, JsonInt(config_, field));
    if (!value)
      return MakeError(ErrorCode::kCorrupt, std::string("config.json has no \"") + field + "\"");
    return Checked(field, *value);
  }
  Result<int64_t> SizeOr(const char* field, int64_t fallback) const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> value, JsonInt(config_, field));
    return Checked(field, value.value_or(fallback));
  }
  Result<double> NumberOr(const char* field, double fallback) const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<double> value, JsonNumber(config_, field));
    return value.value_or(fallback);
  }
  Result<bool> BoolOr(const char* field, bool fallback) const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> value, JsonBool(config_, field));
    return value.value_or(fallback);
  }
  Status NeedString(const char* field, std::initializer_list<std::string_view> allowed) const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> value, JsonString(config_, field));
    if (!value) return {};
    for (const std::string_view one : allowed) {
      if (*value == one) return {};
    }
    return MakeError(ErrorCode::kUnsupported,
                     std::string("config.json: ") + field + " \"" + *value + "\" is not supported");
  }

 private:
  static Result<int64_t> Checked(const char* field, int64_t value) {
    if (value < 1 || value > kMaxSize) {
      return MakeError(ErrorCode::kCorrupt,
                       std::string("config.json: ") + field + " is " + std::to_string(value));
    }
    return value;
  }

  const Json& config_;
};

// How positions are encoded: from rope_theta and rope_scaling, or from rope_parameters
// (transformers 5).
struct Rope {
  double theta = 10000;
  double local_theta = 10000;  // gemma3's sliding layers
  std::string type = "default";
  double factor = 1, low_factor = 1, high_factor = 4, original_context = 8192;
};

Status ReadRopeScaling(const Json& scaling, Rope& rope) {
  HEARTH_ASSIGN_OR_RETURN(std::optional<std::string> type, JsonString(scaling, "rope_type"));
  if (!type) {
    HEARTH_ASSIGN_OR_RETURN(type, JsonString(scaling, "type"));
  }
  rope.type = type.value_or("default");
  const ConfigReader reader(scaling);
  HEARTH_ASSIGN_OR_RETURN(rope.theta, reader.NumberOr("rope_theta", rope.theta));
  HEARTH_ASSIGN_OR_RETURN(rope.factor, reader.NumberOr("factor", 1));
  HEARTH_ASSIGN_OR_RETURN(rope.low_factor, reader.NumberOr("low_freq_factor", 1));
  HEARTH_ASSIGN_OR_RETURN(rope.high_factor, reader.NumberOr("high_freq_factor", 4));
  HEARTH_ASSIGN_OR_RETURN(rope.original_context,
                          reader.NumberOr("original_max_position_embeddings", 8192));
  if (rope.type != "default" && rope.type != "linear" && rope.type != "llama3") {
    return MakeError(ErrorCode::kUnsupported,
                     "config.json: RoPE scaling of type \"" + rope.type + "\" is not supported");
  }
  if (!(rope.factor > 0) || !(rope.low_factor > 0) || !(rope.high_factor > rope.low_factor) ||
      !(rope.original_context > 0)) {
    return MakeError(ErrorCode::kCorrupt, "config.json: the RoPE scaling's factors make no sense");
  }
  return {};
}

Result<Rope> ReadRope(const Json& config, double default_theta) {
  Rope rope;
  const ConfigReader reader(config);
  HEARTH_ASSIGN_OR_RETURN(rope.theta, reader.NumberOr("rope_theta", default_theta));
  HEARTH_ASSIGN_OR_RETURN(rope.local_theta, reader.NumberOr("rope_local_base_freq", 10000));
  const Json* parameters = JsonChild(config, "rope_parameters");
  const Json* full = parameters == nullptr ? nullptr : JsonChild(*parameters, "full_attention");
  if (full != nullptr) {
    HEARTH_RETURN_IF_ERROR(ReadRopeScaling(*full, rope));
    if (const Json* sliding = JsonChild(*parameters, "sliding_attention")) {
      HEARTH_ASSIGN_OR_RETURN(rope.local_theta,
                              ConfigReader(*sliding).NumberOr("rope_theta", rope.local_theta));
    }
  } else if (parameters != nullptr) {
    HEARTH_RETURN_IF_ERROR(ReadRopeScaling(*parameters, rope));
  } else if (const Json* scaling = JsonChild(config, "rope_scaling")) {
    HEARTH_RETURN_IF_ERROR(ReadRopeScaling(*scaling, rope));
  }
  return rope;
}

// Source: transformers' modeling_rope_utils, _compute_llama3_parameters.
std::vector<float> Llama3Factors(const Rope& rope, int64_t head_dim) {
  std::vector<float> factors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double frequency =
        std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double wavelength = 2 * std::numbers::pi / frequency;
    double factor = 1;
    if (wavelength > rope.original_context / rope.low_factor) {
      factor = rope.factor;
    } else if (wavelength >= rope.original_context / rope.high_factor) {
      const double smooth = (rope.original_context / wavelength - rope.low_factor) /
                            (rope.high_factor - rope.low_factor);
      factor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

Result<std::string> GgufArchitecture(const Json& config) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type, JsonString(config, "model_type"));
  if (!type) return MakeError(ErrorCode::kCorrupt, "config.json has no \"model_type\"");
  if (*type == "llama" || *type == "mistral") return "llama";  // the same graph
  if (*type == "qwen2" || *type == "qwen3" || *type == "bert") return *type;
  if (*type == "gemma3_text" || *type == "gemma3") return "gemma3";
  return MakeError(
      ErrorCode::kUnsupported,
      "model type \"" + *type +
          "\" is not supported (supported: llama, mistral, qwen2, qwen3, gemma3, bert)");
}

// Every sixth layer sees everything, as the family does.
Status CheckGemma3(const Json& config, const ModelConfig& model) {
  if (const Json* types = JsonChild(config, "layer_types")) {
    for (size_t i = 0; i < types->size(); ++i) {
      const bool global = (i + 1) % 6 == 0;
      if ((*types)[i] != (global ? "full_attention" : "sliding_attention")) {
        return MakeError(ErrorCode::kUnsupported,
                         "config.json: layer_types does not make every sixth layer global");
      }
    }
  }
  HEARTH_ASSIGN_OR_RETURN(
      const double scalar,
      ConfigReader(config).NumberOr("query_pre_attn_scalar", static_cast<double>(model.head_dim)));
  if (scalar != static_cast<double>(model.head_dim) && model.num_layers != 62) {
    return MakeError(ErrorCode::kUnsupported,
                     "config.json: query_pre_attn_scalar " + std::to_string(scalar) +
                         " is not the size of a head, " + std::to_string(model.head_dim));
  }
  return {};
}

Status SetBert(const Json& config, const SentenceSettings& sentence, int64_t context_length,
               const auto& set, GgufWriter& writer) {
  const ConfigReader reader(config);
  HEARTH_RETURN_IF_ERROR(reader.NeedString("hidden_act", {"gelu"}));
  HEARTH_RETURN_IF_ERROR(reader.NeedString("position_embedding_type", {"absolute"}));
  HEARTH_ASSIGN_OR_RETURN(const double eps, reader.NumberOr("layer_norm_eps", 1e-12));
  HEARTH_ASSIGN_OR_RETURN(const int64_t num_types, reader.SizeOr("type_vocab_size", 2));
  writer.SetFloat32("bert.attention.layer_norm_epsilon", static_cast<float>(eps));
  writer.SetBool("bert.attention.causal", false);
  set("pooling_type", sentence.pooling);
  const auto places = static_cast<double>(context_length);
  writer.SetUint32("hearth.embedding.max_tokens",
                   static_cast<uint32_t>(std::min(sentence.max_tokens.value_or(places), places)));
  writer.SetUint32("tokenizer.ggml.token_type_count", static_cast<uint32_t>(num_types));
  return {};
}

Status SetDecoder(const Json& config, ModelConfig& model, const auto& set, GgufWriter& writer) {
  const std::string& arch = model.architecture;
  const ConfigReader reader(config);
  HEARTH_RETURN_IF_ERROR(arch == "gemma3"
                             ? reader.NeedString("hidden_activation", {"gelu_pytorch_tanh"})
                             : reader.NeedString("hidden_act", {"silu"}));
  HEARTH_ASSIGN_OR_RETURN(const double eps, reader.NumberOr("rms_norm_eps", 1e-6));
  writer.SetFloat32(arch + ".attention.layer_norm_rms_epsilon", static_cast<float>(eps));
  set("attention.head_count_kv", model.num_kv_heads);
  set("attention.key_length", model.head_dim);
  set("attention.value_length", model.head_dim);
  set("rope.dimension_count", model.head_dim);
  HEARTH_ASSIGN_OR_RETURN(const Rope rope, ReadRope(config, arch == "gemma3" ? 1e6 : 10000));
  writer.SetFloat32(arch + ".rope.freq_base", static_cast<float>(rope.theta));
  if (rope.type == "linear") {
    writer.SetString(arch + ".rope.scaling.type", "linear");
    writer.SetFloat32(arch + ".rope.scaling.factor", static_cast<float>(rope.factor));
  } else if (rope.type == "llama3") {
    if (arch != "llama")
      return MakeError(ErrorCode::kUnsupported,
                       "RoPE scaling of type \"llama3\" in a model of type " + arch);
    model.rope_factors = Llama3Factors(rope, model.head_dim);
  }
  HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> window, JsonInt(config, "sliding_window"));
  if (arch == "gemma3") {
    HEARTH_RETURN_IF_ERROR(CheckGemma3(config, model));
    set("attention.sliding_window", window.value_or(4096));
    writer.SetFloat32("gemma3.rope.freq_base_swa", static_cast<float>(rope.local_theta));
  } else {
    HEARTH_ASSIGN_OR_RETURN(
        const bool slides,
        reader.BoolOr("use_sliding_window", arch == "llama" && window.has_value()));
    if (slides && window) {
      return MakeError(ErrorCode::kUnsupported, "config.json: a sliding window of " +
                                                    std::to_string(*window) +
                                                    " in a model of type " + arch);
    }
  }
  HEARTH_ASSIGN_OR_RETURN(model.tied, reader.BoolOr("tie_word_embeddings", arch == "gemma3"));
  return {};
}

std::optional<std::string> TopLevelName(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"embeddings.word_embeddings.weight", "token_embd.weight"},
      {"embeddings.position_embeddings.weight", "position_embd.weight"},
      {"embeddings.token_type_embeddings.weight", "token_types.weight"},
      {"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
      {"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
  };
  for (const auto& [from, to] : kNames) {
    if (from == name) return std::string(to);
  }
  return std::nullopt;
}

std::optional<std::string> PartName(const std::string& architecture, std::string_view part) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"input_layernorm", "attn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"attention.self.query", "attn_q"},
      {"attention.self.key", "attn_k"},
      {"attention.self.value", "attn_v"},
      {"attention.output.dense", "attn_output"},
      {"attention.output.LayerNorm", "attn_output_norm"},
      {"intermediate.dense", "ffn_up"},
      {"output.dense", "ffn_down"},
      {"output.LayerNorm", "layer_output_norm"},
  };
  if (part == "post_attention_layernorm")
    return architecture == "gemma3" ? "post_attention_norm" : "ffn_norm";
  if (part == "pre_feedforward_layernorm") return "ffn_norm";
  if (part == "post_feedforward_layernorm") return "post_ffw_norm";
  for (const auto& [from, to] : kNames) {
    if (from == part) return std::string(to);
  }
  return std::nullopt;
}

bool StripPrefix(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

// Parts that are not the model: vision, pooling, buffers.
bool IsUnneeded(std::string_view name) {
  return name.starts_with("vision_tower.") || name.starts_with("model.vision_tower.") ||
         name.starts_with("multi_modal_projector.") ||
         name.starts_with("model.multi_modal_projector.") || name.starts_with("pooler.") ||
         name.starts_with("cls.") || name.ends_with("rotary_emb.inv_freq") ||
         name == "embeddings.position_ids";
}

}  // namespace

Result<ModelConfig> SetHyperparameters(const Json& whole_config, const SentenceSettings& sentence,
                                       GgufWriter& writer) {
  ModelConfig model;
  HEARTH_ASSIGN_OR_RETURN(model.architecture, GgufArchitecture(whole_config));
  const Json* text_config = JsonChild(whole_config, "text_config");
  const Json& config =
      model.architecture == "gemma3" && text_config != nullptr ? *text_config : whole_config;
  const ConfigReader reader(config);
  HEARTH_ASSIGN_OR_RETURN(const int64_t hidden_size, reader.Size("hidden_size"));
  HEARTH_ASSIGN_OR_RETURN(model.num_layers, reader.Size("num_hidden_layers"));
  // Gemma 3's configs leave out what is the family's default.
  const bool is_gemma3 = model.architecture == "gemma3";
  HEARTH_ASSIGN_OR_RETURN(model.num_heads, is_gemma3 ? reader.SizeOr("num_attention_heads", 8)
                                                     : reader.Size("num_attention_heads"));
  HEARTH_ASSIGN_OR_RETURN(model.num_kv_heads,
                          reader.SizeOr("num_key_value_heads", is_gemma3 ? 4 : model.num_heads));
  const int64_t usual_head_dim =
      is_gemma3 ? 256 : std::max<int64_t>(1, hidden_size / model.num_heads);
  HEARTH_ASSIGN_OR_RETURN(model.head_dim, reader.SizeOr("head_dim", usual_head_dim));
  HEARTH_ASSIGN_OR_RETURN(const int64_t ffn_size, reader.Size("intermediate_size"));
  HEARTH_ASSIGN_OR_RETURN(const int64_t context_length,
                          is_gemma3 ? reader.SizeOr("max_position_embeddings", 131072)
                                    : reader.Size("max_position_embeddings"));
  HEARTH_ASSIGN_OR_RETURN(model.vocab_size, reader.SizeOr("vocab_size", 1));
  writer.SetString("general.architecture", model.architecture);
  const auto set = [&](const char* key, int64_t value) {
    writer.SetUint32(model.architecture + "." + key, static_cast<uint32_t>(value));
  };
  set("block_count", model.num_layers);
  set("context_length", context_length);
  set("embedding_length", hidden_size);
  set("feed_forward_length", ffn_size);
  set("attention.head_count", model.num_heads);
  set("vocab_size", model.vocab_size);
  HEARTH_RETURN_IF_ERROR(model.architecture == "bert"
                             ? SetBert(config, sentence, context_length, set, writer)
                             : SetDecoder(config, model, set, writer));
  return model;
}

Result<std::optional<TensorPlan>> PlanTensor(const ModelConfig& model, std::string_view full_name) {
  using Change = TensorPlan::Change;
  std::string_view name = full_name;
  if (IsUnneeded(name)) return std::nullopt;
  std::string renamed;
  if (StripPrefix(name, "model.language_model.")) {
    renamed = "model." + std::string(name);
    name = renamed;
  } else {
    StripPrefix(name, "language_model.");
  }
  if (model.architecture == "bert") StripPrefix(name, "bert.");
  if (IsUnneeded(name)) return std::nullopt;
  if (name == "lm_head.weight" && model.tied) return std::nullopt;
  const auto plan = [&](std::string target) {
    const bool gemma_norm = model.architecture == "gemma3" && target.ends_with("norm.weight");
    Change change = gemma_norm ? Change::kAddOne : Change::kNone;
    if (model.architecture == "llama" && target.find("attn_q.") != std::string::npos)
      change = Change::kPermuteQuery;
    if (model.architecture == "llama" && target.find("attn_k.") != std::string::npos)
      change = Change::kPermuteKey;
    return std::optional(TensorPlan{std::move(target), change});
  };
  if (auto top_level = TopLevelName(name)) return plan(std::move(*top_level));
  std::string_view rest = name;
  if (StripPrefix(rest, "model.layers.") || StripPrefix(rest, "encoder.layer.")) {
    const size_t dot = rest.find('.'), last_dot = rest.rfind('.');
    if (dot != std::string_view::npos && last_dot > dot) {
      const std::string_view layer = rest.substr(0, dot),
                             part = rest.substr(dot + 1, last_dot - dot - 1),
                             kind = rest.substr(last_dot + 1);
      const bool is_number = !layer.empty() && layer.size() < 6 &&
                             layer.find_first_not_of("0123456789") == std::string_view::npos;
      const auto target = PartName(model.architecture, part);
      if (is_number && target && (kind == "weight" || kind == "bias")) {
        return plan("blk." + std::string(layer) + "." + *target + "." + std::string(kind));
      }
    }
  }
  return MakeError(ErrorCode::kUnsupported, "tensor \"" + std::string(full_name) +
                                                "\" has no place in a model of type " +
                                                model.architecture);
}

}  // namespace hearth
