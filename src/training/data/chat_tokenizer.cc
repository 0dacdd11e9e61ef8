#include "training/data/chat_tokenizer.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "kit/json_file.h"
#include "kit/tokenizer_keys.h"
#include "runtime/gguf/gguf_writer.h"

namespace hearth::forge {
namespace {

constexpr int64_t kRenderingDay = 1'700'000'000;  // 14 November 2023

// A folder's tokenizer as a GGUF file without tensors: the one form that the tokenizer reads.
Result<GgufFile> TokenizerOfFolder(const std::string& folder) {
  HEARTH_ASSIGN_OR_RETURN(const Json config, ReadJsonObject(folder + "/config.json"));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> vocab_size, JsonInt(config, "vocab_size"));
  if (!vocab_size || *vocab_size < 1)
    return MakeError(ErrorCode::kCorrupt, folder + "/config.json names no vocab_size");
  GgufWriter writer;
  HEARTH_RETURN_IF_ERROR(SetTokenizer(folder, /*is_bert=*/false, *vocab_size, writer));
  std::error_code code;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(code);
  if (code) return MakeError(ErrorCode::kIo, "no folder for temporary files: " + code.message());
  const std::string path =
      temporary / ("hearth_forge_tokenizer_" + std::to_string(getpid()) + ".gguf");
  HEARTH_RETURN_IF_ERROR(writer.Write(path));
  Result<GgufFile> file = GgufFile::Open(path);
  std::filesystem::remove(path, code);  // the mapping outlives the name
  return file;
}

Result<std::string> ReadText(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::vector<TokenId> EncodeParts(const Tokenizer& tokenizer, const jinja::Text& text,
                                 bool add_special) {
  const std::vector<jinja::Text::Part> parts = text.parts();
  std::vector<TextSegment> segments;
  for (const jinja::Text::Part& part : parts) segments.push_back({part.text, part.trusted});
  return tokenizer.Encode(segments, add_special);
}

}  // namespace

Result<ChatTokenizer> ChatTokenizer::FromGguf(const GgufFile& file,
                                              std::optional<std::string> template_source) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, Tokenizer::FromGguf(file));
  if (!template_source && file.Has("tokenizer.chat_template")) {
    HEARTH_ASSIGN_OR_RETURN(template_source, file.GetString("tokenizer.chat_template"));
  }
  std::optional<ChatTemplate> parsed;
  if (template_source) {
    HEARTH_ASSIGN_OR_RETURN(parsed, ChatTemplate::Parse(*template_source));
  }
  return ChatTokenizer(std::move(tokenizer), std::move(parsed));
}

Result<ChatTokenizer> ChatTokenizer::Load(const std::string& model_path,
                                          const std::string& template_path) {
  std::optional<std::string> source;
  if (!template_path.empty()) {
    HEARTH_ASSIGN_OR_RETURN(source, ReadText(template_path));
  }
  std::error_code code;
  const bool is_folder = std::filesystem::is_directory(model_path, code);
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file,
                          is_folder ? TokenizerOfFolder(model_path) : GgufFile::Open(model_path));
  return FromGguf(file, std::move(source));
}

Result<jinja::Text> ChatTokenizer::Render(std::span<const Message> messages,
                                          bool for_answer) const {
  if (!template_) return MakeError(ErrorCode::kUnsupported, "the model has no chat template");
  const auto spelling = [&](std::optional<TokenId> id) {
    return jinja::Value(id ? std::string(tokenizer_->TokenText(*id)) : std::string());
  };
  jinja::Array array;
  for (const Message& message : messages) {
    array.push_back(jinja::Object{{"role", jinja::Value::Input(message.role)},
                                  {"content", jinja::Value::Input(message.content)}});
  }
  return template_->Render({{"messages", jinja::Value(std::move(array))},
                            {"tools", jinja::None{}},
                            {"documents", jinja::None{}},
                            {"add_generation_prompt", jinja::Value(for_answer)},
                            {"bos_token", spelling(tokenizer_->bos())},
                            {"eos_token", spelling(tokenizer_->eos())}},
                           [] { return kRenderingDay; });
}

std::vector<int32_t> ChatTokenizer::Encode(const jinja::Text& text) const {
  std::vector<TokenId> tokens = EncodeParts(*tokenizer_, text, /*add_special=*/true);
  // A template that writes BOS itself must not get it twice.
  if (tokens.size() >= 2 && tokenizer_->bos() && tokenizer_->adds_bos() &&
      tokens[0] == *tokenizer_->bos() && tokens[1] == *tokenizer_->bos()) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

std::vector<int32_t> ChatTokenizer::EncodeRest(const jinja::Text& text) const {
  return EncodeParts(*tokenizer_, text, /*add_special=*/false);
}

Result<std::vector<int32_t>> ChatTokenizer::Prompt(std::span<const Message> messages) const {
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text text, Render(messages, /*for_answer=*/true));
  return Encode(text);
}

}  // namespace hearth::forge
