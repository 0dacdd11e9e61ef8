#pragma once
// A student learns a teacher's whole distribution over the next token, computed live: forward KL,
// the generalised Jensen-Shannon divergence or reverse KL (see loss/head_loss.h), with a share of
// cross-entropy on the data itself. On-policy distillation (arXiv:2306.13649): for a share of the
// batches the student writes the answers first, with the weights that it has in that step, and
// learns what the teacher would have said at each of its places.
// Threads: one at a time.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "training/model/decoder.h"
#include "training/trainer/sft_task.h"
#include "training/trainer/task.h"

namespace hearth::forge {

// Replaces what is learned in these batches (places with a weight, and what follows in a segment)
// by what the student writes after what stands before. A function of the student's weights, the
// batches and the contexts' seeds alone. `batches` and `contexts` have one size.
using WriteAnswers =
    std::function<Status(const Decoder& student, const std::vector<Batch*>& batches,
                         const std::vector<BatchContext>& contexts)>;

struct DistillationOptions {
  double beta = 0;  // 0 forward KL, 1 reverse KL, between: Jensen-Shannon
  double temperature = 1;
  double distillation = 1;   // shares of the loss
  double cross_entropy = 0;  // none of it where the student wrote
  double on_policy_share = 0;  // of the batches, chosen by a hash of seed and number
  WriteAnswers write_answers;  // needed where that is not 0
  bool checkpoint_activations = false;
  double lora_b_scale = 1;
  SaveDecoder save;
};

class DistillationTask final : public TrainingTask {
 public:
  // With an adapter attached to the student, it alone is trained. The teacher keeps every bit; an
  // activated adapter of its own is not supported. Errors: kInvalidArgument for options that make
  // no sense, for vocabularies whose sizes differ by more than padding, for models on different
  // devices or of different types.
  static Result<std::unique_ptr<DistillationTask>> Make(Decoder student, Decoder teacher,
                                                        DistillationOptions options);

  Decoder& student() { return student_; }
  const Decoder& teacher() const { return teacher_; }

  std::vector<NamedTensor> Parameters() override;
  double LearningRateScale(const std::string& name) const override;
  Status PrepareBatches(std::vector<Batch>& batches,
                        const std::vector<BatchContext>& contexts) override;
  // With "divergence", "cross_entropy" where it has a share, and "on_policy": the share of the
  // weights that the student wrote itself.
  Result<StepFigures> RunBatch(const Batch& batch, const BatchContext& context) override;
  // On the data alone: "divergence", "cross_entropy" and "accuracy", whatever the shares.
  Result<StepFigures> EvaluateBatch(const Batch& batch, const BatchContext& context) override;
  Status Save(const std::string& folder) override;
  double Flops(const Batch& batch) const override;
  std::vector<std::pair<std::string, std::string>> Facts() const override;

 private:
  DistillationTask(Decoder student, Decoder teacher, DistillationOptions options);
  Result<StepFigures> Run(const Batch& batch, const BatchContext& context, bool training);
  bool OnPolicy(const BatchContext& context) const;

  Decoder student_, teacher_;
  DistillationOptions options_;
};

}  // namespace hearth::forge
