#include "runtime/engine/output_stream.h"

#include <algorithm>

namespace hearth {

OutputStream::OutputStream(const Tokenizer& tokenizer, std::vector<std::string> stop)
    : tokenizer_(&tokenizer), decoder_(tokenizer), stop_(std::move(stop)) {}

bool OutputStream::Push(SampledToken token, GenerateEvent* event) {
  GeneratedToken generated;
  generated.bytes = tokenizer_->TokenBytes(token.id);
  generated.text_offset = token_bytes_;
  token_bytes_ += static_cast<int64_t>(generated.bytes.size());
  const TokenId id = token.id;
  generated.sampled = std::move(token);
  tokens_.push_back(std::move(generated));
  held_ += decoder_.Push(id);
  if (FindStop(event)) return true;
  Emit(held_.size() - HeldBackSize(), event);
  return false;
}

void OutputStream::Finish(GenerateEvent* event) {
  held_ += decoder_.Finish();
  if (FindStop(event)) return;
  Emit(held_.size(), event);
  TakeTokensBefore(token_bytes_ + 1, event);
}

// The earliest stop string in what is held. Text already given out cannot begin one: it was held
// back while it could.
bool OutputStream::FindStop(GenerateEvent* event) {
  size_t earliest = std::string::npos;
  for (const std::string& stop : stop_) {
    const size_t at = held_.find(stop);
    if (at < earliest) {
      earliest = at;
      event->stop_matched = stop;
    }
  }
  if (earliest == std::string::npos) return false;
  TakeTokensBefore(emitted_bytes_ + static_cast<int64_t>(earliest), event);
  event->text += held_.substr(0, earliest);
  held_.clear();
  tokens_.clear();
  return true;
}

void OutputStream::Emit(size_t size, GenerateEvent* event) {
  event->text += held_.substr(0, size);
  held_.erase(0, size);
  emitted_bytes_ += static_cast<int64_t>(size);
  // A token goes out with its last byte, so that text and tokens of an event belong together.
  while (!tokens_.empty() &&
         tokens_.front().text_offset + static_cast<int64_t>(tokens_.front().bytes.size()) <=
             emitted_bytes_) {
    event->tokens.push_back(std::move(tokens_.front()));
    tokens_.pop_front();
  }
}

void OutputStream::TakeTokensBefore(int64_t offset, GenerateEvent* event) {
  while (!tokens_.empty() && tokens_.front().text_offset < offset) {
    event->tokens.push_back(std::move(tokens_.front()));
    tokens_.pop_front();
  }
}

// The longest end of the held text that begins a stop string.
size_t OutputStream::HeldBackSize() const {
  size_t longest = 0;
  for (const std::string& stop : stop_) {
    for (size_t size = std::min(stop.size() - 1, held_.size()); size > longest; --size) {
      if (held_.compare(held_.size() - size, size, stop, 0, size) == 0) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

}  // namespace hearth
