#include "training/recipe/stages/declarations.h"

#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/training_keys.h"

namespace hearth::forge {
namespace {

KeySpec BaseKey() {
  return KeySpec::Input("base_model", {content::kModel},
                        "The model: a GGUF or a Hugging Face folder")
      .Required();
}

std::vector<KeySpec> TuningKeys() {
  return {KeySpec::Bool("train_on_inputs", "The loss counts every token, not answers alone")
              .Default(false),
          KeySpec::Bool("gradient_checkpointing",
                        "Recomputes layers backwards: less memory, a third slower")
              .Default(false)
              .WithoutEffect()};
}

// Those of a file, and "source" for exports: as the model has them.
std::vector<std::string> TypeNames(bool source) {
  std::vector<std::string> names = {"f32",  "f16",  "bf16", "q8_0", "q6_k",
                                    "q5_k", "q4_k", "q4_0", "q4_1"};
  if (source) names.insert(names.begin(), "source");
  return names;
}

std::vector<KeySpec> DraftKeys(bool head) {
  std::vector<KeySpec> keys = {
      KeySpec::Strings("draft_layers", head
                                           ? "Layers of the base that its own begin as; without it "
                                             "the last one"
                                           : "Layers of the base that it is cut from; without it "
                                             "the first and the last"),
      KeySpec::Int("draft_ffn_size", "Feed-forward neurons that are kept; 0: all")
          .Default(0)
          .Range(0, 1 << 20),
      KeySpec::Int("draft_vocab_size", "Tokens that it can guess, the most frequent ones; 0: all")
          .Default(8192)
          .Range(0, 1 << 24),
      KeySpec::Choice("layer_type", TypeNames(false), "Of its layers in the file").Default("q4_0"),
      KeySpec::Choice("head_type", TypeNames(false), "Of its head in the file").Default("q8_0"),
      KeySpec::Bool("quantization_aware", "Trains with the weights as the file will hold them")
          .Default(true),
      KeySpec::Float("kd_alpha", "Share of the divergence from the base").Default(1).Range(0, 100),
      KeySpec::Float("kd_ce_alpha", "Share of cross-entropy on the token that came")
          .Default(0.1)
          .Range(0, 100)};
  if (!head) return keys;
  keys.insert(keys.begin(),
              KeySpec::Strings("taps",
                               "Layers of the base whose outputs it reads; without it an "
                               "early, a middle and the last one"));
  keys.push_back(KeySpec::Int("unroll_steps", "Guesses in a row that it learns at once")
                     .Default(5)
                     .Range(1, 16));
  keys.push_back(
      KeySpec::Float("step_decay", "Weight of each guess after another").Default(0.9).Range(0, 1));
  keys.push_back(KeySpec::Float("unreached_share", "Weight of places behind a wrong guess")
                     .Default(0.3)
                     .Range(0, 1));
  return keys;
}

StageDeclaration DeclareDraft(bool head) {
  StageDeclaration declaration;
  declaration.name = head ? "draft_head" : "draft_model";
  declaration.summary =
      head ? "Trains a draft head, whose layers read the base's hidden states, on what the base "
             "writes, with the base as a live teacher."
           : "Trains a draft model of its own, cut from the base's layers, on what the base "
             "writes, with the base as a live teacher.";
  declaration.keys =
      Joined({{BaseKey()}, DraftKeys(head), DataKeys(0.01), OptimizerKeys(1e-3), DeviceKeys()});
  declaration.outputs = TrainingOutputs(
      {{"draft", head ? "draft-head.gguf" : "draft.gguf",
        head ? content::kDraftHead : content::kModel, "What `hearth --draft` takes"}});
  declaration.check = [](const Parameters& parameters) -> Status {
    for (const char* key : {"draft_layers", "taps"})
      HEARTH_RETURN_IF_ERROR(LayersOf(parameters, key).map([](const auto&) {}));
    return CheckTrainingKeys(parameters);
  };
  return declaration;
}

Status CheckGenerate(const Parameters& parameters) {
  if (parameters.Int("num_conversations") > 0 || parameters.Has("datasets")) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "num_conversations is 0 and there are no datasets: nothing to write");
}

Status CheckLora(const Parameters& parameters) {
  if (parameters.Bool("activated") && parameters.Bool("train_on_inputs")) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "activated and train_on_inputs exclude each other: before the answer an "
                     "activated adapter does nothing");
  }
  return CheckTrainingKeys(parameters);
}

