// hearth-forge draft: trains a draft for a base model, and measures drafts.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "training/draft/train_draft.h"
#include "training/trainer/jsonl_sink.h"
#include "training/trainer/launcher.h"
#include "training/trainer/tensorboard_sink.h"

namespace hearth::forge {
namespace {

struct TrainFlags {
  TrainDraftOptions options;
  std::string kind = "head", schedule = "cosine", layer_type = "q4_0", head_type = "q8_0";
  std::string log_folder;
  int processes = 1;
  bool json = false;
};

struct MeasureFlags {
  MeasureDraftOptions options;
  bool json = false;
};

Result<TensorType> ParseType(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (const auto type = TensorTypeFromName(name)) return *type;
  return MakeError(ErrorCode::kInvalidArgument, "type \"" + name + "\" is not known");
}

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }

Json QualityJson(const DraftQuality& quality) {
  return {{"tokens", quality.tokens},
          {"agreement", quality.agreement},
          {"right_after", quality.right_after},
          {"tokens_per_verification", quality.tokens_per_verification}};
}

// The command line that started us, for copies of it.
std::vector<std::string> OwnCommand() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> command;
  for (std::string word; std::getline(file, word, '\0');) command.push_back(word);
  if (!command.empty()) command[0] = "/proc/self/exe";
  return command;
}

int TrainCommand(const TrainFlags& flags) {
  TrainDraftOptions options = flags.options;
  const Result<ProcessEnvironment> environment = ReadProcessEnvironment();
  if (!environment) return Fail(environment.error());
  if (flags.processes > 1 && environment->world_size == 1) {
    const Status launched = Launch({.num_processes = flags.processes, .command = OwnCommand()});
    return launched ? kExitOk : Fail(launched.error());
  }
  if (flags.kind != "head" && flags.kind != "model")
    return FailUsage("kind \"" + flags.kind + "\": expected head or model");
  options.head = flags.kind == "head";
  const auto schedule = ParseSchedule(flags.schedule);
  if (!schedule) return FailUsage(schedule.error().message);
  options.trainer.schedule.kind = *schedule;
  const auto layer_type = ParseType(flags.layer_type), head_type = ParseType(flags.head_type);
  if (!layer_type) return FailUsage(layer_type.error().message);
  if (!head_type) return FailUsage(head_type.error().message);
  options.task.types = {*layer_type, *head_type};
  options.packing.seed = options.trainer.seed;
  options.draft.seed = options.trainer.seed;

  std::unique_ptr<ProcessGroup> group;
  if (environment->world_size > 1) {
    auto own = DeviceOfProcess(options.device, *environment);
    if (!own) return Fail(own.error());
    options.device = std::move(*own);
    const auto device = ParseDevice(options.device);
    if (!device) return Fail(device.error());
    auto joined = ProcessGroup::Join(*environment, *device);
    if (!joined) return Fail(joined.error());
    group = std::move(*joined);
    options.trainer.group = group.get();
  }
  const bool leads = environment->rank == 0;

  std::unique_ptr<JsonlSink> jsonl;
  std::unique_ptr<TensorboardSink> board;
  if (!flags.log_folder.empty() && leads) {
    std::error_code ignored;
    std::filesystem::create_directories(flags.log_folder, ignored);
    auto lines = JsonlSink::Open(flags.log_folder + "/figures.jsonl");
    if (!lines) return Fail(lines.error());
    auto events = TensorboardSink::Open(flags.log_folder);
    if (!events) return Fail(events.error());
    jsonl = std::move(*lines);
    board = std::move(*events);
    options.trainer.sinks = {jsonl.get(), board.get()};
  }
  ProgressBar bar("Training");
  options.trainer.on_progress = [&](const TrainProgress& at) {
    bar.SetLabel(Format("step %lld/%lld  loss %.4f  %.0f tok/s", static_cast<long long>(at.step),
                        static_cast<long long>(at.num_steps), at.loss, at.tokens_per_second));
    bar.Update(static_cast<double>(at.step) / static_cast<double>(at.num_steps));
  };
  const Result<TrainDraftResult> result = TrainDraft(options);
  bar.Clear();
  if (!result) return Fail(result.error());
  const TrainSummary& summary = result->summary;
  if (!leads) return summary.stopped ? kExitInterrupted : kExitOk;
  if (flags.json) {
    Json evaluation = Json::object();
    for (const auto& [name, value] : summary.evaluation) evaluation[name] = value;
    PrintJson({{"output", options.output},
               {"stopped", summary.stopped},
               {"steps", summary.last_step},
               {"tokens", summary.tokens},
               {"seconds", summary.seconds},
               {"tokens_per_second", summary.tokens_per_second},
               {"peak_share", summary.peak_share},
               {"loss", summary.loss},
               {"held_out", evaluation},
               {"rows", result->data.rows},
               {"vocabulary", result->vocabulary.token_ids.size()},
               {"coverage", result->vocabulary.coverage},
               {"parameters", result->num_parameters},
               {"bytes_per_guess", result->bytes_per_guess},
               {"bytes_in_all", result->bytes_in_all}});
    return summary.stopped ? kExitInterrupted : kExitOk;
  }
  Print(Format("data: %lld rows, %lld tokens learned; %zu tokens can be guessed, %.2f%% of them\n",
               static_cast<long long>(result->data.rows),
               static_cast<long long>(result->data.learned), result->vocabulary.token_ids.size(),
               100 * result->vocabulary.coverage));
  Print(
      Format("trained %lld steps, %.2fM tokens in %.0f s: %.0f tokens/s, %.1f%% of the peak, "
             "loss %.4f\n",
             static_cast<long long>(summary.last_step), static_cast<double>(summary.tokens) * 1e-6,
             summary.seconds, summary.tokens_per_second, 100 * summary.peak_share, summary.loss));
  for (const auto& [name, value] : summary.evaluation)
    Print(Format("  held out %-24s %.4f\n", name.c_str(), value));
  if (summary.stopped) {
    Note("stopped; the same command goes on from the checkpoint");
    return kExitInterrupted;
  }
  Print(Format("%s: %.2f MB, %.2f MB read per guess\n", options.output.c_str(),
               Megabytes(result->bytes_in_all), Megabytes(result->bytes_per_guess)));
  return kExitOk;
}

