#pragma once
// The lines of removed.jsonl: what was removed, from where, why. Threads: pure functions.

#include <cstdint>
#include <string>
#include <string_view>

#include "training/data/rows.h"

namespace hearth::forge {

// Where a row came from, as "FILE:LINE".
std::string SourceOf(std::string_view path, int64_t line);

// A removed row. `detail` is what was seen; `other` the row or item it collided with and
// `similarity` how much, where there is one (below 0: none).
struct Removal {
  std::string reason, source, detail, other;
  double similarity = -1;
};
std::string ToJsonLine(const Removal& removal, const Conversation& conversation);
// A row that is no conversation: its text is cut at 4096 bytes.
std::string ToJsonLine(const Removal& removal, std::string_view raw);

}  // namespace hearth::forge
