#include "training/generate/generate_file.h"

#include <algorithm>
#include <utility>

#include "training/data/rows.h"
#include "training/generate/line_writer.h"

namespace hearth::forge {
namespace {

// Room for a template's own words, and for given prompts.
constexpr int64_t kTemplateRoom = 128, kPromptRoom = 768;

tl::unexpected<Error> Wrong(const std::string& field, const std::string& value) {
  return MakeError(ErrorCode::kInvalidArgument, "generate: " + field + " is " + value);
}

Status CheckOptions(const GeneratorOptions& generator, const ConversationOptions& conversations) {
  const auto at_least = [](const char* field, int64_t value, int64_t least) -> Status {
    if (value >= least) return {};
    return Wrong(field, std::to_string(value));
  };
  HEARTH_RETURN_IF_ERROR(at_least("batch", generator.batch, 1));
  HEARTH_RETURN_IF_ERROR(at_least("capacity", generator.capacity, 0));
  HEARTH_RETURN_IF_ERROR(at_least("steps_per_check", generator.steps_per_check, 1));
  HEARTH_RETURN_IF_ERROR(at_least("conversations", conversations.num_invented, 0));
  HEARTH_RETURN_IF_ERROR(at_least("answers_per_prompt", conversations.answers_per_prompt, 1));
  HEARTH_RETURN_IF_ERROR(at_least("max_question_tokens", conversations.max_question_tokens, 1));
  HEARTH_RETURN_IF_ERROR(at_least("max_answer_tokens", conversations.max_answer_tokens, 1));
  if (conversations.num_invented == 0 && conversations.prompt_files.empty())
    return Wrong("the number of conversations", "0, and there are no prompts");
  for (const double value :
       {conversations.question_temperature, conversations.answer_temperature}) {
    if (!(value >= 0 && value <= 100)) return Wrong("a temperature", std::to_string(value));
  }
  if (!(conversations.top_p > 0 && conversations.top_p <= 1))
    return Wrong("top_p", std::to_string(conversations.top_p));
  if (!(conversations.greedy_share >= 0 && conversations.greedy_share <= 1))
    return Wrong("greedy_share", std::to_string(conversations.greedy_share));
  return {};
}

// Rows of the files, at most `most`: no more slots than that are of use.
Result<int64_t> CountRows(const std::vector<std::string>& files, int64_t most) {
  int64_t rows = 0;
  for (const std::string& file : files) {
    HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(file));
    while (rows < most) {
      HEARTH_ASSIGN_OR_RETURN(const auto row, reader.Next());
      if (!row) break;
      ++rows;
    }
  }
  return rows;
}

Result<GeneratorOptions> Settled(GeneratorOptions generator,
                                 const ConversationOptions& conversations, const Decoder& decoder,
                                 const ChatTokenizer& chat) {
  generator.stop_tokens = StopTokens(chat);
  generator.use_top_p = conversations.top_p < 1;
  if (generator.capacity == 0) {
    generator.capacity =
        conversations.max_answer_tokens +
        std::max(
            conversations.prompt_files.empty() ? 0 : kPromptRoom,
            conversations.num_invented > 0 ? conversations.max_question_tokens + kTemplateRoom : 0);
  }
  generator.capacity =
      std::max<int64_t>(2, std::min(generator.capacity, decoder.config().context_length));
  const int64_t most = conversations.num_given > 0
                           ? std::min(conversations.num_given, generator.batch)
                           : generator.batch;
  HEARTH_ASSIGN_OR_RETURN(const int64_t given, CountRows(conversations.prompt_files, most));
  generator.batch = std::clamp<int64_t>(
      conversations.num_invented + given * conversations.answers_per_prompt, 1, generator.batch);
  return generator;
}

Result<GenerateFileResult> GenerateFileOrThrow(const GenerateFileOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckOptions(options.generator, options.conversations));
  HEARTH_ASSIGN_OR_RETURN(const at::Device device, ParseDevice(options.device));
  HEARTH_ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(options.dtype, device));
  HEARTH_ASSIGN_OR_RETURN(const ChatTokenizer chat, ChatTokenizer::Load(options.model));
  HEARTH_ASSIGN_OR_RETURN(const Decoder decoder, Decoder::Load(options.model, {device, dtype}));
  HEARTH_ASSIGN_OR_RETURN(LineWriter file, LineWriter::Create(options.output));
  HEARTH_ASSIGN_OR_RETURN(const GeneratorOptions settled,
                          Settled(options.generator, options.conversations, decoder, chat));
  Generator generator(decoder, settled);
  int64_t done = 0;
  const int64_t of =
      options.conversations.prompt_files.empty() ? options.conversations.num_invented : 0;
  HEARTH_ASSIGN_OR_RETURN(const ConversationStatistics statistics,
                          MakeConversations(generator, chat, options.conversations,
                                            [&](const MadeConversation& made) -> Status {
                                              if (options.on_progress)
                                                options.on_progress(++done, of);
                                              return file.Write(ToJsonLine(made));
                                            }));
  HEARTH_RETURN_IF_ERROR(file.Commit());
  return GenerateFileResult{statistics, generator.statistics(), DeviceName(device)};
}

}  // namespace

Result<GenerateFileResult> GenerateFile(const GenerateFileOptions& options) {
  GenerateFileResult result;
  const Status status = CatchTorch("generating", [&]() -> Status {
    HEARTH_ASSIGN_OR_RETURN(result, GenerateFileOrThrow(options));
    return {};
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return result;
}

Result<MadeConversations> GenerateAll(const Decoder& decoder, const ChatTokenizer& chat,
                                      GeneratorOptions generator_options,
                                      const ConversationOptions& conversations) {
  HEARTH_RETURN_IF_ERROR(CheckOptions(generator_options, conversations));
  HEARTH_ASSIGN_OR_RETURN(const GeneratorOptions settled,
                          Settled(std::move(generator_options), conversations, decoder, chat));
  Generator generator(decoder, settled);
  MadeConversations made;
  HEARTH_ASSIGN_OR_RETURN(
      made.statistics,
      MakeConversations(generator, chat, conversations, [&](const MadeConversation& one) -> Status {
        made.conversations.push_back(one);
        return {};
      }));
  made.generator = generator.statistics();
  return made;
}

}  // namespace hearth::forge
