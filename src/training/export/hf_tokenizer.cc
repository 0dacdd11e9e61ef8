#include "training/export/hf_tokenizer.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/json_file.h"
#include "kit/pre_tokenizer_patterns.h"

namespace hearth::forge {
namespace {

using Ordered = nlohmann::ordered_json;

// As in tokenizer.ggml.token_type.
constexpr int64_t kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5;

Json ByteLevel(bool trim_offsets, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", trim_offsets},
          {"use_regex", use_regex}};
}

Json SplitThenBytes(std::string_view pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            ByteLevel(false, false)}}};
}

struct PreTokenizer {
  Json stages;
  bool normalizes = false;   // to NFC; GGUF files do not say it
  bool whole_words = false;  // words that are tokens are not merged
  bool adds_bos = false;     // unless the file says otherwise
};

Result<PreTokenizer> PreTokenizerOf(const std::string& name) {
  PreTokenizer pre;
  if (name == "gpt-2" || name == "default" || name.empty()) {
    pre.stages = ByteLevel(true, true);
  } else if (name == "smollm") {
    pre.stages = {{"type", "Sequence"},
                  {"pretokenizers",
                   {{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true, true)}}};
  } else if (name == "qwen2") {
    pre.stages = SplitThenBytes(kQwen2Pattern);
    pre.normalizes = true;
  } else if (name == "llama-bpe") {
    pre.stages = SplitThenBytes(kLlama3Pattern);
    pre.whole_words = pre.adds_bos = true;
  } else if (name == "smaug-bpe") {
    pre.stages = SplitThenBytes(kLlama3Pattern);
  } else if (name == "tekken") {
    pre.stages = SplitThenBytes(kTekkenPattern);
    pre.whole_words = pre.adds_bos = true;
  } else {
    return MakeError(ErrorCode::kUnsupported,
                     "tokenizer.ggml.pre \"" + name + "\": no tokenizer.json is known for it");
  }
  return pre;
}

class Builder {
 public:
  explicit Builder(const GgufFile& file) : file_(file) {}

