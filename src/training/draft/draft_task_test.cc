#include "training/draft/draft_task.h"

#include <gtest/gtest.h>

#include <map>

#include "training/draft/testing_base.h"

namespace hearth::forge {
namespace {

Draft MakeDraft(const Decoder& base, bool is_head, std::vector<int32_t> ids) {
  DraftOptions options{.layers = {2}, .token_ids = std::move(ids)};
  if (is_head) options.taps = {0, 2};
  auto draft = Draft::FromBase(base, options);
  EXPECT_TRUE(draft);
  return std::move(*draft);
}

std::map<std::string, double> Figures(const StepFigures& figures) {
  std::map<std::string, double> values;
  values["loss"] = figures.loss.item<double>() / figures.weight.item<double>();
  for (const Figure& figure : figures.more) {
    const Tensor& weight = figure.weight.defined() ? figure.weight : figures.weight;
    values[figure.name] = figure.sum.item<double>() / weight.item<double>();
  }
  return values;
}

TEST(DraftTask, TrainingLowersTheLoss) {
  const Decoder base = TinyBase();
  for (const bool is_head : {true, false}) {
    DraftTaskOptions options;
    options.types = {TensorType::kQ5_1, TensorType::kQ8_0};
    DraftTask task(base, MakeDraft(base, is_head, AllTokens(14)), options);
    const Batch batch = TestBatch({20, 3, 17});
    const auto before = Figures(*task.EvaluateBatch(batch, {}));
    std::vector<std::pair<Tensor, Tensor>> moments;
    for (const NamedTensor& parameter : task.Parameters())
      moments.emplace_back(at::zeros_like(parameter.tensor), at::zeros_like(parameter.tensor));
    for (int64_t step = 1; step <= 30; ++step) {
      const auto figures = task.RunBatch(batch, {});
      ASSERT_TRUE(figures);
      size_t index = 0;
      for (const NamedTensor& parameter : task.Parameters()) {
        const at::NoGradGuard guard;
        AdamWHyper hyper;
        hyper.learning_rate = 3e-3;
        hyper.step = step;
        ASSERT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
        AdamWStep(parameter.tensor, parameter.tensor.grad().div(figures->weight),
                  moments[index].first, moments[index].second, hyper);
        Tensor(parameter.tensor.grad()).zero_();
        ++index;
      }
    }
    const auto after = Figures(*task.EvaluateBatch(batch, {}));
    EXPECT_LT(after.at("loss"), 0.6 * before.at("loss")) << is_head;
    EXPECT_LT(after.at("kl"), before.at("kl"));
    EXPECT_GE(after.at("agreement"), before.at("agreement"));
    if (is_head) {
      EXPECT_GT(after.at("tokens_per_verification"), before.at("tokens_per_verification"));
      EXPECT_EQ(after.size(), 2u + 5u + 1u);
    }
  }
}

TEST(DraftTask, WhatItCannotGuessIsWrongAndTeachesNothing) {
  const Decoder base = TinyBase();
  DraftTask task(base, MakeDraft(base, true, {40, 41}), {});
  const auto figures = task.RunBatch(TestBatch({12}), {});
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->weight.item<double>(), 0);
  EXPECT_EQ(figures->loss.item<double>(), 0);
  const auto values = Figures(*task.EvaluateBatch(TestBatch({12}), {}));
  EXPECT_EQ(values.at("agreement"), 0);
  EXPECT_EQ(values.at("tokens_per_verification"), 1);
}

// Of one segment of n tokens a head's first step has n - 2 places: the token behind the place is
// given, the next is to be guessed.
TEST(DraftTask, CountsThePlacesOfEachStep) {
  const Decoder base = TinyBase();
  DraftTaskOptions options;
  options.step_decay = 1;
  options.unreached_share = 1;
  options.num_steps = 3;
  DraftTask task(base, MakeDraft(base, true, AllTokens(61)), options);
  const auto figures = task.EvaluateBatch(TestBatch({10, 2, 4}), {});
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->weight.item<double>(), (8 + 0 + 2) + (7 + 1) + (6 + 0));
}

TEST(DraftTask, ABatchDoesNotDependOnItsPacking) {
  const Decoder base = TinyBase();
  DraftTask task(base, MakeDraft(base, true, AllTokens(61)), {});
  const auto packed = task.EvaluateBatch(TestBatch({11, 7}), {});
  const auto first = task.EvaluateBatch(TestBatch({11}), {});
  const auto second = task.EvaluateBatch(TestBatch({7}), {});
  EXPECT_NEAR(packed->loss.item<double>(), first->loss.item<double>() + second->loss.item<double>(),
              1e-3);
}

}  // namespace
}  // namespace hearth::forge
