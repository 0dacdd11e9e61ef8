#pragma once
// Measures a model on this machine: the passes of its decoder one by one, then the engine as its
// users meet it.
// Threads: one at a time; nothing else should run beside it.

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/machine_limits.h"

namespace hearth {

struct BenchOptions {
  EngineOptions engine;
  bool quick = false;  // leaves out prefill of 2048, long contexts and batches
  // Called before each step with its name and the part done, 0 to 1.
  std::function<void(const std::string& step, double done)> on_progress;
};

// Speeds are medians of several runs. Limits: a pass cannot be faster than reading the weights (and
// the context's K and V) once at `read_gbps`, nor than its multiply-adds at `int8_gmacs`; those of
// the attention are left out of account.
struct BenchReport {
  ModelDescription model;
  std::string isa;
  int threads = 0;
  MachineLimits machine;
  int64_t weight_bytes = 0;  // read by one pass
  int64_t macs_per_token = 0;
  double decode_tps = 0;  // one token a pass at a short context
  double decode_limit_tps = 0;
  std::map<int, double> pass_ms;  // a pass over n tokens, the logits of each included
  std::map<int, double> pass_limit_ms;
  std::map<int, double> verify_ratio;  // its time over one token's
  std::map<int, double> prefill_tps;   // by prompt length
  std::map<int, double> prefill_limit_tps;
  // One token a pass behind a context of so many tokens, by KV type; empty when left out.
  std::map<std::string, std::map<int, double>> decode_at;
  std::map<std::string, std::map<int, double>> decode_at_limit;
  double load_ms = 0;               // of the engine, its image made before
  double ttft_ms = 0;               // submission of a 128-token prompt to its first token
  double cached_ttft_ms = 0;        // the same prompt again
  std::map<int, double> batch_tps;  // by number of requests: tokens a second of all together
  std::map<int, double> batch_limit_tps;
  double peak_rss_mb = 0;  // of this process, the machine's measurement left out
};

// Errors: those of Engine::Load; kUnsupported for an embedding model.
Result<BenchReport> RunBench(const std::string& path, const BenchOptions& options);

}  // namespace hearth
