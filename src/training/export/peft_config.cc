#include "training/export/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/mapped_file.h"
#include "kit/json_file.h"

namespace hearth::forge {
namespace {

constexpr const char* kFileName = "/adapter_config.json";
constexpr size_t kMaxInvocationTokens = 4096;

constexpr std::string_view kLinears[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                         "gate_proj", "up_proj", "down_proj"};
// Read below.
constexpr std::string_view kRead[] = {
    "peft_type",  "task_type",      "r",          "lora_alpha",
    "use_rslora", "lora_dropout",   "bias",       "target_modules",
    "base_model_name_or_path",      "alora_invocation_tokens",
    "init_lora_weights"};
// Of the file's history, or of settings that are refused themselves.
constexpr std::string_view kNoDifference[] = {"auto_mapping",  "peft_version",      "revision",
                                              "inference_mode", "megatron_core",     "runtime_config",
                                              "qalora_group_size"};

template <typename List>
bool Contains(const List& list, std::string_view name) {
  return std::ranges::find(list, name) != std::end(list);
}

// Off, absent, empty: makes no difference whatever the setting means.
bool IsOff(const Json& value) {
  return value.is_null() || value == Json(false) || (value.is_structured() && value.empty());
}

class Reader {
 public:
  Reader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {}

  Result<PeftConfig> Read() const {
    PeftConfig config;
    HEARTH_RETURN_IF_ERROR(CheckSettings());
    HEARTH_ASSIGN_OR_RETURN(const auto rank, Named(JsonInt(json_, "r")));
    if (!rank || *rank < 1 || *rank > 4096)
      return Wrong(ErrorCode::kCorrupt, "r", rank ? Json(*rank) : Json());
    config.rank = *rank;
    HEARTH_ASSIGN_OR_RETURN(const auto alpha, Named(JsonNumber(json_, "lora_alpha")));
    if (!alpha || !(*alpha > 0) || !std::isfinite(*alpha))
      return Wrong(ErrorCode::kCorrupt, "lora_alpha", alpha ? Json(*alpha) : Json());
    config.alpha = *alpha;
    HEARTH_ASSIGN_OR_RETURN(const auto rs_lora, Named(JsonBool(json_, "use_rslora")));
    config.rs_lora = rs_lora.value_or(false);
    HEARTH_ASSIGN_OR_RETURN(const auto dropout, Named(JsonNumber(json_, "lora_dropout")));
    config.dropout = dropout.value_or(0);
    if (!(config.dropout >= 0 && config.dropout < 1))
      return Wrong(ErrorCode::kCorrupt, "lora_dropout", Json(config.dropout));
    HEARTH_ASSIGN_OR_RETURN(const auto base, Named(JsonString(json_, "base_model_name_or_path")));
    config.base_model = base.value_or("");
    HEARTH_RETURN_IF_ERROR(ReadTargets(config));
    HEARTH_RETURN_IF_ERROR(ReadInvocation(config));
    return config;
  }

 private:
  template <typename T>
  Result<T> Named(Result<T> value) const {
    if (!value) return MakeError(value.error().code, what_ + ": " + value.error().message);
    return value;
  }
  tl::unexpected<Error> Wrong(ErrorCode code, const std::string& field, const Json& value) const {
    return MakeError(code, what_ + ": " + field + " is " +
                               value.dump(-1, ' ', false, Json::error_handler_t::replace)
                                   .substr(0, 200));
  }
  Json Field(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() ? Json() : *found;
  }

  Status CheckSettings() const {
    if (const Json type = Field("peft_type"); type != "LORA")
      return Wrong(ErrorCode::kUnsupported, "peft_type", type);
    const Json task = Field("task_type");
    if (!task.is_null() && task != "CAUSAL_LM")
      return Wrong(ErrorCode::kUnsupported, "task_type", task);
    const Json bias = Field("bias");
    if (!bias.is_null() && bias != "none") return Wrong(ErrorCode::kUnsupported, "bias", bias);
    // The others change the base's weights too, or are for a base that is quantised.
    const Json init = Field("init_lora_weights");
    if (!init.is_null() && !init.is_boolean() && init != "gaussian" && init != "orthogonal" &&
        init != "eva")
      return Wrong(ErrorCode::kUnsupported, "init_lora_weights", init);
    for (const auto& [name, value] : json_.items()) {
      if (Contains(kRead, name) || Contains(kNoDifference, name) || IsOff(value)) continue;
      return Wrong(ErrorCode::kUnsupported, name.substr(0, 100), value);
    }
    return {};
  }

  Status ReadTargets(PeftConfig& config) const {
    const Json targets = Field("target_modules");
    if (targets.is_string()) return {};
    if (!targets.is_array() || targets.empty())
      return Wrong(ErrorCode::kCorrupt, "target_modules", targets);
    for (const Json& target : targets) {
      const std::string path = target.is_string() ? target.get<std::string>() : "";
      const std::string name = path.substr(path.rfind('.') + 1);  // npos + 1 is 0
      if (!Contains(kLinears, name))
        return Wrong(ErrorCode::kUnsupported, "a module in target_modules", target);
      if (!Contains(config.targets, name)) config.targets.push_back(name);
    }
    return {};
  }

  Status ReadInvocation(PeftConfig& config) const {
    const Json tokens = Field("alora_invocation_tokens");
    if (tokens.is_null()) return {};
    if (!tokens.is_array() || tokens.size() > kMaxInvocationTokens)
      return Wrong(ErrorCode::kCorrupt, "alora_invocation_tokens", tokens);
    for (const Json& token : tokens) {
      if (!token.is_number_integer() || token.get<int64_t>() < 0 || token.get<int64_t>() > (1 << 30))
        return Wrong(ErrorCode::kCorrupt, "a token of alora_invocation_tokens", token);
      config.invocation_tokens.push_back(token.get<int32_t>());
    }
    return {};
  }

  const Json& json_;
  std::string what_;
};

}  // namespace

Result<PeftConfig> ParsePeftConfig(std::string_view text, const std::string& what) {
  HEARTH_ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text, what));
  return Reader(json, what).Read();
}

Result<PeftConfig> ReadPeftConfig(const std::string& folder) {
  const std::string path = folder + kFileName;
  HEARTH_ASSIGN_OR_RETURN(const Json json, ReadJsonObject(path));
  return Reader(json, path).Read();
}

std::string PeftConfigText(const PeftConfig& config) {
  using Ordered = nlohmann::ordered_json;
  const bool whole_alpha = config.alpha == std::floor(config.alpha) && config.alpha < 1e15;
  Ordered json = {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path",
       config.base_model.empty() ? Ordered() : Ordered(config.base_model)},
      {"inference_mode", true},
      {"r", config.rank},
      {"lora_alpha",
       whole_alpha ? Ordered(static_cast<int64_t>(config.alpha)) : Ordered(config.alpha)},
      {"use_rslora", config.rs_lora},
      {"lora_dropout", config.dropout},
      {"target_modules", config.targets},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"init_lora_weights", true},
      {"use_dora", false},
      {"modules_to_save", nullptr},
      {"layers_to_transform", nullptr},
      {"layers_pattern", nullptr},
      {"rank_pattern", Ordered::object()},
      {"alpha_pattern", Ordered::object()},
  };
  if (!config.invocation_tokens.empty()) json["alora_invocation_tokens"] = config.invocation_tokens;
  return json.dump(2, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

}  // namespace hearth::forge
