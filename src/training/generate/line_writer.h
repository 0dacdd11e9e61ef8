#pragma once
// Writes a text file line by line, gzipped where its name ends in .gz; it takes its name only when
// it is whole. Threads: one at a time.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::forge {

class LineWriter {
 public:
  // Errors: those of AtomicFile::Create.
  static Result<LineWriter> Create(const std::string& path);
  LineWriter(LineWriter&&) noexcept;
  ~LineWriter();

  // `line` without its end. Errors: those of AtomicFile::Write.
  Status Write(std::string_view line);
  Status Commit();

 private:
  struct State;
  explicit LineWriter(std::unique_ptr<State> state);
  Status Put(std::string_view bytes, bool last);

  std::unique_ptr<State> state_;
};

}  // namespace hearth::forge
