#include "training/draft/train_draft.h"

#include <memory>
#include <utility>

#include "training/generate/generate_file.h"
#include "training/generate/token_rows.h"

namespace hearth::forge {
namespace {

Result<Decoder> LoadBase(const std::string& path, const std::string& device_name,
                         const std::string& dtype_name) {
  HEARTH_ASSIGN_OR_RETURN(const at::Device device, ParseDevice(device_name));
  HEARTH_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(dtype_name, device));
  return Decoder::Load(path, {device, dtype});
}

Result<TrainDraftResult> TrainDraftOrThrow(const TrainDraftOptions& options) {
  if (options.output.empty())
    return MakeError(ErrorCode::kInvalidArgument, "draft: no file to write");
  HEARTH_ASSIGN_OR_RETURN(const ChatTokenizer chat, ChatTokenizer::Load(options.base));
  HEARTH_ASSIGN_OR_RETURN(const Decoder base,
                          LoadBase(options.base, options.device, options.dtype));
  HEARTH_ASSIGN_OR_RETURN(Dataset data, ReadTokenRows(chat, options.data));
  TrainDraftResult result;
  result.data = data.train_statistics;
  result.held_out = data.held_out_statistics;
  result.vocabulary = ChooseVocabulary(CountLearnedTokens(data.train, base.config().vocab_size),
                                       options.vocab_size, StopTokens(chat));

  DraftOptions draft_options = options.draft;
  draft_options.token_ids = result.vocabulary.token_ids;
  const int last = static_cast<int>(base.config().num_layers) - 1;
  if (!options.head) {
    draft_options.taps.clear();
    if (draft_options.layers.empty()) draft_options.layers = {0, last};
  } else if (draft_options.taps.empty()) {
    draft_options.taps = DefaultTaps(base.config().num_layers);
  }
  HEARTH_ASSIGN_OR_RETURN(Draft draft, Draft::FromBase(base, draft_options));
  DraftTask task(base, std::move(draft), options.task);

  const bool evaluates = data.held_out.num_rows() > 0;
  HEARTH_ASSIGN_OR_RETURN(
      const std::unique_ptr<PackedBatches> train,
      PackedBatches::Make(std::make_shared<const TokenStore>(std::move(data.train)),
                          options.packing));
  std::unique_ptr<PackedBatches> held_out;
  if (evaluates) {
    PackingOptions packing = options.packing;
    packing.shuffle = false;
    packing.weights.clear();
    HEARTH_ASSIGN_OR_RETURN(
        held_out,
        PackedBatches::Make(std::make_shared<const TokenStore>(std::move(data.held_out)), packing));
  }
  HEARTH_ASSIGN_OR_RETURN(result.summary, Train(task, *train, held_out.get(), options.trainer));
  result.bytes_per_guess = task.draft().bytes_per_guess(options.task.types);
  result.bytes_in_all = task.draft().bytes_in_all(options.task.types);
  for (const NamedTensor& parameter : task.Parameters())
    result.num_parameters += parameter.tensor.numel();
  const ProcessGroup* group = options.trainer.group;
  if (!result.summary.stopped && (group == nullptr || group->rank() == 0))
    HEARTH_RETURN_IF_ERROR(task.draft().Save(options.output, options.task.types));
  return result;
}

Result<MeasureDraftResult> MeasureDraftsOrThrow(const MeasureDraftOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const ChatTokenizer chat, ChatTokenizer::Load(options.base));
  HEARTH_ASSIGN_OR_RETURN(const Decoder base,
                          LoadBase(options.base, options.device, options.dtype));
  std::vector<Draft> drafts;
  for (const std::string& path : options.drafts) {
    HEARTH_ASSIGN_OR_RETURN(Draft draft, Draft::Load(path, base));
    drafts.push_back(std::move(draft));
  }
  ConversationOptions conversations;
  conversations.prompt_files = options.prompt_files;
  conversations.num_given = options.num_prompts;
  conversations.greedy_share = 1;
  conversations.max_answer_tokens = options.max_answer_tokens;
  GeneratorOptions generator;
  generator.batch = options.batch;
  generator.capacity = 0;
  HEARTH_ASSIGN_OR_RETURN(const MadeConversations made,
                          GenerateAll(base, chat, generator, conversations));
  MeasureDraftResult result;
  result.answers = made.statistics.conversations;
  result.answer_tokens = made.statistics.answer_tokens;
  result.tokens_per_second = made.generator.tokens_per_second();
  std::vector<GreedyText> texts;
  for (const MadeConversation& one : made.conversations)
    texts.push_back({one.tokens, one.answer_begin});
  for (size_t i = 0; i < drafts.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const DraftQuality quality,
                            MeasureDraft(base, drafts[i], texts, options.num_guesses));
    result.drafts.push_back({options.drafts[i], drafts[i].is_head(),
                             static_cast<int64_t>(drafts[i].token_ids.size()), quality});
  }
  return result;
}

}  // namespace

Result<TrainDraftResult> TrainDraft(const TrainDraftOptions& options) {
  TrainDraftResult result;
  const Status status = CatchTorch("training a draft", [&]() -> Status {
    HEARTH_ASSIGN_OR_RETURN(result, TrainDraftOrThrow(options));
    return {};
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return result;
}

Result<MeasureDraftResult> MeasureDrafts(const MeasureDraftOptions& options) {
  MeasureDraftResult result;
  const Status status = CatchTorch("measuring drafts", [&]() -> Status {
    HEARTH_ASSIGN_OR_RETURN(result, MeasureDraftsOrThrow(options));
    return {};
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return result;
}

}  // namespace hearth::forge
