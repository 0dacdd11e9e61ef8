#pragma once
// The figures of one model, gathered round by round, and what is made of them at the end.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "comparison/llama_bench.h"
#include "comparison/side_by_side.h"

namespace hearth {

inline constexpr int kVerifyWidth = 6;
inline constexpr int kPromptLengths[] = {128, 512};

// "decode at 8192, KV int8"
std::string DecodeAtName(int context, const std::string& kv_type);

class MeasuredFigures {
 public:
  // A round of `hearth bench --json`. Errors: kInternal when it is not that.
  Status AddOurs(const nlohmann::ordered_json& report);
  // A round of the peer with one setting; `generated`: tokens of its decode tests, which start that
  // many before the context that they count for.
  void AddPeer(const std::string& setting, const std::string& kv_type, int generated,
               const PeerRun& run);

  // The contexts at which our decode was measured, by KV type.
  std::map<std::string, std::set<int>> OurContexts() const;
  // The peer's best setting for a figure so far.
  std::optional<std::string> BestPeer(const std::string& figure) const;
  bool any_peer() const { return !peers_.empty(); }

  // Without name, file size, start and notes.
  ComparedModel Summarise() const;

 private:
  using Rounds = std::vector<double>;

  std::vector<nlohmann::ordered_json> reports_;
  std::vector<std::string> order_;  // of the figures, as first met
  std::map<std::string, Rounds> ours_;
  std::map<std::string, Rounds> limits_;
  std::map<std::string, std::map<std::string, Rounds>> peers_;  // figure -> setting -> rounds
};

}  // namespace hearth
