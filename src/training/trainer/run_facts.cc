#include "training/trainer/run_facts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hearth::forge {
namespace {

Status Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "trainer: " + what);
}

// FNV-1a, over the values' bytes.
class Hash {
 public:
  template <typename T>
  void Add(const std::vector<T>& values) {
    AddBytes(values.data(), values.size() * sizeof(T));
  }
  void AddBytes(const void* data, size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) value_ = (value_ ^ bytes[i]) * 0x100000001b3ull;
    value_ = (value_ ^ size) * 0x100000001b3ull;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325ull;
};

Result<std::string> HashOfBatch(BatchSource& source, int64_t index) {
  HEARTH_ASSIGN_OR_RETURN(const Batch batch, source.At(index));
  Hash hash;
  hash.Add(batch.tokens);
  hash.Add(batch.segment_lengths);
  hash.Add(batch.targets);
  hash.Add(batch.weights);
  hash.Add(batch.adapter_mask);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash.value()));
  return std::string(text);
}

}  // namespace

Status CheckTrainerOptions(const TrainerOptions& options, int world_size) {
  HEARTH_RETURN_IF_ERROR(CheckSchedule(options.schedule));
  if (options.max_steps < 0) return Wrong("max_steps is " + std::to_string(options.max_steps));
  if (options.max_steps == 0 && !(options.epochs > 0 && options.epochs < 1e9))
    return Wrong("epochs is " + FactNumber(options.epochs));
  if (options.batches_per_step < 1 || options.batches_per_step % world_size != 0) {
    return Wrong("batches_per_step is " + std::to_string(options.batches_per_step) +
                 ", no multiple of the " + std::to_string(world_size) + " processes");
  }
  if (!(options.beta1 >= 0 && options.beta1 < 1)) return Wrong("beta1 is " + FactNumber(options.beta1));
  if (!(options.beta2 >= 0 && options.beta2 < 1)) return Wrong("beta2 is " + FactNumber(options.beta2));
  if (!(options.eps > 0)) return Wrong("eps is " + FactNumber(options.eps));
  if (!(options.weight_decay >= 0)) return Wrong("weight_decay is " + FactNumber(options.weight_decay));
  if (!(options.max_gradient_norm >= 0))
    return Wrong("max_gradient_norm is " + FactNumber(options.max_gradient_norm));
  return {};
}

int64_t NumSteps(const TrainerOptions& options, int64_t batches_per_epoch) {
  if (options.max_steps > 0) return options.max_steps;
  const double batches = options.epochs * static_cast<double>(batches_per_epoch);
  const double steps = std::ceil(batches / static_cast<double>(options.batches_per_step) - 1e-9);
  return std::max<int64_t>(1, static_cast<int64_t>(steps));
}

Result<std::vector<std::pair<std::string, std::string>>> RunFacts(
    const TrainerOptions& options,
    const std::vector<std::pair<std::string, std::string>>& task_facts, BatchSource& train) {
  const ScheduleOptions& schedule = options.schedule;
  const WatchdogOptions& watchdog = options.watchdog;
  std::vector<std::pair<std::string, std::string>> facts = {
      {"seed", std::to_string(options.seed)},
      {"batches_per_step", std::to_string(options.batches_per_step)},
      {"schedule", std::string(ScheduleName(schedule.kind))},
      {"learning_rate", FactNumber(schedule.learning_rate)},
      {"final_share", FactNumber(schedule.final_share)},
      {"warmup_steps", std::to_string(schedule.warmup_steps)},
      {"warmup_share", FactNumber(schedule.warmup_share)},
      {"decay_share", FactNumber(schedule.decay_share)},
      {"beta1", FactNumber(options.beta1)},
      {"beta2", FactNumber(options.beta2)},
      {"eps", FactNumber(options.eps)},
      {"weight_decay", FactNumber(options.weight_decay)},
      {"max_gradient_norm", FactNumber(options.max_gradient_norm)},
      {"spike_factor", FactNumber(watchdog.spike_factor)},
      {"settle_steps", std::to_string(watchdog.settle_steps)},
  };
  facts.insert(facts.end(), options.facts.begin(), options.facts.end());
  facts.insert(facts.end(), task_facts.begin(), task_facts.end());
  const int64_t batches = train.batches_per_epoch();
  facts.emplace_back("batches per epoch", std::to_string(batches));
  HEARTH_ASSIGN_OR_RETURN(std::string first_batch, HashOfBatch(train, 0));
  HEARTH_ASSIGN_OR_RETURN(std::string last_batch, HashOfBatch(train, batches - 1));
  facts.emplace_back("first batch's hash", std::move(first_batch));
  facts.emplace_back("last batch's hash", std::move(last_batch));
  return facts;
}

std::string FactNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  for (int digits = 1; digits < 17; ++digits) {
    char shorter[32];
    std::snprintf(shorter, sizeof shorter, "%.*g", digits, value);
    if (std::strtod(shorter, nullptr) == value) return shorter;
  }
  return text;
}

uint64_t HashFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  Hash hash;
  for (const auto& [name, value] : facts) {
    hash.AddBytes(name.data(), name.size());
    hash.AddBytes(value.data(), value.size());
  }
  return hash.value();
}

BatchContext ContextOf(uint64_t seed, int64_t step, int64_t index) {
  return {step, index, HashSeed(seed, static_cast<uint64_t>(step), static_cast<uint64_t>(index))};
}

}  // namespace hearth::forge
