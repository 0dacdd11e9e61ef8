#include "runtime/chat_template/text.h"

#include <algorithm>
#include <utility>

namespace hearth::jinja {

Text::Text(std::string text, bool trusted) : bytes_(std::move(text)), first_trusted_(trusted) {}

void Text::Append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  if (bytes_.empty()) {
    first_trusted_ = trusted;
  } else if (last_trusted() != trusted) {
    flips_.push_back(bytes_.size());
  }
  bytes_.append(bytes);
}

void Text::Append(const Text& other) {
  if (&other == this) {
    Append(Text(other));
    return;
  }
  AppendRange(other, 0, other.size_bytes());
}

void Text::AppendRange(const Text& other, size_t begin, size_t end) {
  while (begin < end) {
    const Run run = other.RunAt(begin);
    const size_t stop = std::min(run.end, end);
    Append(other.view().substr(begin, stop - begin), run.trusted);
    begin = stop;
  }
}

std::vector<Text::Part> Text::parts() const {
  std::vector<Part> parts;
  parts.reserve(flips_.size() + 1);
  for (size_t pos = 0; pos < bytes_.size();) {
    const Run run = RunAt(pos);
    parts.push_back({bytes_.substr(pos, run.end - pos), run.trusted});
    pos = run.end;
  }
  return parts;
}

Text Text::Slice(size_t begin, size_t end) const {
  Text slice;
  slice.AppendRange(*this, begin, end);
  return slice;
}

Text::Run Text::RunAt(size_t pos) const {
  const auto next = std::upper_bound(flips_.begin(), flips_.end(), pos);
  const bool flipped = (next - flips_.begin()) % 2 == 1;
  return {next == flips_.end() ? bytes_.size() : *next, first_trusted_ != flipped};
}

}  // namespace hearth::jinja
