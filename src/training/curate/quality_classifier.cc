#include "training/curate/quality_classifier.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kit/json_file.h"

namespace hearth::forge {

// quality_model.json as a text, made by CMake.
extern const std::string_view kBuiltInQualityModel;

const QualityClassifier& QualityClassifier::BuiltIn() {
  static const QualityClassifier* const model = [] {
    Result<QualityClassifier> parsed = Parse(kBuiltInQualityModel);
    HEARTH_CHECK(parsed.has_value());
    return new QualityClassifier(*std::move(parsed));
  }();
  return *model;
}

Result<QualityClassifier> QualityClassifier::Parse(std::string_view json) {
  HEARTH_ASSIGN_OR_RETURN(const Json model, ParseJsonObject(json, "the quality model"));
  QualityClassifier classifier;
  HEARTH_ASSIGN_OR_RETURN(const std::optional<double> scale, JsonNumber(model, "scale"));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<double> threshold, JsonNumber(model, "threshold"));
  const Json* weights = JsonChild(model, "weights");
  if (!scale || !threshold || weights == nullptr)
    return MakeError(ErrorCode::kCorrupt,
                     "the quality model lacks one of scale, threshold and weights");
  if (weights->size() != kNumFeatures)
    return MakeError(ErrorCode::kCorrupt, "the quality model has " +
                                              std::to_string(weights->size()) +
                                              " weights, expected " + std::to_string(kNumFeatures));
  for (const Json& weight : *weights) {
    const int64_t value = weight.is_number_integer() ? weight.get<int64_t>() : 1000;
    if (value < -127 || value > 127)
      return MakeError(ErrorCode::kCorrupt, "the quality model's weight " + weight.dump() +
                                                " is no whole number from -127 to 127");
    classifier.weights_.push_back(static_cast<int8_t>(value));
  }
  classifier.scale_ = *scale;
  classifier.threshold_ = *threshold;
  return classifier;
}

QualityClassifier QualityClassifier::FromWeights(const std::vector<float>& weights,
                                                 double threshold) {
  HEARTH_CHECK(weights.size() == kNumFeatures);
  float largest = 1e-6F;
  for (const float weight : weights) largest = std::max(largest, std::abs(weight));
  QualityClassifier classifier;
  classifier.scale_ = static_cast<double>(largest) / 127;
  classifier.threshold_ = threshold;
  for (const float weight : weights)
    classifier.weights_.push_back(static_cast<int8_t>(std::lround(weight / classifier.scale_)));
  return classifier;
}

double QualityClassifier::ScoreFeatures(const std::vector<Feature>& features) const {
  double sum = 0;
  for (const Feature& feature : features)
    sum += static_cast<double>(feature.value) * weights_[feature.index];
  return 1 / (1 + std::exp(-sum * scale_));
}

double QualityClassifier::Score(const Conversation& conversation) const {
  double worst = 2;
  for (const Exchange& exchange : ExchangesOf(conversation))
    worst = std::min(worst, ScoreFeatures(ExtractFeatures(exchange.prompt, exchange.answer)));
  return worst > 1 ? 0.5 : worst;
}

std::string QualityClassifier::ToJson(std::string_view about) const {
  std::string text = "{\"about\": " + Json(about).dump() + ",\n\"scale\": " + Json(scale_).dump() +
                     ", \"threshold\": " + Json(threshold_).dump() + ",\n\"weights\": [";
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (i > 0) text += i % 32 == 0 ? ",\n" : ",";
    text += std::to_string(weights_[i]);
  }
  return text + "]}\n";
}

}  // namespace hearth::forge
