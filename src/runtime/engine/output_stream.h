#pragma once
// Turns the tokens of one answer into the text and tokens a client gets: whole characters, nothing
// at or behind a stop string, and text that may yet turn out to begin a stop string held back.
// Threads: one at a time.

#include <deque>
#include <string>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

class OutputStream {
 public:
  OutputStream(const Tokenizer& tokenizer, std::vector<std::string> stop);

  // What a token makes ready, put into event.text and event.tokens. True: a stop string is
  // complete, event.stop_matched names it, and nothing may follow.
  bool Push(SampledToken token, GenerateEvent* event);
  // The end: whatever was held back.
  void Finish(GenerateEvent* event);

 private:
  bool FindStop(GenerateEvent* event);
  void Emit(size_t size, GenerateEvent* event);
  void TakeTokensBefore(int64_t offset, GenerateEvent* event);
  size_t HeldBackSize() const;

  const Tokenizer* tokenizer_;
  StreamDecoder decoder_;
  std::vector<std::string> stop_;
  std::string held_;                   // text not yet given out
  std::deque<GeneratedToken> tokens_;  // not yet given out
  int64_t emitted_bytes_ = 0;
  int64_t token_bytes_ = 0;  // of all tokens so far
};

}  // namespace hearth
