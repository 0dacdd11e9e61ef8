#pragma once
// For tests of the trainer: models of a few thousand weights, batches out of memory, sinks that
// remember.

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "training/data/batch.h"
#include "training/model/decoder.h"
#include "training/trainer/metrics_sink.h"
#include "training/trainer/sft_task.h"
#include "training/trainer/trainer.h"

namespace hearth::forge::testing_tasks {

inline DecoderConfig TinyConfig(int64_t hidden_size = 16, int64_t num_layers = 2) {
  DecoderConfig config;
  config.architecture = "llama";
  config.num_layers = num_layers;
  config.hidden_size = hidden_size;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = hidden_size / 2;
  config.ffn_size = 2 * hidden_size;
  config.vocab_size = 31;
  config.context_length = 64;
  config.tied_head = true;
  return config;
}

inline Decoder TinyDecoder(uint64_t seed = 7, at::ScalarType dtype = at::kFloat) {
  Decoder decoder = Decoder::Random(TinyConfig(), {at::kCPU, dtype}, seed);
  // Larger than what models begin with, so that every part matters.
  for (const NamedTensor& parameter : decoder.Parameters()) {
    Tensor tensor = parameter.tensor;
    if (tensor.dim() == 2) tensor.mul_(8);
  }
  return decoder;
}

inline uint64_t Next(uint64_t& state) {
  state = HashSeed(state, 1, 2);
  return state >> 33;
}

// Two or three segments in which each token follows from the one before, with some noise; their
// first places are not learned.
inline Batch TinyBatch(uint64_t seed, bool masked = false, int64_t vocab_size = 31) {
  Batch batch;
  uint64_t state = seed + 1000;
  const auto segments = 2 + Next(state) % 2;
  const auto vocab = static_cast<uint64_t>(vocab_size);
  for (uint64_t segment = 0; segment < segments; ++segment) {
    const auto length = static_cast<int32_t>(4 + Next(state) % 5);
    uint64_t token = Next(state) % vocab;
    for (int32_t place = 0; place < length; ++place) {
      batch.tokens.push_back(static_cast<int32_t>(token));
      token = Next(state) % 8 == 0 ? Next(state) % vocab : (token * 3 + 1) % vocab;
      const bool last = place + 1 == length;
      batch.targets.push_back(last ? 0 : static_cast<int32_t>(token));
      batch.weights.push_back(last || place == 0 ? 0.0f : 1.0f);
      if (masked) batch.adapter_mask.push_back(place > 0 ? 1 : 0);
    }
    batch.segment_lengths.push_back(length);
  }
  return batch;
}

// One batch that holds both.
inline Batch Joined(const Batch& a, const Batch& b) {
  Batch both = a;
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(both.tokens, b.tokens);
  append(both.segment_lengths, b.segment_lengths);
  append(both.targets, b.targets);
  append(both.weights, b.weights);
  append(both.adapter_mask, b.adapter_mask);
  return both;
}

class VectorSource final : public BatchSource {
 public:
  explicit VectorSource(std::vector<Batch> batches) : batches_(std::move(batches)) {}
  int64_t batches_per_epoch() const override { return static_cast<int64_t>(batches_.size()); }
  Result<Batch> At(int64_t index) override {
    return batches_[static_cast<size_t>(index) % batches_.size()];
  }

 private:
  std::vector<Batch> batches_;
};

inline VectorSource TinySource(int64_t count, uint64_t seed = 0, bool masked = false) {
  std::vector<Batch> batches;
  for (int64_t i = 0; i < count; ++i)
    batches.push_back(TinyBatch(seed * 1000 + static_cast<uint64_t>(i), masked));
  return VectorSource(std::move(batches));
}

class MemorySink final : public MetricsSink {
 public:
  void AddScalar(std::string_view name, int64_t step, double value) override {
    values[std::string(name)][step] = value;
  }
  void Flush() override { ++flushes; }
  std::map<std::string, std::map<int64_t, double>> values;
  int flushes = 0;
};

// An SftTask with something done before each training batch.
class WatchedTask final : public TrainingTask {
 public:
  WatchedTask(Decoder decoder, std::function<void(const BatchContext&)> before)
      : task_(std::move(decoder), {}), before_(std::move(before)) {}
  std::vector<NamedTensor> Parameters() override { return task_.Parameters(); }
  Result<StepFigures> RunBatch(const Batch& batch, const BatchContext& context) override {
    if (before_) before_(context);
    auto figures = task_.RunBatch(batch, context);
    if (figures && change) change(context, *figures);
    return figures;
  }
  Result<StepFigures> EvaluateBatch(const Batch& batch, const BatchContext& context) override {
    return task_.EvaluateBatch(batch, context);
  }
  Status Save(const std::string& folder) override { return task_.Save(folder); }
  SftTask& inner() { return task_; }
  std::function<void(const BatchContext&, StepFigures&)> change;

 private:
  SftTask task_;
  std::function<void(const BatchContext&)> before_;
};

inline Decoder WithLora(Decoder decoder, double dropout = 0,
                        std::vector<int32_t> invocation_tokens = {}) {
  LoraOptions lora;
  lora.rank = 4;
  lora.alpha = 8;
  lora.dropout = dropout;
  lora.invocation_tokens = std::move(invocation_tokens);
  const Status attached = decoder.AttachLora(lora, 11);
  if (!attached) throw std::runtime_error(attached.error().message);
  return decoder;
}

inline TrainerOptions TinyOptions(int64_t max_steps) {
  TrainerOptions options;
  options.max_steps = max_steps;
  options.seed = 3;
  options.schedule.learning_rate = 1e-2;
  options.schedule.warmup_steps = 2;
  options.handle_signals = false;
  return options;
}

inline std::vector<Tensor> Copies(const std::vector<NamedTensor>& parameters) {
  std::vector<Tensor> copies;
  for (const NamedTensor& parameter : parameters)
    copies.push_back(parameter.tensor.detach().clone());
  return copies;
}

inline bool SameBits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].equal(b[i])) return false;
  }
  return true;
}

inline double Distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i)
    most = std::max(most, (a[i] - b[i]).abs().max().item<double>());
  return most;
}

inline std::string FreshFolder(const std::string& path) {
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace hearth::forge::testing_tasks