Status CheckExport(const Parameters& parameters) {
  const std::string& type = parameters.String("type");
  if (parameters.String("format") == "safetensors" && type != "source" && type != "f32" &&
      type != "f16" && type != "bf16") {
    return MakeError(ErrorCode::kInvalidArgument,
                     "type " + type + " goes with format gguf; safetensors are f32, f16 or bf16");
  }
  return {};
}

}  // namespace

const StageDeclaration& GenerateDeclaration() {
  static const StageDeclaration declaration = {
      "generate",
      1,
      "Writes conversations with a model: it invents questions and answers them, or answers "
      "given "
      "ones. What drafts learn from: the base's own words, with the tokens that it chose.",
      Joined(
          {{KeySpec::Input("base_model", {content::kModel},
                           "The model: a GGUF or a Hugging Face folder")
                .Required(),
            KeySpec::Datasets("datasets", {content::kRows},
                              "Conversations whose questions are answered"),
            KeySpec::Int("num_conversations", "Conversations with questions of the model's own")
                .Default(0)
                .Range(0, 1LL << 40),
            KeySpec::Int("num_prompts", "The first so many given questions; 0: all")
                .Default(0)
                .Range(0, 1LL << 40),
            KeySpec::Int("answers_per_prompt", "To each given question").Default(1).Range(1, 1000),
            KeySpec::Float("question_temperature", "Of invented questions").Default(1).Range(0, 10),
            KeySpec::Float("temperature", "Of answers").Default(0.7).Range(0, 10),
            KeySpec::Float("greedy_share", "Of the answers, at temperature 0 instead")
                .Default(0.5)
                .Range(0, 1),
            KeySpec::Float("top_p", "Of sampling; 1: all tokens").Default(1).Range(0.01, 1),
            KeySpec::Int("max_question_tokens", "Of an invented question")
                .Default(256)
                .Range(1, 1 << 16),
            KeySpec::Int("max_new_tokens", "Of an answer").Default(512).Range(1, 1 << 16),
            KeySpec::Int("batch_size", "Conversations written at once")
                .Default(512)
                .Range(1, 1 << 16),
            KeySpec::Int("seed", "Of everything random; without it the recipe's")
                .Default(1)
                .Range(0, 1LL << 53)},
           DeviceKeys()}),
      {{"rows", "rows.jsonl.gz", content::kRows, "Conversations with their tokens"},
       {"samples", "samples.jsonl", content::kSamples, "The first conversations"}},
      CheckGenerate};
  return declaration;
}

const StageDeclaration& SftDeclaration() {
  static const StageDeclaration declaration = {
      "sft",
      1,
      "Supervised fine-tuning of all weights: the loss counts the assistant's tokens.",
      Joined({{BaseKey()}, DataKeys(0.02), TuningKeys(), OptimizerKeys(1e-5), DeviceKeys()}),
      TrainingOutputs(
          {{"model", "model", content::kModel, "The model, a Hugging Face folder in BF16"}}),
      CheckTrainingKeys};
  return declaration;
}

const StageDeclaration& LoraDeclaration() {
  static const StageDeclaration declaration = {
      "lora",
      1,
      "Fine-tunes a LoRA adapter while the base keeps every bit; activated where wanted (aLoRA).",
      Joined({{BaseKey()},
              LoraKeys(),
              DataKeys(0.02),
              TuningKeys(),
              OptimizerKeys(2e-4),
              DeviceKeys()}),
      TrainingOutputs(
          {{"adapter", "adapter", content::kAdapter, "The adapter as PEFT's folder"},
           {"gguf", "adapter.gguf", content::kAdapter, "The same as llama.cpp's --lora takes it"}}),
      CheckLora};
  return declaration;
}

