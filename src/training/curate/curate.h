#pragma once
// Files of rows -> the rows that are worth training on, and an account of every other one.
//
//   read        every shape that training/data/rows.h knows becomes a conversation
//   contaminated   holds something of an evaluation set             (decontaminate.h)
//   language       its prose is in another language                 (language.h)
//   quality        a rule names a fault, or the classifier doubts it (quality_rules.h, ..._classifier.h)
//   exact_duplicate, near_duplicate   of a better row               (near_duplicates.h)
//
// The folder gets kept.jsonl (messages, in the order of the input), removed.jsonl (each with its
// reason, source and detail) and report.json. Each is written under another name and takes its own
// when it is whole, the report last: a folder with a report is complete. What the rows are depends
// on the files and the options, not on the number of threads.
//
// Memory: some 110 bytes a row that reaches the search for duplicates, whatever its length; the rows
// themselves wait in a nameless file in the folder, about as large as the input (unpacked).

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/curate/decontaminate.h"
#include "training/curate/near_duplicates.h"
#include "training/curate/quality_rules.h"

namespace hearth::forge {

struct CurateOptions {
  std::vector<std::string> inputs;
  std::string output_folder;  // made where it does not exist
  std::vector<std::string> languages = {"en"};  // CLD2's codes; none: any
  bool quality_rules = true;
  QualityLimits limits;
  // Below it a row is removed: the classifier's own threshold, or 0 to switch it off.
  std::optional<double> min_quality;
  std::string quality_model;  // a file; "" is the built-in one
  bool exact_duplicates = true;
  bool near_duplicates = true;
  double similarity = 0.8;
  std::vector<std::string> evaluation_sets;  // files to decontaminate against
  bool write_pairs = false;  // also pairs.jsonl: every near-duplicate pair that was found
  int num_threads = 0;       // 0: one per core
  // The stage's name and how far it is, 0 to 1; false stops with kCancelled.
  std::function<bool(std::string_view, double)> on_progress;
};

struct CurateCounts {
  int64_t rows_in = 0;  // conversations, and rows that hold none
  int64_t kept = 0;
  std::map<std::string, int64_t> removed;  // by reason
  int64_t num_removed() const;
};

struct CurateInput {
  std::string path;
  uint64_t size_bytes = 0;
  std::string hash;  // XXH3, 128 bits, of the file as it lies there; "" for standard input
  CurateCounts counts;
};

struct StageTime {
  double wall_s = 0;
  double cpu_s = 0;  // over all threads; 0 where it is not taken apart
};

struct CurateReport {
  CurateCounts counts;
  std::vector<CurateInput> inputs;
  int64_t prompts_only = 0;      // kept conversations without an answer
  int64_t stripped_markers = 0;  // answers that lost a tokenizer's end marker
  std::map<std::string, int64_t> languages;  // of rows that got that far; "" undecided
  std::vector<EvaluationIndex::Set> evaluation_sets;
  std::vector<int64_t> contaminated_by;  // rows, for each set
  double min_quality = 0;
  NearDuplicateStatistics near;
  int64_t near_clusters = 0;
  int64_t largest_cluster = 0;
  int64_t minhash_rows = 0;
  double minhash_cpu_s = 0;  // normalising, words, shingles, signature, bands
  std::map<std::string, StageTime> stages;
  int num_threads = 0;
  int64_t peak_memory_bytes = 0;
};

// Errors: those of the input and evaluation files, of creating and writing the output; kCancelled;
// kInvalidArgument for options that make no sense. A row's fault is counted, not an error.
Result<CurateReport> Curate(const CurateOptions& options);

// The report as JSON, as report.json has it.
std::string ReportJson(const CurateReport& report, const CurateOptions& options);

}  // namespace hearth::forge
