#include "apps/hearth/generation.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "apps/hearth/interrupt.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

constexpr auto kInterruptPoll =
    std::chrono::milliseconds(30);  // a signal handler cannot wake a condition variable

// Events on their way from the engine's thread to ours.
struct EventQueue {
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<GenerateEvent> events;
};

// How much of a prompt is read, as far as a backend's counters tell.
class PrefillProgress {
 public:
  PrefillProgress(const Backend& backend, size_t prompt_tokens, int tokens_per_pass)
      : backend_(backend),
        before_(backend.load()),
        prompt_tokens_(static_cast<double>(prompt_tokens)),
        tokens_per_pass_(tokens_per_pass) {}

  double Done() const {
    const BackendLoad now = backend_.load();
    const auto passes = static_cast<double>(now.steps - before_.steps);
    const auto cached = static_cast<double>(now.prefix_cache_hits - before_.prefix_cache_hits);
    return (cached + passes * tokens_per_pass_) / prompt_tokens_;
  }

 private:
  const Backend& backend_;
  const BackendLoad before_;
  const double prompt_tokens_;
  const int tokens_per_pass_;
};

}  // namespace

Result<Answer> GenerateAnswer(Backend& backend, GenerateRequest request, int tokens_per_pass,
                              const std::function<void(std::string_view)>& on_text) {
  Answer answer;
  const PrefillProgress prefill(backend, request.prompt.size(), tokens_per_pass);
  ProgressBar bar("Reading the prompt");
  bool reading = true;
  answer.seed = request.sampling.seed;
  // Shared: should we leave early, the engine may still hold the sink.
  const auto queue = std::make_shared<EventQueue>();
  HEARTH_ASSIGN_OR_RETURN(const RequestId id,
                          backend.Generate(std::move(request), [queue](GenerateEvent event) {
                            {
                              const std::lock_guard lock(queue->mutex);
                              queue->events.push_back(std::move(event));
                            }
                            queue->ready.notify_one();
                          }));
  for (;;) {
    std::deque<GenerateEvent> events;
    {
      std::unique_lock lock(queue->mutex);
      queue->ready.wait_for(lock, kInterruptPoll, [&] { return !queue->events.empty(); });
      events.swap(queue->events);
    }
    if (InterruptGuard::Requested() && !answer.interrupted) {
      answer.interrupted = true;
      backend.Cancel(id);
    }
    if (!events.empty() || answer.interrupted) {
      reading = false;
      bar.Clear();
    } else if (reading) {
      bar.Update(prefill.Done());
    }
    for (GenerateEvent& event : events) {
      if (!event.text.empty() && !answer.interrupted) {
        answer.text += event.text;
        if (on_text) on_text(event.text);
      }
      if (!event.finished) continue;
      answer.finish_reason = event.finish_reason;
      answer.stats = event.stats;
      if (event.finish_reason == FinishReason::kError) {
        return tl::unexpected(
            event.error.value_or(Error{ErrorCode::kInternal, "the answer ended with an error"}));
      }
      return answer;
    }
  }
}

std::string_view FinishReasonName(const Answer& answer) {
  if (answer.interrupted || answer.finish_reason == FinishReason::kCancelled) return "interrupted";
  return answer.finish_reason == FinishReason::kLength ? "length" : "stop";
}

double DecodeTokensPerSecond(const GenerateStats& stats) {
  // The first token belongs to the prefill.
  return stats.decode_ms > 0 && stats.completion_tokens > 1
             ? (stats.completion_tokens - 1) * 1000 / stats.decode_ms
             : 0;
}

double PrefillTokensPerSecond(const GenerateStats& stats) {
  const int computed = stats.prompt_tokens - stats.cached_tokens;
  return stats.prefill_ms > 0 && computed > 0 ? computed * 1000 / stats.prefill_ms : 0;
}

std::string DescribeStats(const GenerateStats& stats) {
  std::string text = Format("%d tokens", stats.completion_tokens);
  if (const double tps = DecodeTokensPerSecond(stats); tps > 0)
    text += Format(" at %.1f tok/s", tps);
  if (stats.completion_tokens > 0)
    text += Format(", first after %.0f ms", stats.time_to_first_token_ms);
  text += Format("; prompt of %d tokens", stats.prompt_tokens);
  if (stats.cached_tokens > 0) text += Format(" (%d kept from before)", stats.cached_tokens);
  if (const double tps = PrefillTokensPerSecond(stats); tps > 0)
    text += Format(" at %.0f tok/s", tps);
  if (stats.draft_tokens > 0)
    text += Format("; %d of %d guesses right", stats.accepted_tokens, stats.draft_tokens);
  return text;
}

}  // namespace hearth
