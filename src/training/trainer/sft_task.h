#pragma once
// Learning the next token of what a batch marks (supervised fine-tuning, or pre-training where all
// is marked): of all weights of a decoder, or of the adapter attached to it while its base keeps
// every bit. Threads: one at a time.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "training/model/decoder.h"
#include "training/trainer/task.h"

namespace hearth::forge {

// What a trained decoder becomes on disk.
using SaveDecoder = std::function<Status(const Decoder&, const std::string& folder)>;

struct SftOptions {
  bool checkpoint_activations = false;  // recompute layers backwards: less memory, a third slower
  bool count_correct = false;           // the figure "accuracy" in training too
  double lora_b_scale = 1;              // of B's learning rate (LoRA+, arXiv:2402.12354)
  SaveDecoder save;
};

class SftTask final : public TrainingTask {
 public:
  // With an adapter attached, it alone is trained; else all of the decoder. An activated one works
  // where the batches' adapter_mask says, a plain one everywhere.
  SftTask(Decoder decoder, SftOptions options);

  Decoder& decoder() { return decoder_; }

  std::vector<NamedTensor> Parameters() override;
  double LearningRateScale(const std::string& name) const override;
  Result<StepFigures> RunBatch(const Batch& batch, const BatchContext& context) override;
  // With "accuracy": the share of places whose likeliest token is the right one.
  Result<StepFigures> EvaluateBatch(const Batch& batch, const BatchContext& context) override;
  Status Save(const std::string& folder) override;
  double Flops(const Batch& batch) const override;
  std::vector<std::pair<std::string, std::string>> Facts() const override;

 private:
  Result<StepFigures> Run(const Batch& batch, const BatchContext& context, bool training);

  Decoder decoder_;
  SftOptions options_;
};

}  // namespace hearth::forge