int Measure(const MeasureFlags& flags) {
  const Result<MeasureDraftResult> result = MeasureDrafts(flags.options);
  if (!result) return Fail(result.error());
  if (flags.json) {
    Json drafts = Json::array();
    for (const MeasuredDraft& draft : result->drafts) {
      Json one = QualityJson(draft.quality);
      one["path"] = draft.path;
      one["kind"] = draft.is_head ? "head" : "model";
      one["vocabulary"] = draft.vocab_size;
      drafts.push_back(std::move(one));
    }
    PrintJson({{"answers", result->answers},
               {"answer_tokens", result->answer_tokens},
               {"drafts", std::move(drafts)}});
    return kExitOk;
  }
  Print(Format("%lld answers at temperature 0, %lld tokens (made at %.0f tokens/s)\n",
               static_cast<long long>(result->answers),
               static_cast<long long>(result->answer_tokens), result->tokens_per_second));
  std::string heading = "kind   tokens  agreement";
  for (int guess = 1; guess <= flags.options.num_guesses; ++guess)
    heading += Format("   k=%d", guess);
  Print(heading + "  (tokens per verification)  file\n");
  for (const MeasuredDraft& draft : result->drafts) {
    std::string line =
        Format("%-6s %6lld  %8.2f%%", draft.is_head ? "head" : "model",
               static_cast<long long>(draft.vocab_size), 100 * draft.quality.agreement);
    for (const double tokens : draft.quality.tokens_per_verification)
      line += Format("  %4.2f", tokens);
    Print(line + "  " + draft.path + "\n");
  }
  return kExitOk;
}

void AddDevice(CLI::App& command, std::string& device, std::string& dtype) {
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--dtype", dtype, "auto, bf16 or f32")->capture_default_str();
}

