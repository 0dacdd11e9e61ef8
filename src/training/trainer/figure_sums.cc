#include "training/trainer/figure_sums.h"

namespace hearth::forge {

Status FigureSums::Add(const StepFigures& figures, Tensor sums) {
  std::vector<std::string> names;
  std::vector<Tensor> values = {figures.loss, figures.weight};
  for (const Figure& figure : figures.more) {
    names.push_back(figure.name);
    values.push_back(figure.sum);
    values.push_back(figure.weight.defined() ? figure.weight : figures.weight);
  }
  if (begun_ && names != names_)
    return MakeError(ErrorCode::kInternal, "the task's figures changed from batch to batch");
  if (names.size() > kMostFigures) {
    return MakeError(ErrorCode::kInternal, "the task has " + std::to_string(names.size()) +
                                               " figures, at most " + std::to_string(kMostFigures) +
                                               " are possible");
  }
  names_ = std::move(names);
  begun_ = true;
  const at::NoGradGuard no_gradients;
  for (Tensor& value : values) value = value.detach().reshape({}).to(sums.scalar_type());
  sums.narrow(0, 0, static_cast<int64_t>(values.size())).add_(at::stack(values));
  return {};
}

std::vector<std::pair<std::string, double>> FigureSums::Means(const double* sums) const {
  std::vector<std::pair<std::string, double>> means;
  for (size_t i = 0; i <= names_.size(); ++i) {
    const double sum = sums[2 * i], weight = sums[2 * i + 1];
    if (weight != 0) means.emplace_back(i == 0 ? "loss" : names_[i - 1], sum / weight);
  }
  return means;
}

}  // namespace hearth::forge
