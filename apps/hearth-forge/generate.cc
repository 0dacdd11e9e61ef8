// hearth-forge generate: conversations that a model makes by itself.

#include "training/generate/generate_file.h"

#include <memory>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"

namespace hearth::forge {
namespace {

struct GenerateFlags {
  GenerateFileOptions options;
  bool json = false;
};

int Generate(const GenerateFlags& flags) {
  GenerateFileOptions options = flags.options;
  ProgressBar bar("Generating");
  options.on_progress = [&](int64_t done, int64_t of) {
    bar.Update(of > 0 ? static_cast<double>(done) / static_cast<double>(of) : 0);
  };
  const Result<GenerateFileResult> result = GenerateFile(options);
  bar.Clear();
  if (!result) return Fail(result.error());
  const ConversationStatistics& made = result->conversations;
  const GeneratorStatistics& speed = result->generator;
  if (flags.json) {
    PrintJson({{"output", options.output},
               {"conversations", made.conversations},
               {"tokens", made.tokens},
               {"answer_tokens", made.answer_tokens},
               {"questions_dropped", made.questions_dropped},
               {"prompts_dropped", made.prompts_dropped},
               {"generated_tokens", speed.new_tokens},
               {"prompt_tokens", speed.prompt_tokens},
               {"seconds", speed.seconds},
               {"tokens_per_second", speed.tokens_per_second()},
               {"occupancy", speed.occupancy},
               {"device", result->device}});
    return kExitOk;
  }
  Print(Format("%s: %lld conversations, %lld tokens, %lld of them answers\n",
               options.output.c_str(), static_cast<long long>(made.conversations),
               static_cast<long long>(made.tokens), static_cast<long long>(made.answer_tokens)));
  Print(Format("generated %lld tokens in %.1f s on %s: %.0f tokens/s, slots %.0f%% busy\n",
               static_cast<long long>(speed.new_tokens), speed.seconds, result->device.c_str(),
               speed.tokens_per_second(), 100 * speed.occupancy));
  if (made.questions_dropped + made.prompts_dropped > 0)
    Print(Format("left out: %lld questions without an end, %lld prompts\n",
                 static_cast<long long>(made.questions_dropped),
                 static_cast<long long>(made.prompts_dropped)));
  return kExitOk;
}

}  // namespace

void AddGenerate(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "generate", "Let a model make conversations: its own questions, or given ones, answered");
  const auto flags = std::make_shared<GenerateFlags>();
  GenerateFileOptions& options = flags->options;
  ConversationOptions& made = options.conversations;
  command->add_option("--model", options.model, "A GGUF file or a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command->add_option("--output", options.output, "JSONL, gzipped where it ends in .gz")
      ->required()
      ->type_name("FILE");
  command->add_option("--conversations", made.num_invented, "With questions of the model's own")
      ->type_name("N");
  command->add_option("--prompts", made.prompt_files, "Files of rows whose questions are answered")
      ->type_name("FILE");
  command->add_option("--num-prompts", made.num_given, "Only the first so many of them")
      ->type_name("N");
  command->add_option("--answers", made.answers_per_prompt, "To each of them")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--temperature", made.answer_temperature, "Of answers")
      ->capture_default_str();
  command->add_option("--greedy-share", made.greedy_share, "Of answers, at temperature 0 instead")
      ->capture_default_str();
  command->add_option("--question-temperature", made.question_temperature, "Of invented questions")
      ->capture_default_str();
  command->add_option("--top-p", made.top_p, "Below 1 it costs a sort of the vocabulary each step")
      ->capture_default_str();
  command->add_option("--max-question-tokens", made.max_question_tokens)->capture_default_str();
  command->add_option("--max-answer-tokens", made.max_answer_tokens)->capture_default_str();
  command->add_option("--seed", made.seed, "The same seed, the same data")->capture_default_str();
  command->add_option("--batch", options.generator.batch, "Sequences at once")
      ->capture_default_str();
  command->add_option("--capacity", options.generator.capacity,
                      "Tokens of a sequence at most; 0: what questions and answers need");
  command->add_flag("!--no-graph", options.generator.use_graph,
                    "Launch every kernel by itself instead of a CUDA graph");
  command->add_option("--device", options.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_option("--dtype", options.dtype, "auto, bf16 or f32")->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object at the end");
  AddExamples(
      *command,
      "  hearth-forge generate --model base.gguf --conversations 20000 --output made.jsonl\n"
      "  hearth-forge generate --model base.gguf --prompts questions.jsonl --answers 2 "
      "--output answered.jsonl.gz");
  command->callback([&action, flags] { action = [flags] { return Generate(*flags); }; });
}

}  // namespace hearth::forge
