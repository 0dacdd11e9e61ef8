#pragma once
// JSON for machines: one object on standard output. The fields here are shared by several commands.

#include <nlohmann/json.hpp>

#include "apps/hearth/generation.h"

namespace hearth {

using Json = nlohmann::ordered_json;

// One line and a newline. Bytes that are not UTF-8 become U+FFFD; numbers that are not finite
// become null.
void PrintJson(const Json& json);
std::string ToJsonText(const Json& json, int indent = -1);

// {"prompt": ..., "cached": ..., "completion": ...}
Json TokenCounts(const GenerateStats& stats);
// Milliseconds and tokens per second.
Json Timings(const GenerateStats& stats, double load_ms);

}  // namespace hearth
