#pragma once
// Stage kinds for tests of the frame: they work on text and need no model.

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "base/check.h"
#include "training/recipe/stage.h"

namespace hearth::forge::testing {

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void WriteText(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  HEARTH_CHECK(static_cast<bool>(file));
}

// Joins texts with a separator.
class JoinKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return declaration_; }
  void set_version(int version) { declaration_.version = version; }
  Result<StageResult> Run(const StageContext& context) const override {
    ++runs;
    std::string text;
    for (const std::string& path : context.Inputs("texts"))
      text += (text.empty() ? "" : context.parameters().String("separator")) + ReadText(path);
    WriteText(context.Output("text"), text);
    StageResult result;
    result.figures.push_back({"bytes", static_cast<double>(text.size()), {}, {}, "bytes"});
    return result;
  }
  mutable int runs = 0;

 private:
  StageDeclaration declaration_ = {
      "join",
      1,
      "Joins texts. Nothing more.",
      {KeySpec::Inputs("texts", {content::kRows}, "What is joined").Required(),
       KeySpec::String("separator", "What comes between").Default(", "),
       KeySpec::Int("num_threads", "Threads").Default(1).Range(1, 64).WithoutEffect()},
      {{"text", "text.txt", content::kRows, "The joined text"}}};
};

// Counts in steps, with a checkpoint after each; stands for training. What it writes depends on its
// input, its seed and nothing else; `on_step` may stop or kill it.
class CountKind final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return declaration_; }
  Result<StageResult> Run(const StageContext& context) const override {
    ++runs;
    const Parameters& parameters = context.parameters();
    const std::string checkpoint = context.scratch_folder() + "/checkpoint";
    std::string state = ReadText(checkpoint);
    const auto resumed = static_cast<int64_t>(state.size());
    const std::string input = context.HasInput("text") ? ReadText(context.Input("text")) : "abc";
    for (auto step = resumed; step < parameters.Int("steps"); ++step) {
      if (context.cancelled()) return MakeError(ErrorCode::kCancelled, "stopped");
      if (on_step) on_step(step);
      state += input[static_cast<size_t>(step * 7 + parameters.Int("seed")) % input.size()];
      WriteText(checkpoint + ".part", state);
      std::rename((checkpoint + ".part").c_str(), checkpoint.c_str());
      context.Progress(static_cast<double>(step + 1) / static_cast<double>(parameters.Int("steps")),
                       "counting");
      ++steps_done;
    }
    context.Log("began at step " + std::to_string(resumed));
    std::string curves;
    for (size_t step = 0; step < state.size(); ++step)
      curves += "{\"step\":" + std::to_string(step + 1) +
                ",\"train/loss\":" + std::to_string(static_cast<int>(state[step])) + "}\n";
    WriteText(context.Output("curves"), curves);
    WriteText(context.Output("model"), state);
    StageResult result;
    result.figures.push_back({"loss", 1.5, 1.25, 1.75, ""});
    result.figures.push_back({"steps", static_cast<double>(state.size()), {}, {}, "steps"});
    result.device = "2 x Test GPU";
    result.num_devices = 2;
    return result;
  }
  std::function<void(int64_t)> on_step;
  mutable int runs = 0;
  mutable int64_t steps_done = 0;

 private:
  StageDeclaration declaration_ = {
      "count",
      1,
      "Counts.",
      {KeySpec::Input("text", {content::kRows}, "What is counted"),
       KeySpec::Int("steps", "How far").Default(4).Range(1, 1000),
       KeySpec::Int("stride", "How fast").Default(1).Range(1, 1000),
       KeySpec::Float("learning_rate", "How much").Default(0.5).Range(0, 1),
       KeySpec::Choice("lr_scheduler", {"cosine", "linear"}, "How").Default("cosine"),
       KeySpec::Bool("bf16", "With what").Default(true),
       KeySpec::Strings("lora_target_modules", "Where").Default(std::vector<std::string>{"all"}),
       KeySpec::Datasets("datasets", {content::kRows}, "From what"),
       KeySpec::Int("seed", "Where to begin").Default(0).Range(0, 1 << 20)},
      {{"model", "model.bin", content::kModel, "What was counted"},
       {"curves", kCurvesFile, content::kCurves, "The loss by step"},
       {"samples", "samples.jsonl", content::kSamples, "Texts", true}},
      [](const Parameters& parameters) -> Status {
        if (parameters.Int("steps") % parameters.Int("stride") == 0) return {};
        return MakeError(ErrorCode::kInvalidArgument, "steps must be a multiple of stride");
      }};
};

}  // namespace hearth::forge::testing
