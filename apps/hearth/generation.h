#pragma once
// One answer from a backend, waited for: text is handed over on the caller's thread as it comes,
// and Ctrl-C ends it.

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "brain/backend.h"

namespace hearth {

struct Answer {
  std::string text;
  FinishReason finish_reason = FinishReason::kStop;
  GenerateStats stats;
  uint64_t seed = 0;
  bool interrupted = false;  // by Ctrl-C; text is what came before it
};

// Reading a long prompt takes seconds: a bar on standard error says how far it is, counted in the
// passes of up to `tokens_per_pass` prompt tokens that a backend without other requests has run.
// Requires an InterruptGuard in the caller, or Ctrl-C ends the program. Errors: those of
// Backend::Generate, and whatever ended the request.
Result<Answer> GenerateAnswer(Backend& backend, GenerateRequest request, int tokens_per_pass,
                              const std::function<void(std::string_view)>& on_text);

// "stop", "length", "interrupted"; as OpenAI names them where it does.
std::string_view FinishReasonName(const Answer& answer);
// 0 where nothing was measured.
double DecodeTokensPerSecond(const GenerateStats& stats);
double PrefillTokensPerSecond(const GenerateStats& stats);
// "12 tokens at 110.3 tok/s, first after 45 ms; prompt of 30 tokens (20 kept from before) at 600
// tok/s"
std::string DescribeStats(const GenerateStats& stats);

}  // namespace hearth
