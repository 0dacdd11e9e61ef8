#pragma once
// Training a draft on what its base writes, with the base as a live teacher: at each place the
// forward KL of the base's distribution, over the tokens that the draft can guess, and a share of
// cross-entropy on the token that came. A head learns all its steps at once: after j right guesses
// it has its own output instead of the base's state, as when it drafts (HeadStates).

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "training/draft/draft.h"
#include "training/trainer/task.h"

namespace hearth::forge {

struct DraftTaskOptions {
  DraftTypes types;
  bool quantization_aware = true;  // trains with the weights as the file will hold them
  double distillation = 1;
  double cross_entropy = 0.1;
  // A head's steps: step j counts step_decay^j, and a place where a guess before it was wrong
  // `unreached_share` of that, since no draft would get there.
  int num_steps = 5;
  double step_decay = 0.9;
  double unreached_share = 0.3;
};

class DraftTask final : public TrainingTask {
 public:
  // `base` outlives it, and is not trained.
  DraftTask(const Decoder& base, Draft draft, const DraftTaskOptions& options);

  std::vector<NamedTensor> Parameters() override { return draft_.Parameters(); }
  Result<StepFigures> RunBatch(const Batch& batch, const BatchContext& context) override;
  // Figures: "kl" (of the first guess), "agreement" (how often that is the token that came), and
  // for a head "tokens_per_verification" (one, and the guesses up to the first wrong one, from
  // every place) and "agreement_2" on (of the places that are reached).
  Result<StepFigures> EvaluateBatch(const Batch& batch, const BatchContext& context) override;
  // draft.gguf in the folder.
  Status Save(const std::string& folder) override;
  double Flops(const Batch& batch) const override;
  std::vector<std::pair<std::string, std::string>> Facts() const override;

  const Draft& draft() const { return draft_; }

 private:
  struct StepRows;
  StepRows RowsOf(const Batch& batch, int64_t shift) const;
  StepFigures Run(const Batch& batch);

  const Decoder& base_;
  Draft draft_;
  DraftTaskOptions options_;
  std::vector<int32_t> row_of_token_;  // [vocab_size]; -1: cannot be guessed
  Tensor teacher_head_;                // [token_ids.size(), hidden_size]
};

}  // namespace hearth::forge
