#pragma once
// What /metrics tells: vLLM's names where it has them, so that its dashboards read us, and hearth:
// for the rest. Source of names and bucket edges: vLLM's v1/metrics/loggers.py. Threads: every
// method is safe from many threads.

#include <memory>
#include <string>
#include <string_view>

#include "brain/backend.h"

namespace hearth {

class Metrics {
 public:
  explicit Metrics(std::string model_name);
  ~Metrics();

  // One answer that ended: "stop", "length" or "abort". Its latency in seconds runs from the
  // request's arrival.
  void AnswerEnded(std::string_view finished_reason, double latency_s, const GenerateStats& stats);
  void PromptTokens(int64_t count);
  void GeneratedTokens(int64_t count);
  void TimeToFirstToken(double seconds);
  // `seconds` between two deliveries to the client, which `count` tokens share.
  void InterTokenLatency(double seconds, int count);

  void HttpRequest(std::string_view route, int status, double seconds);
  // Turned away: "queue", "limit", "auth", "host", "origin".
  void Rejected(std::string_view reason);
  // The client left before its answer was complete.
  void Disconnected();

  // In Prometheus's text format, version 0.0.4.
  std::string Render(const BackendLoad& load, int connections);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