void AddTrain(CLI::App& draft, Action& action) {
  CLI::App* command = draft.add_subcommand("train", "Train a draft on what its base wrote");
  const auto flags = std::make_shared<TrainFlags>();
  TrainDraftOptions& options = flags->options;
  options.packing.batch_tokens = 16384;
  options.data.held_out = 0.01;
  options.trainer.schedule.learning_rate = 1e-3;
  command->add_option("--base", options.base, "A GGUF file or a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command->add_option("--data", options.data.files, "What hearth-forge generate wrote")
      ->required()
      ->type_name("FILE");
  command->add_option("--output", options.output, "The draft's file")
      ->required()
      ->type_name("FILE");
  command->add_option("--kind", flags->kind, "head (reads the base's states) or model")
      ->capture_default_str();
  command->add_option("--taps", options.draft.taps, "Layers of the base that a head reads")
      ->delimiter(',');
  command->add_option("--layers", options.draft.layers, "Layers of the base that it begins as")
      ->delimiter(',');
  command->add_option("--ffn-size", options.draft.ffn_size, "Fewer feed-forward neurons");
  command->add_option("--vocab", options.vocab_size, "Tokens that can be guessed; 0: all")
      ->capture_default_str();
  command->add_option("--layer-type", flags->layer_type, "Type of the layers in the file")
      ->capture_default_str();
  command->add_option("--head-type", flags->head_type, "Type of its LM head")
      ->capture_default_str();
  command->add_flag("!--no-qat", options.task.quantization_aware,
                    "Train without the rounding of these types");
  command->add_option("--unroll", options.task.num_steps, "Steps a head learns at once")
      ->capture_default_str();
  command->add_option("--step-decay", options.task.step_decay, "Weight of each step after another")
      ->capture_default_str();
  command
      ->add_option("--unreached", options.task.unreached_share,
                   "Weight of places behind a wrong guess")
      ->capture_default_str();
  command->add_option("--cross-entropy", options.task.cross_entropy, "Its share beside the KL")
      ->capture_default_str();
  command->add_option("--held-out", options.data.held_out, "Share of the rows for evaluation")
      ->capture_default_str();
  command->add_option("--max-tokens", options.data.rows.max_tokens, "Of a row")
      ->capture_default_str();
  command->add_option("--steps", options.trainer.max_steps, "0: as many as --epochs says");
  command->add_option("--epochs", options.trainer.epochs)->capture_default_str();
  command->add_option("--batch-tokens", options.packing.batch_tokens, "Of a batch")
      ->capture_default_str();
  command->add_option("--batches-per-step", options.trainer.batches_per_step)
      ->capture_default_str();
  command->add_option("--learning-rate", options.trainer.schedule.learning_rate)
      ->capture_default_str();
  command->add_option("--schedule", flags->schedule, "constant, cosine or wsd")
      ->capture_default_str();
  command->add_option("--weight-decay", options.trainer.weight_decay)->capture_default_str();
  command->add_option("--seed", options.trainer.seed)->capture_default_str();
  command->add_option("--evaluate-every", options.trainer.evaluate_every, "Steps");
  command
      ->add_option("--checkpoints", options.trainer.checkpoint_folder,
                   "Where the state is kept; a stopped run goes on from there")
      ->type_name("DIR");
  command->add_option("--checkpoint-every", options.trainer.checkpoint_every, "Steps");
  command->add_option("--log", flags->log_folder, "JSONL and TensorBoard figures go there")
      ->type_name("DIR");
  AddDevice(*command, options.device, options.dtype);
  command
      ->add_option("--processes", flags->processes,
                   "Copies of the command, each with a GPU of its own, that share the batches of a "
                   "step; torchrun --no-python starts them too")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object at the end");
  AddExamples(*command,
              "  hearth-forge draft train --base base.gguf --data made.jsonl --output "
              "draft-head.gguf --epochs 6\n"
              "  hearth-forge draft train --base base.gguf --data made.jsonl --kind model --layers "
              "0,1,15,29 --head-type q4_0 --output draft.gguf");
  command->callback([&action, flags] { action = [flags] { return TrainCommand(*flags); }; });
}

void AddMeasure(CLI::App& draft, Action& action) {
  CLI::App* command = draft.add_subcommand(
      "measure", "How many of a draft's guesses are its base's tokens, on answers to questions");
  const auto flags = std::make_shared<MeasureFlags>();
  MeasureDraftOptions& options = flags->options;
  command->add_option("--base", options.base, "A GGUF file or a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command->add_option("--draft", options.drafts, "Files to measure")->required()->type_name("FILE");
  command->add_option("--prompts", options.prompt_files, "Files of rows; their questions are asked")
      ->required()
      ->type_name("FILE");
  command->add_option("--num-prompts", options.num_prompts, "Only the first so many");
  command->add_option("--max-answer-tokens", options.max_answer_tokens)->capture_default_str();
  command->add_option("--batch", options.batch, "Answers made at once")->capture_default_str();
  command->add_option("--guesses", options.num_guesses, "At most, each time")
      ->capture_default_str();
  AddDevice(*command, options.device, options.dtype);
  command->add_flag("--json", flags->json, "One JSON object");
  AddExamples(*command,
              "  hearth-forge draft measure --base base.gguf --draft draft-head.gguf --prompts "
              "vicuna_bench.jsonl");
  command->callback([&action, flags] { action = [flags] { return Measure(*flags); }; });
}

}  // namespace

void AddDraft(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("draft", "A small model that guesses a larger one's next tokens");
  command->require_subcommand(1);
  AddTrain(*command, action);
  AddMeasure(*command, action);
}

}  // namespace hearth::forge
