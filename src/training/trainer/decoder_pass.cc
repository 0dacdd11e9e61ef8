#include "training/trainer/decoder_pass.h"

#include "training/trainer/flops.h"
#include "training/trainer/run_facts.h"

namespace hearth::forge {
namespace {

bool Activated(const Decoder& decoder) {
  return decoder.lora() != nullptr && !decoder.lora()->invocation_tokens.empty();
}

}  // namespace

std::vector<NamedTensor> TrainableParameters(Decoder& decoder) {
  const bool adapter = decoder.lora() != nullptr;
  decoder.SetBaseTrainable(!adapter);
  return adapter ? decoder.LoraParameters() : decoder.Parameters();
}

Status CheckBatchFor(const Decoder& decoder, const Batch& batch) {
  HEARTH_RETURN_IF_ERROR(CheckBatch(batch, decoder.config().vocab_size));
  if (Activated(decoder) && batch.adapter_mask.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "batch: it has no adapter_mask, which an activated adapter needs");
  }
  return {};
}

Tensor RowsThrough(const Decoder& decoder, const DeviceBatch& batch, const PassOptions& options) {
  ForwardOptions forward;
  forward.training = options.training;
  forward.checkpoint = options.checkpoint;
  forward.dropout_seed = options.seed;
  if (Activated(decoder)) forward.adapter_mask = batch.adapter_mask;
  const Tensor hidden = decoder.Forward(batch.tokens, batch.segments, forward).hidden;
  return batch.num_rows() == hidden.size(0) ? hidden : hidden.index_select(0, batch.rows);
}

double TrainingFlops(const Decoder& decoder, const Batch& batch) {
  const DecoderFlops forward =
      ForwardFlops(decoder.config(), batch.segment_lengths, CountRows(batch));
  const double weights = decoder.lora() != nullptr ? 0 : forward.linears + forward.head;
  return 2 * forward.sum() + forward.attention + weights;
}

std::vector<std::pair<std::string, std::string>> DecoderFacts(const Decoder& decoder) {
  std::vector<std::pair<std::string, std::string>> facts;
  if (const LoraOptions* lora = decoder.lora()) {
    std::string targets, tokens;
    for (const std::string& target : lora->targets) targets += (targets.empty() ? "" : ",") + target;
    for (const int32_t token : lora->invocation_tokens)
      tokens += (tokens.empty() ? "" : ",") + std::to_string(token);
    facts = {{"lora rank", std::to_string(lora->rank)},
             {"lora alpha", FactNumber(lora->alpha)},
             {"lora scaling", lora->rs_lora ? "rsLoRA" : "plain"},
             {"lora dropout", FactNumber(lora->dropout)},
             {"lora targets", targets.empty() ? "all" : targets},
             {"lora invocation tokens", tokens.empty() ? "none" : tokens}};
  }
  facts.emplace_back("trained", decoder.lora() != nullptr ? "adapter" : "all weights");
  return facts;
}

StepFigures NoFigures(const at::Device& device, const std::vector<std::string>& names) {
  const Tensor zero = at::zeros({}, at::TensorOptions().device(device).dtype(at::kFloat));
  StepFigures figures{zero, zero, {}};
  for (const std::string& name : names) figures.more.push_back({name, zero, {}});
  return figures;
}

}  // namespace hearth::forge
