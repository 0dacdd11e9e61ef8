#include "kit/tokenizer_keys.h"

#include <filesystem>
#include <optional>
#include <sstream>
#include <vector>

#include "base/mapped_file.h"
#include "kit/json_file.h"
#include "kit/pre_tokenizer_patterns.h"
#include "kit/sentencepiece_model.h"

namespace hearth {
namespace {

// As in tokenizer.ggml.token_type.
constexpr int64_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
constexpr int64_t kMaxTokens = 1 << 22;

std::string ReadText(const std::string& path, Status& status) {
  const auto file = MappedFile::Open(path);
  if (!file) {
    status = tl::unexpected(file.error());
    return {};
  }
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

// A vocabulary under construction: spelling and type by id.
class Vocabulary {
 public:
  Status Add(int64_t id, std::string text, int64_t type) {
    if (id < 0 || id >= kMaxTokens)
      return MakeError(ErrorCode::kCorrupt,
                       "the token \"" + text + "\" has the id " + std::to_string(id));
    const auto index = static_cast<size_t>(id);
    if (index >= texts_.size()) {
      texts_.resize(index + 1);
      types_.resize(index + 1, 0);
    }
    texts_[index] = std::move(text);
    types_[index] = type;
    return {};
  }
  // Ids that nothing claimed, up to the embedding's size.
  void FillGaps(int64_t num_rows) {
    if (num_rows > static_cast<int64_t>(texts_.size()) && num_rows <= kMaxTokens) {
      texts_.resize(static_cast<size_t>(num_rows));
      types_.resize(static_cast<size_t>(num_rows), 0);
    }
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (types_[id] != 0) continue;
      texts_[id] = "[PAD" + std::to_string(id) + "]";
      types_[id] = kUnused;
    }
  }
  std::optional<int64_t> Find(const std::string& text) const {
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (texts_[id] == text && types_[id] != 0) return static_cast<int64_t>(id);
    }
    return std::nullopt;
  }
  size_t size() const { return texts_.size(); }
  void Write(GgufWriter& writer) const {
    writer.SetStringArray("tokenizer.ggml.tokens", texts_);
    writer.SetInt32Array("tokenizer.ggml.token_type", types_);
  }

 private:
  std::vector<std::string> texts_;
  std::vector<int64_t> types_;
};

class TokenizerWriter {
 public:
  TokenizerWriter(std::string folder, int64_t num_rows, GgufWriter& writer)
      : folder_(std::move(folder)), num_rows_(num_rows), writer_(writer) {}

  Status Run(bool is_bert) {
    HEARTH_ASSIGN_OR_RETURN(config_, ReadOptionalJsonObject(folder_ + "/tokenizer_config.json"));
    HEARTH_ASSIGN_OR_RETURN(special_map_,
                            ReadOptionalJsonObject(folder_ + "/special_tokens_map.json"));
    HEARTH_ASSIGN_OR_RETURN(model_config_, ReadOptionalJsonObject(folder_ + "/config.json"));
    HEARTH_ASSIGN_OR_RETURN(generation_config_,
                            ReadOptionalJsonObject(folder_ + "/generation_config.json"));
    HEARTH_ASSIGN_OR_RETURN(tokenizer_, ReadOptionalJsonObject(folder_ + "/tokenizer.json"));
    if (is_bert) {
      HEARTH_RETURN_IF_ERROR(WordPiece());
    } else if (std::filesystem::exists(folder_ + "/tokenizer.model")) {
      HEARTH_RETURN_IF_ERROR(SentencePiece());
    } else if (!tokenizer_.empty()) {
      HEARTH_RETURN_IF_ERROR(Bpe());
    } else {
      return MakeError(ErrorCode::kNotFound,
                       folder_ + " has neither tokenizer.json nor tokenizer.model");
    }
    vocabulary_.FillGaps(num_rows_);
    if (num_rows_ > 0 && static_cast<int64_t>(vocabulary_.size()) > num_rows_) {
      return MakeError(ErrorCode::kCorrupt,
                       "the tokenizer has " + std::to_string(vocabulary_.size()) +
                           " tokens, the embedding " + std::to_string(num_rows_) + " rows");
    }
    vocabulary_.Write(writer_);
    HEARTH_RETURN_IF_ERROR(SpecialIds(is_bert));
    return ChatTemplate();
  }

 private:
  // ---- the three kinds ----