const StageDeclaration& DistillDeclaration() {
  static const StageDeclaration declaration = {
      "distill",
      2,
      "Trains all weights of a student towards the distribution of a teacher with the same "
      "vocabulary, computed live.",
      Joined(
          {{KeySpec::Input("base_model", {content::kModel},
                           "The student: a GGUF or a Hugging Face folder")
                .Required(),
            KeySpec::Input("teacher_model", {content::kModel}, "The teacher, likewise").Required(),
            KeySpec::Float("beta",
                           "0: forward KL, 1: reverse KL, between: Jensen-Shannon (TRL's beta)")
                .Default(0)
                .Range(0, 1),
            KeySpec::Float("kd_temperature", "Softens both distributions")
                .Default(1)
                .Range(0.01, 100),
            KeySpec::Float("kd_alpha", "Share of the divergence").Default(1).Range(0, 100),
            KeySpec::Float("kd_ce_alpha", "Share of cross-entropy on the data")
                .Default(0)
                .Range(0, 100),
            KeySpec::Float("on_policy_share",
                           "Share of the batches whose answers the student writes itself, with "
                           "the weights of that step (TRL's lmbda)")
                .Default(0)
                .Range(0, 1),
            KeySpec::Float("temperature", "Of what the student writes; 0: the likeliest tokens")
                .Default(1)
                .Range(0, 100),
            KeySpec::Int("max_new_tokens",
                         "Of an answer that the student writes; never more than it replaces")
                .Default(512)
                .Range(1, 1 << 20),
            KeySpec::Bool("train_on_inputs", "The loss counts every token, not answers alone")
                .Default(false),
            KeySpec::Bool("gradient_checkpointing",
                          "Recomputes layers backwards: less memory, a third slower")
                .Default(false)
                .WithoutEffect()},
           DataKeys(0.02),
           OptimizerKeys(1e-4),
           DeviceKeys()}),
      TrainingOutputs(
          {{"model", "model", content::kModel, "The student, a Hugging Face folder in BF16"}}),
      CheckTrainingKeys};
  return declaration;
}

const StageDeclaration& DraftHeadDeclaration() {
  static const StageDeclaration declaration = DeclareDraft(/*head=*/true);
  return declaration;
}

const StageDeclaration& DraftModelDeclaration() {
  static const StageDeclaration declaration = DeclareDraft(/*head=*/false);
  return declaration;
}

const StageDeclaration& ExportDeclaration() {
  static const StageDeclaration declaration = {
      "export",
      1,
      "Writes a model as GGUF or as a Hugging Face folder, with an adapter merged into it where "
      "there is one.",
      {KeySpec::Input("base_model", {content::kModel}, "The model: a GGUF or a Hugging Face folder")
           .Required(),
       KeySpec::Input("lora_model_dir", {content::kAdapter}, "A PEFT adapter that is merged"),
       KeySpec::Choice("format", {"gguf", "safetensors"}, "What is written").Default("gguf"),
       KeySpec::Choice("type", TypeNames(true),
                       "Of the weights; source: as the model has them (a folder: bf16)")
           .Default("source"),
       KeySpec::Choice("head_type", TypeNames(true),
                       "gguf: of the embedding and the head; source: as type")
           .Default("source")},
      {{"gguf", "model.gguf", content::kModel, "The model, with format gguf", true},
       {"folder", "model", content::kModel, "The model, with format safetensors", true}},
      CheckExport};
  return declaration;
}

const StageDeclaration& MeasureDraftDeclaration() {
  static const StageDeclaration declaration = {
      "measure_draft",
      1,
      "Measures a draft on answers that its base writes at temperature 0: how many of its "
      "guesses "
      "are the base's tokens, and how many tokens a pass of the base then gives.",
      Joined(
          {{BaseKey(),
            KeySpec::Input("draft", {content::kDraftHead, content::kModel}, "The draft's file")
                .Required(),
            KeySpec::Datasets("datasets", {content::kRows},
                              "Conversations whose questions are answered; none that the draft "
                              "was trained on")
                .Required(),
            KeySpec::Int("num_prompts", "The first so many questions of all; 0: all")
                .Default(0)
                .Range(0, 1LL << 40),
            KeySpec::Int("max_new_tokens", "Of an answer").Default(512).Range(1, 1 << 16),
            KeySpec::Int("num_guesses", "Up to so many in a row").Default(5).Range(1, 16),
            KeySpec::Int("batch_size", "Answers written at once").Default(256).Range(1, 1 << 16)},
           DeviceKeys()}),
      {{"report", "measure.json", content::kReport, "All figures"}}};
  return declaration;
}

std::vector<const StageDeclaration*> AllDeclarations() {
  return {&CurateStage().declaration(),
          &GenerateDeclaration(),
          &SftDeclaration(),
          &LoraDeclaration(),
          &DistillDeclaration(),
          &DraftHeadDeclaration(),
          &DraftModelDeclaration(),
          &ExportDeclaration(),
          &MeasureDraftDeclaration(),
          &EvaluateStage().declaration(),
          &BenchStage().declaration()};
}

}  // namespace hearth::forge
