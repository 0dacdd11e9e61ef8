#include "training/recipe/stages/training_keys.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "training/data/rows.h"

namespace hearth::forge {
namespace {

constexpr double kMany = 1LL << 40;

RowFormat FormatOf(std::string_view type) {
  if (type == "sharegpt") return RowFormat::kShareGpt;
  if (type == "alpaca") return RowFormat::kAlpaca;
  if (type == "prompt_completion") return RowFormat::kPromptCompletion;
  if (type == "completion") return RowFormat::kText;
  return RowFormat::kMessages;
}

}  // namespace

std::vector<KeySpec> DeviceKeys() {
  return {KeySpec::String("device", "auto (a GPU where there is one), cpu, cuda or cuda:N")
              .Default("auto")
              .WithoutEffect(),
          KeySpec::Choice("bf16", {"auto", "true", "false"},
                          "Computes in BF16 with FP32 masters; auto: on GPUs, FP32 on CPUs")
              .Default("auto")};
}

std::vector<KeySpec> DataKeys(double val_set_size) {
  return {
      KeySpec::Datasets("datasets", {content::kRows}, "The rows to learn from").Required(),
      KeySpec::Int("sequence_len", "Most tokens of a row; longer ones are cut")
          .Default(2048)
          .Range(8, 1 << 20),
      KeySpec::Bool("sample_packing",
                    "Rows share batches without seeing each other; always so, there is no padding")
          .Default(true),
      KeySpec::Int("micro_batch_size", "A batch holds so many times sequence_len tokens")
          .Default(1)
          .Range(1, 1 << 16),
      KeySpec::Float("val_set_size", "Share of the rows held out to measure on")
          .Default(val_set_size)
          .Range(0, 0.9),
      KeySpec::Int("preprocess_threads", "Threads that tokenize; 0: one per core")
          .Default(0)
          .Range(0, 1024)
          .WithoutEffect()};
}

std::vector<KeySpec> OptimizerKeys(double learning_rate) {
  return {
      KeySpec::Int("gradient_accumulation_steps", "Batches of an optimiser step")
          .Default(1)
          .Range(1, 1 << 16),
      KeySpec::Float("num_epochs", "Length, where max_steps is 0").Default(1).Range(0.0001, 100000),
      KeySpec::Int("max_steps", "Length in optimiser steps; 0: num_epochs says")
          .Default(0)
          .Range(0, kMany),
      KeySpec::Choice("optimizer", {"adamw"}, "How weights move").Default("adamw"),
      KeySpec::Float("learning_rate", "The highest").Default(learning_rate).Range(0, 10),
      KeySpec::Choice("lr_scheduler", {"cosine", "constant", "wsd"},
                      "Down along half a cosine, flat, or flat and then down in a line")
          .Default("cosine"),
      KeySpec::Float("lr_final_share", "Of learning_rate, in the last step")
          .Default(0.1)
          .Range(0, 1),
      KeySpec::Int("warmup_steps", "The rate rises through these; 0: warmup_ratio says")
          .Default(0)
          .Range(0, kMany),
      KeySpec::Float("warmup_ratio", "Share of all steps through which the rate rises")
          .Default(0.03)
          .Range(0, 1),
      KeySpec::Float("decay_ratio", "wsd: share of all steps through which the rate falls")
          .Default(0.2)
          .Range(0, 1),
      KeySpec::Float("weight_decay", "Of matrices").Default(0.01).Range(0, 10),
      KeySpec::Float("adam_beta1", "Of the first moment").Default(0.9).Range(0, 0.999999),
      KeySpec::Float("adam_beta2", "Of the second moment").Default(0.95).Range(0, 0.999999),
      KeySpec::Float("adam_epsilon", "Added to the denominator").Default(1e-8).Range(1e-30, 1),
      KeySpec::Float("max_grad_norm", "Larger gradients are scaled down to it; 0: none")
          .Default(1)
          .Range(0, 1e9),
      KeySpec::Float("loss_watchdog_threshold",
                     "A step whose loss is so many times the latest average is skipped; 0: none")
          .Default(3)
          .Range(0, 1e9),
      KeySpec::Int("loss_watchdog_patience", "So many bad steps in a row end the run; 0: none do")
          .Default(5)
          .Range(0, 1 << 20),
      KeySpec::Int("eval_steps", "Steps between measurements on held-out rows; 0: at the end alone")
          .Default(100)
          .Range(0, kMany)
          .WithoutEffect(),
      KeySpec::Int("eval_batches", "Held-out batches measured; 0: all").Default(0).Range(0, kMany),
      KeySpec::Int("save_steps", "Steps between checkpoints, which a killed run goes on from")
          .Default(200)
          .Range(1, kMany)
          .WithoutEffect(),
      KeySpec::Int("save_total_limit", "Checkpoints kept")
          .Default(2)
          .Range(1, 1000)
          .WithoutEffect(),
      KeySpec::Int("logging_steps", "Steps between figures in the curves")
          .Default(1)
          .Range(1, kMany)
          .WithoutEffect(),
      KeySpec::Int("num_processes",
                   "Processes, each with a GPU of its own, that share the batches of a step: "
                   "gradient_accumulation_steps is a multiple of it")
          .Default(1)
          .Range(1, 64)
          .WithoutEffect(),
      KeySpec::Int("seed", "Of everything random; without it the recipe's")
          .Default(1)
          .Range(0, 1LL << 53),
      KeySpec::Bool(
          "deterministic",
          "The same bits from every run on the same GPU, at some cost; a CPU's always are")
          .Default(false)};
}

std::vector<KeySpec> LoraKeys() {
  return {
      KeySpec::Choice("adapter", {"lora"}, "What is trained").Default("lora"),
      KeySpec::Int("lora_r", "Rank").Default(16).Range(1, 4096),
      KeySpec::Float("lora_alpha", "Scale, together with the rank").Default(32).Range(1e-6, 1e6),
      KeySpec::Float("lora_dropout", "Share of the adapter's inputs dropped while training")
          .Default(0)
          .Range(0, 0.95),
      KeySpec::Strings(
          "lora_target_modules",
          "Matrices that get an adapter: q_proj k_proj v_proj o_proj gate_proj up_proj "
          "down_proj, or all")
          .Default(std::vector<std::string>{"all"}),
      KeySpec::Bool("peft_use_rslora", "Scale by alpha / sqrt(rank) instead of alpha / rank")
          .Default(true),
      KeySpec::Float("loraplus_lr_ratio", "Of the learning rate of B, in multiples of A's (LoRA+)")
          .Default(1)
          .Range(0.01, 1000),
      KeySpec::Bool(
          "activated",
          "An activated adapter (aLoRA): it works from the last assistant header on, so that "
          "what stands before is computed, and cached, as the base does")
          .Default(false)};
}

std::vector<KeySpec> Joined(std::initializer_list<std::vector<KeySpec>> parts) {
  std::vector<KeySpec> keys;
  for (const std::vector<KeySpec>& part : parts) keys.insert(keys.end(), part.begin(), part.end());
  return keys;
}

std::vector<OutputSpec> TrainingOutputs(std::vector<OutputSpec> own) {
  own.push_back({"curves", kCurvesFile, content::kCurves, "Figures by step, as JSON lines"});
  return own;
}

Status CheckTrainingKeys(const Parameters& parameters) {
  if (!parameters.Bool("sample_packing")) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "sample_packing must be true: batches are always packed, without leakage");
  }
  if (parameters.Float("adam_beta1") >= 1 || parameters.Float("adam_beta2") >= 1)
    return MakeError(ErrorCode::kInvalidArgument, "adam_beta1 and adam_beta2 must be below 1");
  const int64_t processes = parameters.Int("num_processes");
  const int64_t batches = parameters.Int("gradient_accumulation_steps");
  if (batches % processes != 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "gradient_accumulation_steps is " + std::to_string(batches) +
                         ", no multiple of num_processes, " + std::to_string(processes));
  }
  if (processes > 1 && parameters.String("device").starts_with("cuda:")) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "device names one GPU, but each of num_processes takes its own: cuda");
  }
  return {};
}

