#include "training/curate/ledger.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace hearth::forge {
namespace {

using OrderedJson = nlohmann::ordered_json;
constexpr size_t kMaxRawBytes = 4096;

OrderedJson HeadOf(const Removal& removal) {
  OrderedJson head;
  head["reason"] = removal.reason;
  head["source"] = removal.source;
  if (!removal.detail.empty()) head["detail"] = removal.detail;
  if (!removal.other.empty()) head["other"] = removal.other;
  if (removal.similarity >= 0) head["similarity"] = std::round(removal.similarity * 1e4) / 1e4;
  return head;
}

std::string Dump(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

std::string SourceOf(std::string_view path, int64_t line) {
  return std::string(path) + ":" + std::to_string(line);
}

std::string ToJsonLine(const Removal& removal, const Conversation& conversation) {
  // The row's own line without its opening brace, so that it reads as kept.jsonl has it.
  std::string line = Dump(HeadOf(removal));
  line.back() = ',';
  return line + ToJsonLine(conversation).substr(1);
}

std::string ToJsonLine(const Removal& removal, std::string_view raw) {
  OrderedJson row = HeadOf(removal);
  row["raw"] = raw.substr(0, kMaxRawBytes);
  if (raw.size() > kMaxRawBytes) row["raw_bytes"] = raw.size();
  return Dump(row);
}

}  // namespace hearth::forge
