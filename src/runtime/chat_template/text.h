#pragma once
// A string with provenance: it remembers which of its bytes came from outside (a user's message),
// so that text that merely looks like a special token can be told from the template's own.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::jinja {

class Text {
 public:
  // `parts` never holds empty strings, and neighbours differ in `trusted`.
  struct Part {
    std::string text;
    bool trusted = true;  // written by the template; false: came in through a value marked as input
    bool operator==(const Part&) const = default;
  };
  Text() = default;
  Text(std::string text, bool trusted = true);  // NOLINT: a template literal is a Text

  void Append(const Text& other);
  void Append(std::string_view bytes, bool trusted);
  // Appends bytes [begin, end) of `other`. Requires: begin <= end <= other.size_bytes(), and
  // `other` is not *this.
  void AppendRange(const Text& other, size_t begin, size_t end);

  const std::string& str() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size_bytes() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::vector<Part> parts() const;

  // Bytes [begin, end) as a Text of their own. Requires: begin <= end <= size_bytes().
  Text Slice(size_t begin, size_t end) const;
  // The run of equal provenance that holds byte `pos`. Requires: pos < size_bytes().
  struct Run {
    size_t end;
    bool trusted;
  };
  Run RunAt(size_t pos) const;

  // Compares the bytes only.
  bool operator==(const Text& other) const { return bytes_ == other.bytes_; }

 private:
  bool last_trusted() const { return first_trusted_ == (flips_.size() % 2 == 0); }

  std::string bytes_;
  // The byte positions, strictly increasing and inside (0, size), at which provenance changes.
  std::vector<size_t> flips_;
  bool first_trusted_ = true;
};

}  // namespace hearth::jinja
