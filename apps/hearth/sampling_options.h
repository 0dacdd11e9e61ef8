#pragma once
// The sampling options of `hearth run` and `hearth chat`, as flags and as names that /set knows.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.h"
#include "runtime/engine/request.h"

namespace hearth {

// What people at a terminal get unless they ask otherwise: livelier than greedy, without the tail
// that makes small models ramble.
struct GenerationSettings {
  float temperature = 0.7f;
  float top_p = 0.95f;
  int top_k = 0;
  float min_p = 0.0f;
  float repeat_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::optional<uint64_t> seed;  // none: another one each time
  int max_tokens = -1;           // -1: until the context is full
  std::vector<std::string> stop;
};

void AddSamplingFlags(CLI::App& command, GenerationSettings& settings);

// One setting by its flag's name ("top-p" or "top_p"); for `stop` the value is added, an empty one
// clears the list. Errors: kInvalidArgument naming the setting, the value and what would be right.
Status SetSetting(GenerationSettings& settings, const std::string& name, const std::string& value);
// "temperature 0.7", ... one per line.
std::string DescribeSettings(const GenerationSettings& settings);

// A request without a prompt. The seed it draws where none is set is in sampling.seed.
GenerateRequest RequestOf(const GenerationSettings& settings);

}  // namespace hearth
