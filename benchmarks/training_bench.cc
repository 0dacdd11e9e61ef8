// How fast training is, and whether it resumes to the bit, on the devices that are here: batches of
// random tokens, no data, nothing written but a checkpoint.
//
//   training_bench --model M.gguf --mode sft --batch-tokens 8192 --length 2048 --steps 12
//   training_bench --model M.gguf --mode lora --processes 2        (or under torchrun --no-python)
//   training_bench --model M.gguf --mode lora --resume --deterministic
//
// A line of JSON at the end.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "training/trainer/launcher.h"
#include "training/trainer/process_group.h"
#include "training/trainer/sft_task.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {
namespace {

struct Flags {
  std::string model, mode = "sft", device = "auto", dtype = "auto", folder = "training_bench.tmp";
  int64_t batch_tokens = 8192, length = 2048, steps = 12, warm_steps = 3, batches_per_step = 1;
  int64_t rank = 16;
  int processes = 1;
  bool checkpoint = false, resume = false, deterministic = false;
};

// The same batch for the same number, everywhere.
class RandomBatches final : public BatchSource {
 public:
  RandomBatches(const Flags& flags, int64_t vocab_size) : flags_(flags), vocab_size_(vocab_size) {}
  int64_t batches_per_epoch() const override { return 1 << 20; }
  Result<Batch> At(int64_t index) override {
    Batch batch;
    const auto number = static_cast<uint64_t>(index);
    for (int64_t begin = 0; begin < flags_.batch_tokens; begin += flags_.length) {
      const int64_t size = std::min(flags_.length, flags_.batch_tokens - begin);
      batch.segment_lengths.push_back(static_cast<int32_t>(size));
      for (int64_t place = begin; place < begin + size; ++place) {
        batch.tokens.push_back(TokenAt(number, place));
        const bool last = place + 1 == begin + size;
        batch.targets.push_back(last ? 0 : TokenAt(number, place + 1));
        batch.weights.push_back(last ? 0.0f : 1.0f);
      }
    }
    return batch;
  }

 private:
  int32_t TokenAt(uint64_t index, int64_t place) const {
    return static_cast<int32_t>(HashSeed(17, index, static_cast<uint64_t>(place)) %
                                static_cast<uint64_t>(vocab_size_));
  }

  Flags flags_;
  int64_t vocab_size_;
};

Result<SftTask> MakeTask(const Flags& flags, const at::Device& device) {
  HEARTH_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(flags.dtype, device));
  HEARTH_ASSIGN_OR_RETURN(Decoder decoder, Decoder::Load(flags.model, {device, dtype}));
  if (flags.mode == "lora") {
    LoraOptions lora;
    lora.rank = flags.rank;
    lora.alpha = 32;
    lora.dropout = flags.resume ? 0.1 : 0;
    HEARTH_RETURN_IF_ERROR(decoder.AttachLora(lora, 1));
  } else {
    decoder.SetBaseTrainable(true);
  }
  SftOptions options;
  options.checkpoint_activations = flags.checkpoint;
  return SftTask(std::move(decoder), options);
}

TrainerOptions OptionsOf(const Flags& flags) {
  TrainerOptions options;
  options.max_steps = flags.steps;
  options.batches_per_step = flags.batches_per_step;
  options.schedule.learning_rate = 1e-4;
  options.deterministic = flags.deterministic;
  return options;
}

std::vector<Tensor> Weights(SftTask& task) {
  std::vector<Tensor> weights;
  for (const NamedTensor& parameter : task.Parameters())
    weights.push_back(parameter.tensor.detach().to(at::kCPU).clone());
  return weights;
}

// Bits of `a` that `b` does not have, in elements.
int64_t Differences(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i].ne(b[i]).sum().item<int64_t>();
  return count;
}

// The whole run; then the run stopped half-way, and gone on with.
Status CheckResume(const Flags& flags, const at::Device& device) {
  std::error_code ignored;
  std::filesystem::remove_all(flags.folder, ignored);
  const auto run = [&](const std::string& folder, int64_t stop_at) -> Result<std::vector<Tensor>> {
    HEARTH_ASSIGN_OR_RETURN(SftTask task, MakeTask(flags, device));
    RandomBatches batches(flags, task.decoder().config().vocab_size);
    TrainerOptions options = OptionsOf(flags);
    options.checkpoint_folder = folder;
    int64_t asked = 0;
    options.should_stop = [&asked, stop_at] { return asked++ == stop_at; };
    HEARTH_RETURN_IF_ERROR(Train(task, batches, nullptr, options).map([](const auto&) {}));
    return Weights(task);
  };
  HEARTH_ASSIGN_OR_RETURN(const auto whole, run("", -1));
  HEARTH_ASSIGN_OR_RETURN(const auto again, run("", -1));
  HEARTH_ASSIGN_OR_RETURN(const auto half, run(flags.folder, flags.steps / 2));
  HEARTH_ASSIGN_OR_RETURN(const auto resumed, run(flags.folder, -1));
  std::filesystem::remove_all(flags.folder, ignored);
  int64_t elements = 0;
  for (const Tensor& weight : whole) elements += weight.numel();
  std::printf(
      "{\"check\": \"resume\", \"mode\": \"%s\", \"deterministic\": %s, \"device\": \"%s\", "
      "\"steps\": %lld, \"weights\": %lld, \"differ_half_way\": %lld, \"differ_run_again\": %lld, "
      "\"differ_resumed\": %lld}\n",
      flags.mode.c_str(), flags.deterministic ? "true" : "false", DeviceName(device).c_str(),
      static_cast<long long>(flags.steps), static_cast<long long>(elements),
      static_cast<long long>(Differences(whole, half)),
      static_cast<long long>(Differences(whole, again)),
      static_cast<long long>(Differences(whole, resumed)));
  return {};
}

