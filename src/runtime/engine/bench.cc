#include "runtime/engine/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <numeric>
#include <vector>

#include "runtime/engine/describe.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kv_cache/kv_storage.h"
#include "runtime/model/decoder.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kShortContext = 32;
constexpr int kMaxVerify = 8;
constexpr int kContexts[] = {512, 1024, 2048, 4096, 8192};
constexpr int kBatches[] = {1, 4, 16};
struct KvStorageName {
  KvStorage storage;
  const char* name;
};
constexpr KvStorageName kKvStorages[] = {
    {KvStorage::kF16, "f16"}, {KvStorage::kInt8, "int8"}, {KvStorage::kInt4, "int4"}};
constexpr double kSecondsPerFigure = 1.5;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

double PeakRssMb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Token ids that look like text to a model, always the same.
std::vector<TokenId> SomeTokens(int count, int vocab_size) {
  std::vector<TokenId> tokens(count);
  uint32_t state = 12345;
  for (TokenId& token : tokens) {
    state = state * 1664525u + 1013904223u;
    token = static_cast<TokenId>((state >> 8) % static_cast<uint32_t>(vocab_size));
  }
  return tokens;
}

// A decoder with one sequence's KV cache.
class PassTimer {
 public:
  static Result<std::unique_ptr<PassTimer>> Create(Decoder& decoder, KvStorage storage,
                                                   int num_positions) {
    const int num_blocks = (num_positions + kKvBlockTokens - 1) / kKvBlockTokens;
    HEARTH_ASSIGN_OR_RETURN(KvCacheStorage kv,
                            KvCacheStorage::Create(decoder.kv_shape(storage), num_blocks));
    return std::unique_ptr<PassTimer>(new PassTimer(decoder, std::move(kv), num_blocks));
  }

  // One pass over `num_tokens` tokens at `start`, the logits of the last `num_outputs` included.
  // Milliseconds.
  double Pass(int start, int num_tokens, int num_outputs) {
    const Clock::time_point begin = Clock::now();
    const SequenceSlice slice{std::span(tokens_).first(num_tokens), start, blocks_, num_outputs};
    decoder_->Forward({&slice, 1}, kv_);
    if (num_outputs > 0) decoder_->Logits(0, num_outputs);
    return MillisecondsSince(begin);
  }

  // A prompt in chunks of at most `chunk`, the last token's logits included.
  double Prefill(int num_tokens, int chunk) {
    double total = 0;
    for (int start = 0; start < num_tokens; start += chunk) {
      total +=
          Pass(start, std::min(chunk, num_tokens - start), start + chunk >= num_tokens ? 1 : 0);
    }
    return total;
  }

  // Gives every position some K and V: memory never written would be one page of zeros, read from
  // the cache.
  void FillContext() {
    const KvShape& shape = kv_.shape();
    for (int layer = 0; layer < shape.num_layers; ++layer) {
      const KvStorage storage = shape.storage_of(layer);
      const size_t bytes =
          KeyBlockBytes(storage, shape.head_dim) + ValueBlockBytes(storage, shape.head_dim);
      for (const int block : blocks_) {
        for (int head = 0; head < shape.num_kv_heads; ++head)
          std::memset(kv_.keys(layer, block, head), 0x11, bytes);
      }
    }
  }

 private:
  PassTimer(Decoder& decoder, KvCacheStorage kv, int num_blocks)
      : decoder_(&decoder),
        kv_(std::move(kv)),
        tokens_(SomeTokens(2048, decoder.hparams().vocab_size)),
        blocks_(num_blocks) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }

  Decoder* decoder_;
  KvCacheStorage kv_;
  std::vector<TokenId> tokens_;
  std::vector<int> blocks_;
};

// Repeats within the time a figure may take, at least three times.
template <typename Measure>
double MedianOfRuns(Measure measure) {
  std::vector<double> runs;
  const Clock::time_point begin = Clock::now();
  while (runs.size() < 3 || MillisecondsSince(begin) < kSecondsPerFigure * 1000)
    runs.push_back(measure());
  return Median(std::move(runs));
}

class Bench {
 public:
  Bench(const std::string& path, const BenchOptions& options) : path_(path), options_(options) {}

  Result<BenchReport> Run() {
    HEARTH_RETURN_IF_ERROR(MeasurePasses());
    HEARTH_RETURN_IF_ERROR(MeasureEngine());
    report_.peak_rss_mb = PeakRssMb();
    ThreadPool pool(options_.engine.num_threads);
    SampleMachine(pool);
    SetMachine();
    SetLimits();
    return report_;
  }

 private:
  void Progress(const std::string& step, double done) const {
    if (options_.on_progress) options_.on_progress(step, done);
  }

