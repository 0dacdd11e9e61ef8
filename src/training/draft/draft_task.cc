#include "training/draft/draft_task.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "training/loss/head_loss.h"

namespace hearth::forge {
namespace {

// Without waiting for the device, which may still be at work on the batch before.
Tensor Upload(const std::vector<int64_t>& values, const at::Device& device) {
  return at::tensor(values, at::kLong).to(device, /*non_blocking=*/true);
}

Tensor Upload(const std::vector<float>& values, const at::Device& device) {
  return at::tensor(values, at::kFloat).to(device, /*non_blocking=*/true);
}

}  // namespace

// Which rows of a step have a token to guess, the shift + 1st after their own.
struct DraftTask::StepRows {
  std::vector<int64_t> rows, targets;  // targets as rows of the draft's head; 0 for unknown ones
  std::vector<float> weights;          // 0 for what cannot be guessed
  std::vector<float> known;            // 1 or 0
};

DraftTask::DraftTask(const Decoder& base, Draft draft, const DraftTaskOptions& options)
    : base_(base), draft_(std::move(draft)), options_(options) {
  HEARTH_CHECK(options.num_steps >= 1);
  row_of_token_.assign(static_cast<size_t>(base.config().vocab_size), -1);
  std::vector<int64_t> ids;
  for (size_t row = 0; row < draft_.token_ids.size(); ++row) {
    const int32_t id = draft_.token_ids[row];
    row_of_token_[static_cast<size_t>(id)] = static_cast<int32_t>(row);
    ids.push_back(id);
  }
  teacher_head_ = base.head_weight().detach().index_select(0, Upload(ids, base.device()));
  for (const NamedTensor& parameter : draft_.Parameters()) parameter.tensor.set_requires_grad(true);
}

DraftTask::StepRows DraftTask::RowsOf(const Batch& batch, int64_t shift) const {
  StepRows result;
  int64_t begin = 0;
  for (const int32_t length : batch.segment_lengths) {
    const int64_t end = begin + length;
    for (int64_t row = begin; row + shift < end; ++row) {
      const auto place = static_cast<size_t>(row + shift);
      if (batch.weights[place] == 0) continue;
      const int32_t target = row_of_token_[static_cast<size_t>(batch.targets[place])];
      result.rows.push_back(row);
      result.targets.push_back(std::max(target, 0));
      result.weights.push_back(target < 0 ? 0 : batch.weights[place]);
      result.known.push_back(target < 0 ? 0 : 1);
    }
    begin = end;
  }
  return result;
}

StepFigures DraftTask::Run(const Batch& batch) {
  const at::Device device = base_.device();
  const Tensor tokens =
      Upload(std::vector<int64_t>(batch.tokens.begin(), batch.tokens.end()), device);
  const SegmentLayout segments =
      SegmentLayout::Make({batch.segment_lengths.begin(), batch.segment_lengths.end()}, device);
  const BaseStates base = RunBase(base_, draft_.taps, tokens, segments);
  const Draft draft = options_.quantization_aware ? draft_.FakeQuantized(options_.types) : draft_;
  const DraftInputs inputs{tokens, &segments, base.taps};
  const std::vector<Tensor> states = draft_.is_head()
                                         ? HeadStates(draft, base_, inputs, options_.num_steps)
                                         : std::vector<Tensor>{ModelStates(draft, base_, inputs)};

  HeadLossOptions loss_options;
  loss_options.cross_entropy = options_.cross_entropy;
  loss_options.distillation = options_.distillation;
  loss_options.count_correct = true;
  const auto floats = at::TensorOptions().device(device).dtype(at::kFloat);
  StepFigures figures;
  figures.loss = at::zeros({}, floats);
  figures.weight = at::zeros({}, floats);
  // 1 where all guesses up to this step were right.
  const Tensor reached = at::ones({batch.num_tokens()}, floats);
  Tensor accepted = at::zeros({}, floats), places = at::zeros({}, floats);
  for (size_t step = 0; step < states.size(); ++step) {
    const auto shift = static_cast<int64_t>(step) + (draft_.is_head() ? 1 : 0);
    const StepRows plan = RowsOf(batch, shift);
    const Tensor rows = Upload(plan.rows, device);
    const Tensor before = reached.index_select(0, rows);
    const Tensor weights =
        Upload(plan.weights, device)
            .mul(before.mul(1 - options_.unreached_share).add(options_.unreached_share))
            .mul(std::pow(options_.step_decay, static_cast<double>(step)));
    const HeadLossResult result = HeadLoss(
        states[step].index_select(0, rows), draft.head, Upload(plan.targets, device), weights,
        loss_options, {base.hidden.index_select(0, rows.add(shift)), teacher_head_});
    figures.loss = figures.loss.add(result.loss);
    figures.weight.add_(weights.sum());
    const Tensor right = result.correct.mul(Upload(plan.known, device)).mul(before);
    reached.index_copy_(0, rows, right);
    accepted.add_(right.sum());
    const Tensor reached_here = before.sum();
    if (step == 0) {
      places = reached_here;
      if (options_.distillation != 0)
        figures.more.push_back({"kl", result.divergence.sum(), places});
    }
    figures.more.push_back({step == 0 ? "agreement" : "agreement_" + std::to_string(step + 1),
                            right.sum(), reached_here});
  }
  if (draft_.is_head())
    figures.more.push_back({"tokens_per_verification", accepted.add(places), places});
  return figures;
}

Result<StepFigures> DraftTask::RunBatch(const Batch& batch, const BatchContext&) {
  StepFigures figures = Run(batch);
  // Nothing to learn in the batch: nothing to go back through.
  if (figures.loss.requires_grad()) figures.loss.backward();
  figures.loss = figures.loss.detach();
  return figures;
}

Result<StepFigures> DraftTask::EvaluateBatch(const Batch& batch, const BatchContext&) {
  const at::NoGradGuard no_gradients;
  return Run(batch);
}

Status DraftTask::Save(const std::string& folder) {
  return draft_.Save(folder + "/draft.gguf", options_.types);
}

double DraftTask::Flops(const Batch& batch) const {
  const DecoderConfig& c = base_.config();
  const double base_macs = static_cast<double>(
      c.num_layers * (c.hidden_size * (2 * c.query_size() + 2 * c.kv_size() + 3 * c.ffn_size)));
  const double steps = draft_.is_head() ? options_.num_steps : 1;
  const double head = static_cast<double>(draft_.head.numel());
  const double own = static_cast<double>(draft_.macs_per_guess());
  const double fuse = draft_.is_head() ? static_cast<double>(draft_.fuse.numel()) : 0;
  // Forward and backward are three products of each matrix, the teacher's head one.
  const double macs = base_macs + 3 * (fuse + steps * own) + steps * head;
  return 2 * macs * static_cast<double>(batch.num_tokens());
}

std::vector<std::pair<std::string, std::string>> DraftTask::Facts() const {
  std::string taps;
  for (const int tap : draft_.taps) taps += (taps.empty() ? "" : ",") + std::to_string(tap);
  uint64_t hash = 0;
  for (const int32_t id : draft_.token_ids) hash = HashSeed(hash, static_cast<uint64_t>(id), 0);
  return {{"draft.taps", taps},
          {"draft.layers", std::to_string(draft_.layers.size())},
          {"draft.ffn_size", std::to_string(draft_.config.ffn_size)},
          {"draft.tokens", std::to_string(draft_.token_ids.size()) + ":" + std::to_string(hash)},
          {"draft.types", std::string(InfoOf(options_.types.layers).name) + "," +
                              std::string(InfoOf(options_.types.head).name)},
          {"draft.quantization_aware", options_.quantization_aware ? "true" : "false"},
          {"draft.distillation", std::to_string(options_.distillation)},
          {"draft.cross_entropy", std::to_string(options_.cross_entropy)},
          {"draft.num_steps", std::to_string(options_.num_steps)},
          {"draft.step_decay", std::to_string(options_.step_decay)},
          {"draft.unreached_share", std::to_string(options_.unreached_share)}};
}

}  // namespace hearth::forge
