#pragma once
// Reads lines from the user: with editing and a history file on a terminal (libedit), plainly
// otherwise.

#include <memory>
#include <string>

namespace hearth {

class LineEditor {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  // `history_path` empty: the history ends with the program. Its folder is made when it is missing.
  explicit LineEditor(const std::string& history_path);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Whether a person types: then prompts are shown.
  bool interactive() const { return impl_ != nullptr; }
  // One line without its newline. Requires an InterruptGuard: Ctrl-C gives kInterrupted, the line
  // so far is lost.
  Outcome Read(const std::string& prompt, std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
