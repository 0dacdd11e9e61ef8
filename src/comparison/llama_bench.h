#pragma once
// llama.cpp's own benchmark, `llama-bench`: its command lines and what it prints.
// It computes the logits of a pass's last token only, where Hearth's verify pass computes those of
// every token: the comparison favours it.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

// What changes its speed and is a user's choice; the best of all counts.
struct PeerSetting {
  bool repack = true;  // weights re-laid for the processor when they are loaded
  bool flash_attention = true;

  std::string Name(bool knows_repack) const;
};

// One test within a run: a prompt of `num_prompt` tokens, or `num_generated` tokens one by one,
// behind `depth` tokens of context.
struct PeerTest {
  int num_prompt = 0;
  int num_generated = 0;
  int depth = 0;

  auto operator<=>(const PeerTest&) const = default;
};

struct PeerRun {
  std::map<PeerTest, double> tokens_per_second;  // median of the repetitions
  std::string build;                             // its commit
};

struct PeerCommand {
  std::string model;
  int threads = 1;
  int repetitions = 1;
  PeerSetting setting;
  bool knows_repack = true;     // older ones do not have --repack
  std::string kv_type = "f16";  // in llama.cpp's words
  std::vector<int> prompts;     // lengths; empty: none
  int num_generated = 0;        // 0: none
  std::vector<int> depths = {0};
};

std::vector<std::string> LlamaBenchArguments(const PeerCommand& command);

// Reads the lines of `-o jsonl`. Lines that are no such object are passed over: a run that crashed
// still has the tests it finished.
PeerRun ParseLlamaBench(std::string_view output);

// llama.cpp's name for one of our KV types; empty where it has none.
std::string PeerKvType(const std::string& kv_type);

}  // namespace hearth
