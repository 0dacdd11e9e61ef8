#pragma once
// What `hearth-forge draft train` and `draft measure`, and a recipe's stages, do: a base and what
// it wrote -> a draft's file; a base and a draft -> how good it is.
// Threads: one at a time (the trainer reads ahead on one of its own).

#include <functional>
#include <string>
#include <vector>

#include "training/data/dataset.h"
#include "training/data/packed_batches.h"
#include "training/draft/draft_task.h"
#include "training/draft/measure.h"
#include "training/draft/vocabulary.h"
#include "training/generate/conversations.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {

struct TrainDraftOptions {
  std::string base;    // a GGUF file or a Hugging Face folder
  std::string output;  // the draft's file
  std::string device = "auto", dtype = "auto";

  DatasetOptions data;  // what the base wrote, with its tokens (ReadTokenRows)
  PackingOptions packing;
  // A head (taps; empty: DefaultTaps) or a model of its own (layers; empty: the first and the
  // last).
  bool head = true;
  DraftOptions draft;  // token_ids are chosen from the data
  int64_t vocab_size = 8192;
  DraftTaskOptions task;
  TrainerOptions trainer;
};

struct TrainDraftResult {
  TrainSummary summary;
  DraftVocabulary vocabulary;
  DataStatistics data, held_out;
  int64_t bytes_per_guess = 0, bytes_in_all = 0, num_parameters = 0;
};

// Nothing is written where the run was stopped (summary.stopped): it goes on from its checkpoint.
// Errors: those of the files and the trainer; kInvalidArgument for options that make no sense.
Result<TrainDraftResult> TrainDraft(const TrainDraftOptions& options);

struct MeasureDraftOptions {
  std::string base;
  std::vector<std::string> drafts;  // files
  std::string device = "auto", dtype = "auto";
  std::vector<std::string> prompt_files;  // questions that the base answers at temperature 0
  int64_t num_prompts = 0;                // the first so many of all files; 0: all
  int64_t max_answer_tokens = 512;
  int64_t batch = 256;  // answers made at once
  int num_guesses = 5;
};

struct MeasuredDraft {
  std::string path;
  bool is_head = false;
  int64_t vocab_size = 0;
  DraftQuality quality;
};

struct MeasureDraftResult {
  std::vector<MeasuredDraft> drafts;
  int64_t answers = 0, answer_tokens = 0;
  double tokens_per_second = 0;  // of making them
};

// Drafts are measured as their files have them, rounding included; only the runtime's rounding of
// activations is not in it. Errors: those of the files and torch.
Result<MeasureDraftResult> MeasureDrafts(const MeasureDraftOptions& options);

}  // namespace hearth::forge
