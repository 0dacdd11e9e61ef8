#pragma once
// A logistic regression over ExtractFeatures: how probable it is that an answer is as a person
// wrote it rather than damaged (cut off, shuffled, misspelt, repeated, another row's, the prompt
// again, or with a web page's debris). It knows no facts: a fluent wrong answer scores high.
// Threads: immutable; safe from many.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/curate/quality_features.h"

namespace hearth::forge {

class QualityClassifier {
 public:
  // The one that comes with the program (quality_model.json, made by
  // `hearth-forge curate --train-quality`).
  static const QualityClassifier& BuiltIn();
  // A model's JSON. Errors: kCorrupt naming the field.
  static Result<QualityClassifier> Parse(std::string_view json);
  // Weights are rounded to 8 bits, so that the model is as a file would give it back.
  static QualityClassifier FromWeights(const std::vector<float>& weights, double threshold);

  // 0 to 1: the worst of the conversation's answers; 0.5 where there is none.
  double Score(const Conversation& conversation) const;
  double ScoreFeatures(const std::vector<Feature>& features) const;
  // Rows below it are removed, where the caller names no other.
  double threshold() const { return threshold_; }
  void set_threshold(double threshold) { threshold_ = threshold; }

  std::string ToJson(std::string_view about) const;

 private:
  std::vector<int8_t> weights_;  // [kNumFeatures], in units of scale_
  double scale_ = 0;
  double threshold_ = 0;
};

}  // namespace hearth::forge
