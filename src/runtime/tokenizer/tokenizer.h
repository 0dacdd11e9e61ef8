#pragma once
// Text <-> token ids, from the tables a GGUF file carries (tokenizer.ggml.*). Byte-level BPE,
// SentencePiece and WordPiece behind one interface.
// Threads: immutable after construction, safe from many threads.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

class GgufFile;

using TokenId = int32_t;

// A stretch of prompt text. Special tokens ("<|im_end|>") are recognised only in stretches that say
// so: the text of a chat template does, what a user typed does not. Between special tokens,
// neighbouring stretches are tokenised as one text.
struct TextSegment {
  std::string_view text;
  bool parse_special = false;
};

class Tokenizer {
 public:
  // Errors: kUnsupported for a model or pre-tokenizer we lack (named), kCorrupt for tables that
  // contradict each other.
  static Result<std::unique_ptr<Tokenizer>> FromGguf(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted; invalid UTF-8 becomes byte tokens or unknown tokens. Time is linear in
  // the input's length (BPE merges: n log n within a word). `add_special` puts BOS/EOS (CLS/SEP)
  // where the model's metadata asks for it.
  std::vector<TokenId> Encode(std::span<const TextSegment> segments, bool add_special) const;
  std::vector<TokenId> Encode(std::string_view text, bool add_special,
                              bool parse_special = false) const;

  // The bytes a token stands for in running text; may be part of a UTF-8 character. Control tokens
  // give an empty string unless `show_special`. Requires: 0 <= id < vocab_size().
  virtual std::string TokenBytes(TokenId id, bool show_special = false) const = 0;
  // Text of a whole sequence as a user would read it: always valid UTF-8, broken bytes as U+FFFD.
  virtual std::string Decode(std::span<const TokenId> ids, bool show_special = false) const = 0;

  virtual int vocab_size() const = 0;
  // The token's own spelling in the vocabulary table (a word with its
  // alphabet's mark for the space before it, "<|im_end|>").
  virtual std::string_view TokenText(TokenId id) const = 0;
  virtual std::optional<TokenId> FindToken(std::string_view text) const = 0;
  virtual bool IsControl(TokenId id) const = 0;
  // Every token that ends a turn or a text: EOS, EOT, EOM and the known end-of-turn spellings of
  // the families.
  virtual bool IsEndOfGeneration(TokenId id) const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  virtual bool adds_bos() const = 0;
  // Whether text begins with a space that is not the user's (SentencePiece and WordPiece), which
  // Decode drops.
  virtual bool drops_leading_space() const { return false; }
  virtual std::string_view model_name() const = 0;  // "gpt2", "llama", "bert"
  virtual std::string_view pre_name()
      const = 0;  // pre-tokenizer, "qwen2"; empty where there is none

 protected:
  virtual std::vector<TokenId> EncodeSegments(std::span<const TextSegment> segments,
                                              bool add_special) const = 0;
};

// Turns a stream of tokens into whole UTF-8 characters: bytes of an unfinished character are held
// back until it is complete or proves invalid (then U+FFFD). One per stream.
class StreamDecoder {
 public:
  // `continues_text`: what is decoded goes on from text before it, so that a leading space is part
  // of it.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool show_special = false,
                         bool continues_text = false)
      : tokenizer_(&tokenizer), show_special_(show_special), at_start_(!continues_text) {}
  // Text that became complete with this token; may be empty.
  std::string Push(TokenId id);
  // Whatever is left at the end, invalid bytes as U+FFFD.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool show_special_;
  bool at_start_;
  std::string pending_;
};

}  // namespace hearth