  Result<HfTokenizer> Build() {
    HEARTH_ASSIGN_OR_RETURN(const std::string model, file_.GetString("tokenizer.ggml.model"));
    if (model != "gpt2")
      return MakeError(ErrorCode::kUnsupported,
                       "tokenizer.ggml.model \"" + model +
                           "\": tokenizer.json is made of byte-level BPE (\"gpt2\") alone");
    const std::string pre_name = file_.GetString("tokenizer.ggml.pre").value_or("");
    HEARTH_ASSIGN_OR_RETURN(const PreTokenizer pre, PreTokenizerOf(pre_name));
    HEARTH_ASSIGN_OR_RETURN(tokens_, file_.GetStringArray("tokenizer.ggml.tokens"));
    HEARTH_RETURN_IF_ERROR(Vocabulary());
    HEARTH_RETURN_IF_ERROR(Merges());
    HEARTH_ASSIGN_OR_RETURN(const bool adds_bos,
                            file_.GetBoolOr("tokenizer.ggml.add_bos_token", pre.adds_bos));
    const std::optional<std::string> bos = Named("bos");
    Json tokenizer = {{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", std::move(added_)},
                      {"normalizer", pre.normalizes ? Json{{"type", "NFC"}} : Json()},
                      {"pre_tokenizer", pre.stages},
                      {"post_processor", adds_bos && bos ? BosProcessor(*bos)
                                                         : ByteLevel(false, false)},
                      {"decoder", ByteLevel(true, true)},
                      {"model",
                       {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", pre.whole_words},
                        {"vocab", std::move(vocab_)},
                        {"merges", std::move(merges_)}}}};
    HfTokenizer made;
    made.chat_template = file_.GetString("tokenizer.chat_template").value_or("");
    made.tokenizer_json = tokenizer.dump(1);
    made.tokenizer_config_json = Config(made.chat_template).dump(2) + "\n";
    return made;
  }

 private:
  Status Vocabulary() {
    std::vector<int64_t> types(tokens_->size(), 1);
    if (file_.Has("tokenizer.ggml.token_type")) {
      HEARTH_ASSIGN_OR_RETURN(const auto* stored, file_.GetIntArray("tokenizer.ggml.token_type"));
      if (stored->size() != types.size())
        return MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.token_type has " +
                                                  std::to_string(stored->size()) + " entries for " +
                                                  std::to_string(types.size()) + " tokens");
      types = *stored;
    }
    vocab_ = Json::object();
    added_ = Json::array();
    for (size_t id = 0; id < types.size(); ++id) {
      const std::string& text = (*tokens_)[id];
      // Rows of the embedding that no text reaches: config.json's vocab_size counts them.
      if (types[id] == kUnused) continue;
      // Marks are listed here too: that way they keep their ids whatever gaps there are.
      if (!vocab_.emplace(text, id).second)
        return MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.tokens: \"" + text.substr(0, 100) +
                                                  "\" is there twice, the second time at " +
                                                  std::to_string(id));
      const bool special = types[id] == kControl || types[id] == kUnknown;
      if (!special && types[id] != kUserDefined) continue;
      added_.push_back({{"id", id},
                        {"content", text},
                        {"single_word", false},
                        {"lstrip", false},
                        {"rstrip", false},
                        {"normalized", false},
                        {"special", special}});
    }
    return {};
  }

  Status Merges() {
    HEARTH_ASSIGN_OR_RETURN(const auto* merges, file_.GetStringArray("tokenizer.ggml.merges"));
    merges_ = Json::array();
    for (const std::string& merge : *merges) {
      // The first place is where the pair is cut: pieces of byte-level tokens hold no space.
      const size_t space = merge.find(' ', 1);
      if (space == std::string::npos || space + 1 == merge.size())
        return MakeError(ErrorCode::kCorrupt,
                         "tokenizer.ggml.merges: \"" + merge.substr(0, 100) + "\" is no pair");
      merges_.push_back({merge.substr(0, space), merge.substr(space + 1)});
    }
    return {};
  }

  std::optional<int64_t> Id(const char* name) const {
    const auto id = file_.GetInt(std::string("tokenizer.ggml.") + name + "_token_id");
    if (!id || *id < 0 || *id >= static_cast<int64_t>(tokens_->size())) return std::nullopt;
    return *id;
  }
  std::optional<std::string> Named(const char* name) const {
    const auto id = Id(name);
    return id ? std::optional((*tokens_)[static_cast<size_t>(*id)]) : std::nullopt;
  }

  Json BosProcessor(const std::string& bos) const {
    const Json mark = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
    const auto text = [](const char* id, int type) {
      return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
    };
    return {{"type", "TemplateProcessing"},
            {"single", {mark, text("A", 0)}},
            {"pair", {mark, text("A", 0), mark, text("B", 1)}},
            {"special_tokens",
             {{bos, {{"id", bos}, {"ids", {*Id("bos")}}, {"tokens", {bos}}}}}}};
  }

  Ordered Config(const std::string& chat_template) const {
    // Not the model's own class: some of those build their tokenizer anew, without these stages.
    Ordered config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"clean_up_tokenization_spaces", false}};
    const std::pair<const char*, const char*> names[] = {
        {"bos", "bos_token"}, {"eos", "eos_token"}, {"padding", "pad_token"},
        {"unknown", "unk_token"}};
    for (const auto& [ours, theirs] : names) {
      if (const auto text = Named(ours)) config[theirs] = *text;
    }
    if (!chat_template.empty()) config["chat_template"] = chat_template;
    return config;
  }

  const GgufFile& file_;
  const std::vector<std::string>* tokens_ = nullptr;
  Json vocab_, added_, merges_;
};

}  // namespace

Result<HfTokenizer> HfTokenizerOf(const GgufFile& file) {
  try {
    return Builder(file).Build();
  } catch (const Json::exception& exception) {  // text that is no UTF-8
    return MakeError(ErrorCode::kCorrupt, std::string("the tokenizer's tables: ") + exception.what());
  }
}

}  // namespace hearth::forge