  // Before, between and after the figures: the speed of a shared machine changes within a minute.
  void SampleMachine(ThreadPool& pool) {
    Progress("memory and arithmetic", machine_samples_.empty() ? 0.05 : 0.95);
    machine_samples_.push_back(MeasureMachineLimits(pool));
  }

  void SetMachine() {
    std::vector<double> reads, peaks;
    for (const MachineLimits& sample : machine_samples_) {
      reads.push_back(sample.read_gbps);
      peaks.push_back(sample.int8_gmacs);
    }
    report_.machine = {Median(std::move(reads)), Median(std::move(peaks))};
  }

  Status MeasurePasses() {
    Progress("load", 0);
    HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path_));
    HEARTH_ASSIGN_OR_RETURN(report_.model, DescribeModel(file, options_.engine.kv_type));
    if (report_.model.is_embedding_model) {
      return MakeError(ErrorCode::kUnsupported,
                       report_.model.name + " is an embedding model; there is nothing to decode");
    }
    ThreadPool pool(options_.engine.num_threads);
    report_.threads = pool.size();
    report_.isa = Kernels().name;
    DecoderOptions decoder_options;
    decoder_options.max_batch_tokens = options_.engine.max_batch_tokens;
    decoder_options.max_logits = kMaxVerify;
    decoder_options.integer_activations = options_.engine.activations == ActivationType::kInt8;
    decoder_options.image = {options_.engine.cache_dir, options_.engine.use_disk_cache,
                             options_.engine.on_load_progress};
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder,
                            Decoder::Load(file, pool, decoder_options));
    report_.weight_bytes = decoder->weight_bytes();
    report_.macs_per_token = decoder->macs_per_token();
    SampleMachine(pool);
    HEARTH_RETURN_IF_ERROR(MeasureShortPasses(*decoder));
    SampleMachine(pool);
    return options_.quick ? Status{} : MeasureContexts(*decoder);
  }

  Status MeasureShortPasses(Decoder& decoder) {
    const int chunk = options_.engine.max_batch_tokens;
    const int context = report_.model.context_length;
    HEARTH_ASSIGN_OR_RETURN(
        const auto timer,
        PassTimer::Create(decoder, StorageOf(options_.engine.kv_type), std::min(2048, context)));
    Progress("decode and verify", 0.1);
    // Rounds of all widths in turn, so that a change of the machine's speed meets them alike.
    std::vector<std::vector<double>> times(kMaxVerify + 1);
    const int start = std::min(kShortContext, context - kMaxVerify);
    timer->Prefill(std::max(start, 1), chunk);
    const Clock::time_point begin = Clock::now();
    while (times[1].size() < 5 || MillisecondsSince(begin) < 2 * kSecondsPerFigure * 1000) {
      for (int width = 1; width <= kMaxVerify; ++width)
        times[width].push_back(timer->Pass(start, width, width));
    }
    const double decode_ms = Median(times[1]);
    report_.decode_tps = 1000 / decode_ms;
    for (int width = 1; width <= kMaxVerify; ++width) {
      report_.pass_ms[width] = Median(times[width]);
      if (width > 1) report_.verify_ratio[width] = report_.pass_ms[width] / decode_ms;
    }
    for (const int length : {128, 512, 2048}) {
      if (length > context || (length == 2048 && options_.quick)) continue;
      Progress("prefill of " + std::to_string(length), 0.25);
      report_.prefill_tps[length] =
          length * 1000 / MedianOfRuns([&] { return timer->Prefill(length, chunk); });
    }
    return {};
  }

  Status MeasureContexts(Decoder& decoder) {
    std::vector<int> contexts;
    for (const int context : kContexts) {
      if (context <= report_.model.context_length) contexts.push_back(context);
    }
    if (contexts.empty()) return {};
    for (const auto& [storage, name] : kKvStorages) {
      HEARTH_ASSIGN_OR_RETURN(const auto timer,
                              PassTimer::Create(decoder, storage, contexts.back()));
      timer->FillContext();
      for (const int context : contexts) {
        Progress("decode at " + std::to_string(context) + " tokens, KV " + name, 0.5);
        report_.decode_at[name][context] =
            1000 / MedianOfRuns([&] { return timer->Pass(context - 1, 1, 1); });
      }
    }
    return {};
  }

  // The whole path of a request: queue, prefill, sampling, streaming.
  Status MeasureEngine() {
    Progress("engine", 0.7);
    const Clock::time_point begin = Clock::now();
    EngineOptions engine_options = options_.engine;
    // Guesses would be right about the loops that arbitrary prompts lead into.
    engine_options.ngram_draft = false;
    engine_options.draft_path.clear();
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                            Engine::Load(path_, engine_options));
    report_.load_ms = MillisecondsSince(begin);
    const std::vector<TokenId> prompt =
        SomeTokens(std::min(128, engine->context_length() - 8), report_.model.vocab_size);
    HEARTH_ASSIGN_OR_RETURN(const std::vector<GenerateStats> first, Generate(*engine, {prompt}, 1));
    HEARTH_ASSIGN_OR_RETURN(const std::vector<GenerateStats> again, Generate(*engine, {prompt}, 1));
    report_.ttft_ms = first[0].time_to_first_token_ms;
    report_.cached_ttft_ms = again[0].time_to_first_token_ms;
    if (options_.quick) return {};

    for (const int size : kBatches) {
      if (size <= engine_options.max_sequences)
        HEARTH_RETURN_IF_ERROR(MeasureBatch(*engine, prompt, size));
    }
    return {};
  }

  // Requests of two tokens each, so that nearly all the time is decoding.
  Status MeasureBatch(Engine& engine, const std::vector<TokenId>& words, int size) {
    constexpr int kTokens = 64;
    Progress("batch of " + std::to_string(size), 0.8);
    std::vector<std::vector<TokenId>> prompts;
    for (int i = 0; i < size; ++i)
      prompts.push_back({words[0], words[static_cast<size_t>(i + 1) % words.size()]});
    const Clock::time_point begin = Clock::now();
    HEARTH_ASSIGN_OR_RETURN(const std::vector<GenerateStats> batch,
                            Generate(engine, prompts, kTokens));
    report_.batch_tps[size] =
        static_cast<double>(batch.size()) * kTokens * 1000 / MillisecondsSince(begin);
    return {};
  }

  static Result<std::vector<GenerateStats>> Generate(
      Engine& engine, const std::vector<std::vector<TokenId>>& prompts, int max_tokens) {
    std::vector<std::promise<GenerateEvent>> ends(prompts.size());
    std::vector<std::future<GenerateEvent>> waits;
    for (auto& end : ends) waits.push_back(end.get_future());
    for (size_t i = 0; i < prompts.size(); ++i) {
      GenerateRequest request;
      request.prompt = prompts[i];
      request.max_tokens = max_tokens;
      request.ignore_end_of_turn = true;
      request.sampling.temperature = 0;
      const auto submitted =
          engine.Submit(std::move(request), [&end = ends[i]](GenerateEvent event) {
            if (event.finished) end.set_value(std::move(event));
          });
      if (!submitted) {
        for (size_t j = 0; j < i; ++j) waits[j].wait();  // their sinks still point at `ends`
        return tl::unexpected(submitted.error());
      }
    }
    std::vector<GenerateStats> stats;
    for (auto& wait : waits) stats.push_back(wait.get().stats);
    return stats;
  }

  // The least time of a pass over `num_tokens` tokens that reads `kv_bytes` of context.
  double LimitMs(int num_tokens, double kv_bytes) const {
    const double bytes = static_cast<double>(report_.weight_bytes) + kv_bytes;
    const double macs = static_cast<double>(report_.macs_per_token) * num_tokens;
    return std::max(bytes / report_.machine.read_gbps, macs / report_.machine.int8_gmacs) / 1e6;
  }

  void SetLimits() {
    for (const auto& [width, ms] : report_.pass_ms)
      report_.pass_limit_ms[width] = LimitMs(width, 0);
    report_.decode_limit_tps = 1000 / LimitMs(1, 0);
    // Of a prompt only the last token's logits are computed.
    const auto head = static_cast<double>(report_.model.vocab_size) * report_.model.hidden_size;
    const double body = static_cast<double>(report_.macs_per_token) - head;
    for (const auto& [length, tps] : report_.prefill_tps) {
      report_.prefill_limit_tps[length] =
          length * report_.machine.int8_gmacs * 1e9 / (length * body + head);
    }
    for (const auto& [size, tps] : report_.batch_tps)
      report_.batch_limit_tps[size] = size * 1000 / LimitMs(size, 0);
    for (const auto& [storage, name] : kKvStorages) {
      const KvShape shape{report_.model.num_layers, report_.model.num_kv_heads,
                          report_.model.head_dim, storage};
      const auto measured = report_.decode_at.find(name);
      if (measured == report_.decode_at.end()) continue;
      for (const auto& [context, tps] : measured->second) {
        const double kv_bytes = static_cast<double>(shape.bytes_per_token()) * context;
        report_.decode_at_limit[name][context] = 1000 / LimitMs(1, kv_bytes);
      }
    }
  }

  const std::string& path_;
  const BenchOptions& options_;
  std::vector<MachineLimits> machine_samples_;
  BenchReport report_;
};

}  // namespace

Result<BenchReport> RunBench(const std::string& path, const BenchOptions& options) {
  return Bench(path, options).Run();
}

}  // namespace hearth
