#pragma once
// Training of the quality classifier from rows that are taken to be good: each gives a damaged copy
// as its counterpart. Rows whose hash says so are held out and tell how good the result is.
// Deterministic: the same files give the same weights. Threads: one at a time.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/curate/quality_classifier.h"

namespace hearth::forge {

// The ways in which answers are damaged, by name: "shuffled_words", "cut_off", "another_answer",
// "misspelt", "repeated", "echo", "web_debris".
const std::vector<std::string>& DamageKinds();
// A damaged copy of `answer`. `other` is another row's answer. "" where this kind does nothing to
// an answer that short. Depends on the arguments alone.
std::string Damage(const std::string& kind, std::string_view prompt, std::string_view answer,
                   std::string_view other, uint64_t seed);

struct QualityTrainingOptions {
  std::vector<std::string> good;  // files
  std::vector<std::string> bad;   // files of rows that are bad as they are; may be none
  int64_t max_rows_per_file = 5000;
  double held_out = 0.2;
  double keep_good = 0.995;  // the threshold is where this share of held-out good rows passes
  int epochs = 6;
  bool leave_one_out = true;  // also measure each kind of damage with a model that never saw it
  std::function<bool(double)> on_progress;  // 0 to 1; false stops with kCancelled
};

struct QualityTrainingReport {
  QualityClassifier classifier;
  int64_t train_good = 0, train_bad = 0, held_out_good = 0, held_out_bad = 0;
  double auc = 0;              // held out
  double good_removed = 0;     // share of held-out good rows below the threshold
  std::map<std::string, double> found;         // kind -> share of held-out damage below it
  std::map<std::string, double> found_unseen;  // the same, by a model trained without the kind
  std::map<std::string, double> auc_by_kind;
};

// Errors: those of the files; kInvalidArgument for fewer than 100 good rows; kCancelled.
Result<QualityTrainingReport> TrainQuality(const QualityTrainingOptions& options);

}  // namespace hearth::forge