  Status Bpe() {
    const Json* model = JsonChild(tokenizer_, "model");
    if (model == nullptr) return MakeError(ErrorCode::kCorrupt, "tokenizer.json has no model");
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type, JsonString(*model, "type"));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> byte_fallback,
                            JsonBool(*model, "byte_fallback"));
    if (type.value_or("BPE") != "BPE") {
      return MakeError(ErrorCode::kUnsupported,
                       "tokenizer.json: a model of type \"" + *type + "\" is not supported here");
    }
    if (byte_fallback.value_or(false)) {
      return MakeError(ErrorCode::kUnsupported,
                       "a SentencePiece tokenizer without its tokenizer.model is not supported");
    }
    HEARTH_ASSIGN_OR_RETURN(const std::string pre, PreTokenizerName(*model));
    writer_.SetString("tokenizer.ggml.model", "gpt2");
    writer_.SetString("tokenizer.ggml.pre", pre);
    const Json* vocab = JsonChild(*model, "vocab");
    const Json* merges = JsonChild(*model, "merges");
    if (vocab == nullptr || !vocab->is_object() || merges == nullptr || !merges->is_array()) {
      return MakeError(ErrorCode::kCorrupt, "tokenizer.json: the model has no vocab and merges");
    }
    for (const auto& [text, id] : vocab->items()) {
      if (!id.is_number_integer())
        return MakeError(ErrorCode::kCorrupt, "tokenizer.json: token \"" + text + "\" has no id");
      HEARTH_RETURN_IF_ERROR(vocabulary_.Add(id.get<int64_t>(), text, kNormal));
    }
    std::vector<std::string> lines;
    for (const Json& merge : *merges) {
      if (merge.is_string()) {
        lines.push_back(merge.get<std::string>());
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        lines.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
      } else {
        return MakeError(ErrorCode::kCorrupt,
                         "tokenizer.json: the merge " + merge.dump() + " is no pair");
      }
    }
    writer_.SetStringArray("tokenizer.ggml.merges", std::move(lines));
    HEARTH_RETURN_IF_ERROR(AddedTokens());
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> add_bos, JsonBool(config_, "add_bos_token"));
    writer_.SetBool("tokenizer.ggml.add_bos_token", add_bos.value_or(PostProcessorAddsBos()));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> add_eos, JsonBool(config_, "add_eos_token"));
    if (add_eos) writer_.SetBool("tokenizer.ggml.add_eos_token", *add_eos);
    return {};
  }

  Status SentencePiece() {
    const std::string path = folder_ + "/tokenizer.model";
    HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    auto parsed = ParseSentencePieceModel(file.bytes());
    if (!parsed) return MakeError(parsed.error().code, path + ": " + parsed.error().message);
    const SentencePieceModel& model = *parsed;
    if (model.model_type != 2) {
      return MakeError(ErrorCode::kUnsupported, path + ": SentencePiece models of type " +
                                                    std::to_string(model.model_type) +
                                                    " are not supported (2, BPE, is)");
    }
    std::vector<double> scores;
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePieceModel::Piece& piece = model.pieces[id];
      HEARTH_RETURN_IF_ERROR(
          vocabulary_.Add(static_cast<int64_t>(id), piece.text, static_cast<int64_t>(piece.type)));
      scores.push_back(static_cast<double>(piece.score));
    }
    HEARTH_RETURN_IF_ERROR(AddedTokens());
    vocabulary_.FillGaps(num_rows_);
    scores.resize(vocabulary_.size(), -1000.0);
    writer_.SetString("tokenizer.ggml.model", "llama");
    writer_.SetString("tokenizer.ggml.pre", "default");
    writer_.SetFloat32Array("tokenizer.ggml.scores", std::move(scores));
    writer_.SetBool("tokenizer.ggml.add_space_prefix", model.add_dummy_prefix);
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> add_bos, JsonBool(config_, "add_bos_token"));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> add_eos, JsonBool(config_, "add_eos_token"));
    writer_.SetBool("tokenizer.ggml.add_bos_token", add_bos.value_or(true));
    writer_.SetBool("tokenizer.ggml.add_eos_token", add_eos.value_or(false));
    return {};
  }

  Status WordPiece() {
    std::vector<std::string> lines;
    if (std::filesystem::exists(folder_ + "/vocab.txt")) {
      Status read;
      std::istringstream text(ReadText(folder_ + "/vocab.txt", read));
      HEARTH_RETURN_IF_ERROR(std::move(read));
      for (std::string line; std::getline(text, line);) {
        if (line.ends_with('\r')) line.pop_back();
        lines.push_back(std::move(line));
      }
    } else {
      return MakeError(ErrorCode::kNotFound, folder_ + " has no vocab.txt");
    }
    for (size_t id = 0; id < lines.size(); ++id) {
      std::string& line = lines[id];
      int64_t type = kNormal;
      if (line.starts_with('[') && line.ends_with(']')) {
        type = line == "[UNK]" ? kUnknown
               : line == "[PAD]" || line == "[CLS]" || line == "[SEP]" || line == "[MASK]"
                   ? kControl
                   : kNormal;
      } else if (line.starts_with("##")) {
        line.erase(0, 2);
      } else {
        line.insert(0, kSpaceMark);
      }
      HEARTH_RETURN_IF_ERROR(vocabulary_.Add(static_cast<int64_t>(id), std::move(line), type));
    }
    writer_.SetString("tokenizer.ggml.model", "bert");
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> lowercase,
                            JsonBool(config_, "do_lower_case"));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> strip_accents,
                            JsonBool(config_, "strip_accents"));
    writer_.SetBool("tokenizer.ggml.normalizer.lowercase", lowercase.value_or(true));
    if (strip_accents) writer_.SetBool("tokenizer.ggml.normalizer.strip_accents", *strip_accents);
    return {};
  }

  // ---- details ----

  // Tokens beside the model's own: the marks of the prompt format and the like.
  Status AddedTokens() {
    const auto add = [&](const Json& id, const Json& token) -> Status {
      const Json* content =
          token.is_object() && token.contains("content") ? &token["content"] : nullptr;
      if (!id.is_number_integer() || content == nullptr || !content->is_string()) {
        return MakeError(ErrorCode::kCorrupt, "an added token is not described properly: " +
                                                  token.dump().substr(0, 200));
      }
      // Marks of parts that a text-only model lacks (gemma3's images) have no row: they can be
      // neither read nor written.
      if (num_rows_ > 0 && id.get<int64_t>() >= num_rows_) return {};
      const bool special = token.value("special", Json(false)) == Json(true);
      return vocabulary_.Add(id.get<int64_t>(), content->get<std::string>(),
                             special ? kControl : kUserDefined);
    };
    if (const Json* added = JsonChild(tokenizer_, "added_tokens")) {
      for (const Json& token : *added) {
        if (!token.is_object())
          return MakeError(ErrorCode::kCorrupt, "tokenizer.json: an added token is no object");
        HEARTH_RETURN_IF_ERROR(add(token.value("id", Json()), token));
      }
    } else if (const Json* decoder = JsonChild(config_, "added_tokens_decoder")) {
      for (const auto& [id, token] : decoder->items()) {
        const bool is_number = !id.empty() && id.size() < 10 &&
                               id.find_first_not_of("0123456789") == std::string::npos;
        HEARTH_RETURN_IF_ERROR(add(is_number ? Json(std::stoll(id)) : Json(), token));
      }
    }
    return {};
  }

  // Which of the known pre-tokenizers the file describes.
  Result<std::string> PreTokenizerName(const Json& model) const {
    const Json* pre = JsonChild(tokenizer_, "pre_tokenizer");
    if (pre == nullptr)
      return MakeError(ErrorCode::kUnsupported, "tokenizer.json has no pre_tokenizer");
    std::vector<const Json*> stages;
    if (const Json* sequence = JsonChild(*pre, "pretokenizers")) {
      for (const Json& stage : *sequence) stages.push_back(&stage);
    } else {
      stages.push_back(pre);
    }
    bool digits = false, byte_level = false, gpt2_pattern = false;
    std::vector<std::string> patterns;
    for (const Json* stage : stages) {
      const std::string type =
          stage->is_object() ? stage->value("type", std::string()) : std::string();
      if (type == "Digits") {
        digits = stage->value("individual_digits", Json(false)) == Json(true);
      } else if (type == "ByteLevel") {
        byte_level = true;
        gpt2_pattern = stage->value("use_regex", Json(true)) == Json(true);
      } else if (type == "Split") {
        const Json* pattern = JsonChild(*stage, "pattern");
        HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> regex,
                                pattern ? JsonString(*pattern, "Regex") : std::nullopt);
        patterns.push_back(regex.value_or("(not a regular expression)"));
      } else {
        return MakeError(ErrorCode::kUnsupported,
                         "tokenizer.json: the pre-tokenizer \"" + type + "\" is not supported");
      }
    }
    const bool whole_words = model.value("ignore_merges", Json(false)) == Json(true);
    if (byte_level && gpt2_pattern && patterns.empty())
      return std::string(digits ? "smollm" : "gpt-2");
    if (byte_level && !gpt2_pattern && !digits && patterns.size() == 1) {
      if (patterns[0] == kQwen2Pattern) return std::string("qwen2");
      if (patterns[0] == kLlama3Pattern)
        return std::string(whole_words ? "llama-bpe" : "smaug-bpe");
      if (patterns[0] == kTekkenPattern) return std::string("tekken");
    }
    std::string all;
    for (const std::string& pattern : patterns) all += (all.empty() ? "" : "  then  ") + pattern;
    return MakeError(
        ErrorCode::kUnsupported,
        "tokenizer.json: no pre-tokenizer of ours splits by  " + (all.empty() ? pre->dump() : all));
  }

  // The template of a single text begins with a special token.
  bool PostProcessorAddsBos() const {
    const Json* post = JsonChild(tokenizer_, "post_processor");
    if (post == nullptr) return false;
    std::vector<const Json*> processors = {post};
    if (const Json* several = JsonChild(*post, "processors")) {
      processors.clear();
      for (const Json& one : *several) processors.push_back(&one);
    }
    for (const Json* processor : processors) {
      const Json* single = processor->is_object() ? JsonChild(*processor, "single") : nullptr;
      if (single != nullptr && single->is_array() && !single->empty() && (*single)[0].is_object() &&
          (*single)[0].contains("SpecialToken")) {
        return true;
      }
    }
    return false;
  }

  // "bos_token" and the like: a string, or an object with its content.
  std::optional<int64_t> NamedToken(const char* field) const {
    for (const Json* source : {&config_, &special_map_}) {
      const auto found = source->find(field);
      if (found == source->end() || found->is_null()) continue;
      if (found->is_string()) return vocabulary_.Find(found->get<std::string>());
      if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
        return vocabulary_.Find((*found)["content"].get<std::string>());
      }
    }
    return std::nullopt;
  }

  // An id, or the first of several, in config.json or generation_config.json; the others go to
  // `more`.
  std::optional<int64_t> ConfiguredId(const char* field,
                                      std::vector<int64_t>* more = nullptr) const {
    std::optional<int64_t> first;
    for (const Json* source : {&model_config_, &generation_config_}) {
      const auto found = source->find(field);
      if (found == source->end()) continue;
      std::vector<Json> values;
      if (found->is_array()) {
        values.assign(found->begin(), found->end());
      } else {
        values.push_back(*found);
      }
      for (const Json& value : values) {
        if (!value.is_number_integer()) continue;
        const int64_t id = value.get<int64_t>();
        if (id < 0 || id >= static_cast<int64_t>(vocabulary_.size())) continue;
        if (!first) first = id;
        if (more != nullptr) more->push_back(id);
      }
    }
    return first;
  }

  Status SpecialIds(bool is_bert) {
    const auto set = [&](const char* key, std::optional<int64_t> id) {
      if (id)
        writer_.SetUint32(std::string("tokenizer.ggml.") + key + "_token_id",
                          static_cast<uint32_t>(*id));
    };
    const auto named_or_configured = [&](const char* name, const char* id_field) {
      const auto named = NamedToken(name);
      return named ? named : ConfiguredId(id_field);
    };
    set("unknown", NamedToken("unk_token"));
    set("padding", named_or_configured("pad_token", "pad_token_id"));
    if (is_bert) {
      set("bos", NamedToken("cls_token"));
      set("cls", NamedToken("cls_token"));
      set("eos", NamedToken("sep_token"));
      set("seperator", NamedToken("sep_token"));  // the format's spelling
      set("mask", NamedToken("mask_token"));
      return {};
    }
    set("bos", named_or_configured("bos_token", "bos_token_id"));
    std::vector<int64_t> ends;
    const auto configured_end = ConfiguredId("eos_token_id", &ends);
    const auto named_end = NamedToken("eos_token");
    const auto eos = named_end ? named_end : configured_end;
    set("eos", eos);
    for (const int64_t end : ends) {
      if (end != eos) {
        set("eot", end);
        break;
      }
    }
    return {};
  }

  Status ChatTemplate() {
    const std::string path = folder_ + "/chat_template.jinja";
    if (std::filesystem::exists(path)) {
      Status read;
      writer_.SetString("tokenizer.chat_template", ReadText(path, read));
      return read;
    }
    const auto found = config_.find("chat_template");
    if (found == config_.end()) return {};
    if (found->is_string()) writer_.SetString("tokenizer.chat_template", found->get<std::string>());
    if (!found->is_array()) return {};
    for (const Json& named : *found) {
      if (named.is_object() && named.value("name", std::string()) == "default") {
        writer_.SetString("tokenizer.chat_template", named.value("template", std::string()));
      }
    }
    return {};
  }

  std::string folder_;
  int64_t num_rows_;
  GgufWriter& writer_;
  Json config_, special_map_, model_config_, generation_config_, tokenizer_;
  Vocabulary vocabulary_;
};

}  // namespace

Status SetTokenizer(const std::string& folder, bool is_bert, int64_t num_rows, GgufWriter& writer) {
  try {
    return TokenizerWriter(folder, num_rows, writer).Run(is_bert);
  } catch (const Json::exception& exception) {  // a field of another type than every such file has
    return MakeError(ErrorCode::kCorrupt, folder + ": the tokenizer's files: " + exception.what());
  }
}

}  // namespace hearth
