#pragma once
// Files of rows -> tokens to learn from and tokens held out, with an account of what became of
// every row. The result depends on the files, the model's tokenizer and the options alone, not on
// the number of threads.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/data/chat_tokenizer.h"
#include "training/data/token_store.h"
#include "training/data/tokenized_row.h"

namespace hearth::forge {

struct DatasetOptions {
  std::vector<std::string> files;
  RowOptions rows;
  // The share of conversations kept for evaluation, 0 to 1. A hash of the conversation decides, so
  // that equal ones lie on one side, whatever file they are in and whatever else is there.
  double held_out = 0;
  uint64_t split_seed = 0;
  std::string scratch_folder;               // for the tokens; "" is the one for temporary files
  int num_threads = 0;                      // 0: one per core
  std::function<void(double)> on_progress;  // 0 to 1
};

struct DataStatistics {
  int64_t conversations = 0;
  int64_t rows = 0;
  int64_t tokens = 0;
  int64_t learned = 0;
  int64_t longest = 0;  // tokens of a row
  int64_t cut = 0;      // rows of max_tokens: most of them lost something
  // Rows that gave nothing, by the error's text or "longer than N tokens"; and where each reason
  // stood first.
  std::map<std::string, int64_t> left_out;
  std::map<std::string, std::string> first_left_out;

  int64_t num_left_out() const;
};

struct Dataset {
  TokenStore train, held_out;  // row_source: the file's place in the options
  DataStatistics train_statistics, held_out_statistics;  // what was left out is told in the first
};

// Errors: those of the files; kInvalidArgument for options that make no sense and when no row at
// all is left, with the commonest reason. A row's fault is counted, not an error.
Result<Dataset> ReadDataset(const ChatTokenizer& chat, const DatasetOptions& options);

}  // namespace hearth::forge
