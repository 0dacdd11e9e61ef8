#include "server/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace hearth {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

const Buckets kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                    0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                    20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
// vLLM begins at 10 ms; small models on a CPU are faster than that.
const Buckets kInterTokenSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                    0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1.0,   2.5,
                                    5.0,   7.5,    10.0,  20.0, 40.0,  80.0};
const Buckets kRequestSeconds = {0.05, 0.1,   0.3,   0.5,   0.8,   1.0,    1.5,   2.0,
                                 2.5,  5.0,   10.0,  15.0,  20.0,  30.0,   40.0,  50.0,
                                 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
const Buckets kTokens = {1,   2,    5,    10,   20,    50,    100,   200,
                         500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

}  // namespace

struct Metrics::Impl {
  explicit Impl(std::string model_name) : labels{{"model_name", std::move(model_name)}} {}

  Counter& MakeCounter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  Gauge& MakeGauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  Histogram& MakeHistogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                                     buckets);
  }
  prometheus::Family<Counter>& MakeFamily(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Labels(labels).Register(registry);
  }

  // Counters that the engine keeps follow its figures; they never fall.
  static void Follow(Counter& counter, int64_t total) {
    const double missing = static_cast<double>(total) - counter.Value();
    if (missing > 0) counter.Increment(missing);
  }

  prometheus::Labels labels;
  prometheus::Registry registry;
  std::mutex render_mutex;

  Gauge& running = MakeGauge("vllm:num_requests_running", "Requests in the batch.");
  Gauge& waiting =
      MakeGauge("vllm:num_requests_waiting", "Requests waiting for a place in the batch.");
  Gauge& kv_usage =
      MakeGauge("vllm:kv_cache_usage_perc", "Used part of the KV cache; 1 is all of it.");
  Counter& prefix_queries = MakeCounter("vllm:prefix_cache_queries_total",
                                        "Prompt tokens looked up in the prefix cache.");
  Counter& prefix_hits = MakeCounter("vllm:prefix_cache_hits_total", "Of those, tokens found.");
  Counter& draft_tokens = MakeCounter("vllm:spec_decode_num_draft_tokens_total",
                                      "Guesses of speculative decoding that were checked.");
  Counter& accepted_tokens = MakeCounter("vllm:spec_decode_num_accepted_tokens_total",
                                         "Of those, guesses that were right.");
  Counter& preemptions =
      MakeCounter("vllm:num_preemptions_total", "Requests that lost their place in the batch.");
  Counter& prompt_tokens = MakeCounter("vllm:prompt_tokens_total", "Prompt tokens processed.");
  Counter& generation_tokens = MakeCounter("vllm:generation_tokens_total", "Tokens generated.");
  prometheus::Family<Counter>& successes =
      MakeFamily("vllm:request_success_total", "Answers that ended, by reason.");
  Histogram& first_token =
      MakeHistogram("vllm:time_to_first_token_seconds",
                    "From a request's arrival to its first token.", kFirstTokenSeconds);
  Histogram& inter_token = MakeHistogram("vllm:inter_token_latency_seconds",
                                         "Between two tokens of an answer.", kInterTokenSeconds);
  Histogram& per_output_token =
      MakeHistogram("vllm:time_per_output_token_seconds", "The same under vLLM's older name.",
                    kInterTokenSeconds);
  Histogram& latency =
      MakeHistogram("vllm:e2e_request_latency_seconds",
                    "From a request's arrival to its last token.", kRequestSeconds);
  Histogram& queue = MakeHistogram("vllm:request_queue_time_seconds",
                                   "Waiting for a place in the batch.", kRequestSeconds);
  Histogram& prefill =
      MakeHistogram("vllm:request_prefill_time_seconds", "Processing the prompt.", kRequestSeconds);
  Histogram& decode =
      MakeHistogram("vllm:request_decode_time_seconds", "First token to last.", kRequestSeconds);
  Histogram& request_prompt =
      MakeHistogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", kTokens);
  Histogram& request_generated =
      MakeHistogram("vllm:request_generation_tokens", "Tokens generated for a request.", kTokens);

  Counter& steps = MakeCounter("hearth:engine_steps_total", "Passes through the model.");
  Counter& disconnects = MakeCounter("hearth:client_disconnects_total",
                                     "Clients that left before their answer was complete.");
  Gauge& connections = MakeGauge("hearth:http_connections", "Open connections.");
  prometheus::Family<Counter>& rejections =
      MakeFamily("hearth:requests_rejected_total", "Requests turned away, by reason.");
  prometheus::Family<Counter>& http_requests =
      MakeFamily("hearth:http_requests_total", "HTTP requests, by route and status.");
  Histogram& http_duration =
      MakeHistogram("hearth:http_request_duration_seconds",
                    "From a request's first byte to its response's last.", kRequestSeconds);
};

Metrics::Metrics(std::string model_name) : impl_(std::make_unique<Impl>(std::move(model_name))) {
  // So that a dashboard sees zero instead of nothing.
  for (const char* reason : {"stop", "length", "abort"})
    impl_->successes.Add({{"finished_reason", reason}});
}
Metrics::~Metrics() = default;

void Metrics::AnswerEnded(std::string_view finished_reason, double latency_s,
                          const GenerateStats& stats) {
  impl_->successes.Add({{"finished_reason", std::string(finished_reason)}}).Increment();
  impl_->latency.Observe(latency_s);
  impl_->queue.Observe(stats.queue_ms / 1000);
  impl_->prefill.Observe(stats.prefill_ms / 1000);
  impl_->decode.Observe(stats.decode_ms / 1000);
  impl_->request_prompt.Observe(stats.prompt_tokens);
  impl_->request_generated.Observe(stats.completion_tokens);
}

void Metrics::PromptTokens(int64_t count) {
  impl_->prompt_tokens.Increment(static_cast<double>(count));
}
void Metrics::GeneratedTokens(int64_t count) {
  impl_->generation_tokens.Increment(static_cast<double>(count));
}
void Metrics::TimeToFirstToken(double seconds) { impl_->first_token.Observe(seconds); }

void Metrics::InterTokenLatency(double seconds, int count) {
  for (int token = 0; token < count; ++token) {
    impl_->inter_token.Observe(seconds / count);
    impl_->per_output_token.Observe(seconds / count);
  }
}

void Metrics::HttpRequest(std::string_view route, int status, double seconds) {
  impl_->http_requests.Add({{"route", std::string(route)}, {"status", std::to_string(status)}})
      .Increment();
  impl_->http_duration.Observe(seconds);
}

void Metrics::Rejected(std::string_view reason) {
  impl_->rejections.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::Disconnected() { impl_->disconnects.Increment(); }

std::string Metrics::Render(const BackendLoad& load, int connections) {
  Impl& impl = *impl_;
  const std::lock_guard lock(impl.render_mutex);
  impl.running.Set(load.running_requests);
  impl.waiting.Set(load.waiting_requests);
  impl.kv_usage.Set(load.kv_cache_usage);
  impl.connections.Set(connections);
  Impl::Follow(impl.prefix_queries, load.prefix_cache_queries);
  Impl::Follow(impl.prefix_hits, load.prefix_cache_hits);
  Impl::Follow(impl.draft_tokens, load.draft_tokens);
  Impl::Follow(impl.accepted_tokens, load.accepted_tokens);
  Impl::Follow(impl.preemptions, load.preemptions);
  Impl::Follow(impl.steps, load.steps);
  return prometheus::TextSerializer().Serialize(impl.registry.Collect());
}

}  // namespace hearth
