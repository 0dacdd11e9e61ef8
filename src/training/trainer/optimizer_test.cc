#include "training/trainer/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <cmath>

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

NamedTensor Parameter(const std::string& name, std::vector<int64_t> shape,
                      at::ScalarType type = at::kFloat) {
  SeedGenerator(at::kCPU, name.size() * 31 + static_cast<uint64_t>(name[0]));
  return {name, at::randn(shape).to(type).requires_grad_(true)};
}

Tensor GradientFor(const Tensor& parameter, int step) {
  SeedGenerator(at::kCPU, static_cast<uint64_t>(step * 1000 + parameter.numel()));
  return at::randn(parameter.sizes()).mul_(0.3).to(parameter.scalar_type());
}

// Against the update that torch brings along, whose groups say which parameters decay.
TEST(FlatAdamW, StepsAsTorchsOwn) {
  const std::vector<NamedTensor> parameters = {
      Parameter("matrix", {5, 7}), Parameter("vector", {9}), Parameter("other", {3, 130})};
  std::vector<Tensor> theirs;
  for (const NamedTensor& parameter : parameters)
    theirs.push_back(parameter.tensor.detach().clone().requires_grad_(true));
  const auto their_options = [](double learning_rate, double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(learning_rate).betas({0.9, 0.95}).eps(1e-6).weight_decay(decay));
  };
  torch::optim::AdamW reference(
      std::vector<torch::optim::OptimizerParamGroup>{{{theirs[0]}, their_options(0.01, 0.1)},
                                                     {{theirs[1]}, their_options(0.01, 0)},
                                                     {{theirs[2]}, their_options(0.04, 0.1)}},
      torch::optim::AdamWOptions(0.01));

  OptimizerOptions options{0.9, 0.95, 1e-6, 0.1, [](const std::string& name) {
                             return name == "other" ? 4.0 : 1.0;
                           }};
  FlatAdamW optimizer = FlatAdamW::Make(parameters, options).value();
  EXPECT_EQ(optimizer.size() % 64, 0);
  EXPECT_EQ(optimizer.num_parameters(), 35 + 9 + 390);
  for (int step = 1; step <= 12; ++step) {
    optimizer.ZeroGradients();
    for (size_t i = 0; i < parameters.size(); ++i) {
      Tensor ours = parameters[i].tensor;
      ours.mutable_grad() = GradientFor(ours, step).mul(4);
      theirs[i].mutable_grad() = GradientFor(ours, step);
    }
    optimizer.GatherGradients();
    optimizer.Step(0.01, 0.25, step);
    reference.step();
    for (size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_TRUE(at::allclose(parameters[i].tensor, theirs[i], 1e-5, 1e-6))
          << parameters[i].name << " in step " << step;
    }
  }
}

TEST(FlatAdamW, GradientsAddUpUntilCleared) {
  const std::vector<NamedTensor> parameters = {Parameter("a", {3, 3}), Parameter("b", {70})};
  FlatAdamW optimizer = FlatAdamW::Make(parameters, {}).value();
  Tensor a = parameters[0].tensor;
  a.mutable_grad() = at::full({3, 3}, 2.0);
  optimizer.GatherGradients();
  EXPECT_FALSE(a.grad().defined());
  // Laid out differently, and with the other one present this time.
  a.mutable_grad() = at::full({3, 3}, 1.0).t();
  Tensor b = parameters[1].tensor;
  b.mutable_grad() = at::full({70}, 0.5);
  optimizer.GatherGradients();
  EXPECT_NEAR(optimizer.GradientNorm().item<double>(), std::sqrt(9 * 9 + 70 * 0.25), 1e-5);
  optimizer.ZeroGradients();
  EXPECT_EQ(optimizer.GradientNorm().item<double>(), 0);
}

// Steps smaller than a half's spacing vanish where there is no master.
TEST(FlatAdamW, HalfPrecisionParametersAreTheRoundedMaster) {
  const NamedTensor parameter{"w", at::ones({8, 8}, at::kBFloat16).requires_grad_(true)};
  FlatAdamW optimizer = FlatAdamW::Make({parameter}, {0.9, 0.95, 1e-8, 0, {}}).value();
  for (int step = 1; step <= 100; ++step) {
    optimizer.ZeroGradients();
    Tensor tensor = parameter.tensor;
    tensor.mutable_grad() = at::ones({8, 8}, at::kBFloat16);
    optimizer.GatherGradients();
    optimizer.Step(1e-4, 1, step);
  }
  EXPECT_NEAR(optimizer.master()[0].item<double>(), 0.99, 1e-5);
  EXPECT_TRUE(parameter.tensor.view({-1}).equal(optimizer.master().to(at::kBFloat16)));
  EXPECT_LT(parameter.tensor[0][0].item<double>(), 1);
}

TEST(FlatAdamW, WhatCannotBeTrainedIsNamed) {
  const NamedTensor good = Parameter("good", {2});
  EXPECT_THAT(FlatAdamW::Make({good, {"frozen", at::ones({2})}}, {}).error().message,
              HasSubstr("parameter frozen is no leaf"));
  EXPECT_THAT(FlatAdamW::Make({good, Parameter("half", {2}, at::kBFloat16)}, {}).error().message,
              HasSubstr("parameter half is"));
  EXPECT_THAT(FlatAdamW::Make({good, {"again", good.tensor}}, {}).error().message,
              HasSubstr("parameter again comes twice"));
  EXPECT_THAT(FlatAdamW::Make({}, {}).error().message, HasSubstr("no parameter"));
}

}  // namespace
}  // namespace hearth::forge
