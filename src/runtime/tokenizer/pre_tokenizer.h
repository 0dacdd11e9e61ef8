#pragma once
// Cuts text into the words that byte-level BPE merges within. One per pattern that models are
// published with.
// Threads: immutable, safe from many threads.
// Source: the "pre_tokenizer" of each model's tokenizer.json; GGUF names them in
// tokenizer.ggml.pre.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

class PreTokenizer {
 public:
  // An empty name is what old files have, and means "default". Errors: kUnsupported, naming it.
  static Result<PreTokenizer> ForName(std::string_view name);

  // Ends of the words of `text`, ascending; the last is text.size(). Linear in the text's length;
  // any bytes are accepted.
  std::vector<size_t> WordEnds(std::string_view text) const;

  // Whether a word that is a token becomes that token, whatever the merges would make of it.
  bool prefers_whole_words() const { return prefers_whole_words_; }
  // Whether models with this pre-tokenizer begin with BOS unless their file says otherwise.
  bool adds_bos() const { return adds_bos_; }

  struct ClassifiedText;
  // End of the first word of [begin, end).
  using NextWord = size_t (*)(const ClassifiedText& text, size_t begin, size_t end);

 private:
  PreTokenizer() = default;

  std::span<const NextWord> stages_;  // each splits the words of the one before
  bool prefers_whole_words_ = false;
  bool adds_bos_ = false;
};

}  // namespace hearth
