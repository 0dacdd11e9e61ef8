#pragma once
// A model's tokenizer and chat template together: messages <-> the tokens that the runtime would
// give that model. Threads: immutable after loading, safe from many threads.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/chat_template/chat_template.h"
#include "runtime/gguf/gguf.h"
#include "runtime/tokenizer/tokenizer.h"
#include "training/data/rows.h"

namespace hearth::forge {

class ChatTokenizer {
 public:
  // Of a GGUF file, or of a Hugging Face folder (its tokenizer files and config.json). A
  // `template_path` names a file with a Jinja template that replaces the model's own; "" keeps
  // that. Errors: those of the files, of their tables and of the template.
  static Result<ChatTokenizer> Load(const std::string& model_path,
                                    const std::string& template_path = "");
  static Result<ChatTokenizer> FromGguf(const GgufFile& file,
                                        std::optional<std::string> template_source = {});

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  bool has_template() const { return template_.has_value(); }

  // What the template writes; `for_answer`: up to where the assistant begins. Special tokens that
  // stand in a message stay text. Dates are those of a fixed day, so that data does not depend on
  // when it was made. Errors: kUnsupported without a template, those of ChatTemplate::Render.
  Result<jinja::Text> Render(std::span<const Message> messages, bool for_answer) const;
  // The tokens of a rendering, as the runtime makes them: BOS where the model wants one.
  std::vector<int32_t> Encode(const jinja::Text& text) const;
  // Of what follows tokens that are there already: without BOS and EOS.
  std::vector<int32_t> EncodeRest(const jinja::Text& text) const;
  // Render and Encode, up to where the assistant begins.
  Result<std::vector<int32_t>> Prompt(std::span<const Message> messages) const;

 private:
  ChatTokenizer(std::unique_ptr<const Tokenizer> tokenizer, std::optional<ChatTemplate> parsed)
      : tokenizer_(std::move(tokenizer)), template_(std::move(parsed)) {}

  std::unique_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
};

}  // namespace hearth::forge
