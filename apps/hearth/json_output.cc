#include "apps/hearth/json_output.h"

#include "apps/hearth/terminal.h"

namespace hearth {

std::string ToJsonText(const Json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void PrintJson(const Json& json) { Print(ToJsonText(json) + "\n"); }

Json TokenCounts(const GenerateStats& stats) {
  return {{"prompt", stats.prompt_tokens},
          {"cached", stats.cached_tokens},
          {"completion", stats.completion_tokens},
          {"drafted", stats.draft_tokens},
          {"accepted", stats.accepted_tokens}};
}

Json Timings(const GenerateStats& stats, double load_ms) {
  return {{"load_ms", load_ms},
          {"prefill_ms", stats.prefill_ms},
          {"ttft_ms", stats.time_to_first_token_ms},
          {"decode_ms", stats.decode_ms},
          {"prefill_tps", PrefillTokensPerSecond(stats)},
          {"decode_tps", DecodeTokensPerSecond(stats)}};
}

}  // namespace hearth