Result<std::vector<int>> LayersOf(const Parameters& parameters, std::string_view key) {
  std::vector<int> layers;
  if (!parameters.Has(key)) return layers;
  for (const std::string& word : parameters.Strings(key)) {
    int layer = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), layer);
    if (error != std::errc() || end != word.data() + word.size() || layer < 0) {
      return MakeError(ErrorCode::kInvalidArgument,
                       std::string(key) + " must be numbers of layers, is " + word);
    }
    layers.push_back(layer);
  }
  return layers;
}

TensorType TypeOfKey(const Parameters& parameters, std::string_view key) {
  std::string name = parameters.String(key);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  const std::optional<TensorType> type = TensorTypeFromName(name);
  HEARTH_CHECK(type.has_value());
  return *type;
}

Status CheckDatasetTypes(const StageContext& context) {
  const std::vector<DatasetEntry>& entries = context.parameters().Datasets("datasets");
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].type == "auto") continue;
    const std::string& path = context.Inputs("datasets")[i];
    HEARTH_ASSIGN_OR_RETURN(RowReader reader, RowReader::Open({path}));
    while (true) {
      const Result<std::optional<Conversation>> row = reader.Next();
      if (!row && reader.can_continue()) continue;  // counted when the rows are read
      if (!row) return tl::unexpected(row.error());
      if (!*row) break;
      if ((*row)->format != FormatOf(entries[i].type)) {
        return MakeError(ErrorCode::kInvalidArgument,
                         "datasets: the first row of " + path + " is " +
                             std::string(RowFormatName((*row)->format)) + ", the recipe says " +
                             entries[i].type);
      }
      break;
    }
  }
  return {};
}

Status WriteSamples(const std::string& rows, const std::string& path, int num_samples) {
  std::ofstream file(path, std::ios::binary);
  Result<RowReader> reader = RowReader::Open({rows});
  for (int written = 0; reader && reader->can_continue() && written < num_samples;) {
    const Result<std::optional<Conversation>> row = reader->Next();
    if (!row) continue;
    if (!*row) break;
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    int turn = 0;
    for (const Message& message : (*row)->messages) {
      // A later turn of a role gets a name of its own.
      const std::string name =
          json.contains(message.role) ? message.role + " " + std::to_string(turn) : message.role;
      json[name] = message.content;
      ++turn;
    }
    file << json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    ++written;
  }
  file.close();
  if (!file) return MakeError(ErrorCode::kIo, path + " cannot be written");
  return {};
}

}  // namespace hearth::forge