// Of the steps behind the first few.
Status MeasureSpeed(const Flags& flags, const ProcessEnvironment& environment,
                    const at::Device& device) {
  std::unique_ptr<ProcessGroup> group;
  if (environment.world_size > 1) {
    HEARTH_ASSIGN_OR_RETURN(group, ProcessGroup::Join(environment, device, 60));
  }
  HEARTH_ASSIGN_OR_RETURN(SftTask task, MakeTask(flags, device));
  RandomBatches batches(flags, task.decoder().config().vocab_size);
  TrainerOptions options = OptionsOf(flags);
  options.group = group.get();
  double seconds = 0, tokens = 0, share = 0, loss = 0;
  options.on_progress = [&](const TrainProgress& at) {
    loss = at.loss;
    if (at.step <= flags.warm_steps) return;
    const auto step_tokens = static_cast<double>(flags.batch_tokens * flags.batches_per_step);
    const double step_seconds = step_tokens / at.tokens_per_second;
    seconds += step_seconds;
    tokens += step_tokens;
    share += at.peak_share * step_seconds;
  };
  HEARTH_ASSIGN_OR_RETURN(const TrainSummary summary, Train(task, batches, nullptr, options));
  if (environment.rank > 0 || seconds == 0) return {};
  std::printf(
      "{\"check\": \"speed\", \"mode\": \"%s\", \"processes\": %d, \"device\": \"%s\", "
      "\"batch_tokens\": %lld, \"length\": %lld, \"batches_per_step\": %lld, \"checkpointing\": "
      "%s, \"tokens_per_second\": %.0f, \"peak_share\": %.4f, \"memory_gib\": %.1f, \"loss\": "
      "%.4f}\n",
      flags.mode.c_str(), environment.world_size, DeviceName(device).c_str(),
      static_cast<long long>(flags.batch_tokens), static_cast<long long>(flags.length),
      static_cast<long long>(flags.batches_per_step), flags.checkpoint ? "true" : "false",
      tokens / seconds, share / seconds,
      static_cast<double>(summary.peak_memory_bytes) / static_cast<double>(1 << 30), loss);
  return {};
}

Status Main(const Flags& flags, std::vector<std::string> command) {
  HEARTH_ASSIGN_OR_RETURN(const ProcessEnvironment environment, ReadProcessEnvironment());
  if (flags.processes > 1 && environment.world_size == 1)
    return Launch({.num_processes = flags.processes, .command = std::move(command)});
  // Before cuBLAS is first used.
  if (flags.deterministic) UseDeterministicAlgorithms(true);
  HEARTH_ASSIGN_OR_RETURN(at::Device device, ParseDevice(flags.device));
  if (environment.world_size > 1 && device.is_cuda())
    device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(environment.local_rank));
  return CatchTorch("training", [&]() -> Status {
    return flags.resume ? CheckResume(flags, device) : MeasureSpeed(flags, environment, device);
  });
}

}  // namespace
}  // namespace hearth::forge

int main(int argc, char** argv) {
  hearth::forge::Flags flags;
  CLI::App app("Training's speed, and whether it resumes to the bit");
  app.add_option("--model", flags.model, "A GGUF file or a Hugging Face folder")->required();
  app.add_option("--mode", flags.mode)->check(CLI::IsMember({"sft", "lora"}));
  app.add_option("--batch-tokens", flags.batch_tokens);
  app.add_option("--length", flags.length, "Tokens of a sequence");
  app.add_option("--steps", flags.steps);
  app.add_option("--batches-per-step", flags.batches_per_step);
  app.add_option("--rank", flags.rank, "Of the adapter");
  app.add_option("--processes", flags.processes);
  app.add_option("--device", flags.device);
  app.add_option("--dtype", flags.dtype);
  app.add_option("--folder", flags.folder, "For --resume's checkpoint");
  app.add_flag("--checkpointing", flags.checkpoint);
  app.add_flag("--deterministic", flags.deterministic);
  app.add_flag("--resume", flags.resume, "Compare a run with one that was stopped and resumed");
  CLI11_PARSE(app, argc, argv);
  const auto status = hearth::forge::Main(flags, {argv, argv + argc});
  if (!status) {
    std::fprintf(stderr, "training_bench: %s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}
