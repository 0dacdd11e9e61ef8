// What is trained and what must not be: all weights, adapters, students.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "training/trainer/distillation_task.h"
#include "training/trainer/flops.h"
#include "training/trainer/testing_tasks.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {
namespace {

using namespace testing_tasks;  // NOLINT
using ::testing::HasSubstr;

Tensor HiddenOf(const Decoder& decoder, const Batch& batch, const ForwardOptions& options = {}) {
  const at::NoGradGuard guard;
  const Tensor tokens = at::tensor(
      std::vector<int64_t>(batch.tokens.begin(), batch.tokens.end()), at::kLong);
  return decoder
      .Forward(tokens,
               SegmentLayout::Make({batch.segment_lengths.begin(), batch.segment_lengths.end()},
                                   at::kCPU),
               options)
      .hidden;
}

TEST(SftTask, AnAdapterLearnsAndItsBaseKeepsEveryBit) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    SftTask task(WithLora(TinyDecoder(7, type)), {});
    const auto base = Copies(task.decoder().Parameters());
    const auto adapter = Copies(task.decoder().LoraParameters());
    VectorSource source = TinySource(3);
    MemorySink sink;
    TrainerOptions options = TinyOptions(40);
    options.sinks = {&sink};
    const auto summary = Train(task, source, nullptr, options);
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_LT(summary->loss, 0.8 * sink.values["train/loss"][1]);
    EXPECT_TRUE(SameBits(Copies(task.decoder().Parameters()), base));
    EXPECT_FALSE(SameBits(Copies(task.decoder().LoraParameters()), adapter));
  }
}

TEST(SftTask, CheckpointedActivationsGiveTheSameWeights) {
  const auto run = [](bool checkpoint) {
    SftOptions sft;
    sft.checkpoint_activations = checkpoint;
    SftTask task(WithLora(TinyDecoder(), 0.2), sft);
    VectorSource source = TinySource(3);
    EXPECT_TRUE(Train(task, source, nullptr, TinyOptions(4)));
    return Copies(task.decoder().LoraParameters());
  };
  EXPECT_LT(Distance(run(true), run(false)), 1e-6);
}

// Where the mask is 0 the base's own hidden states come out, whatever was learned.
TEST(SftTask, AnActivatedAdapterLearnsAndWorksOnMarkedPlacesOnly) {
  SftTask task(WithLora(TinyDecoder(), 0, {5}), {});
  VectorSource source = TinySource(3, 0, /*masked=*/true);
  MemorySink sink;
  TrainerOptions options = TinyOptions(40);
  options.sinks = {&sink};
  const auto summary = Train(task, source, nullptr, options);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_LT(summary->loss, 0.9 * sink.values["train/loss"][1]);

  const Batch batch = TinyBatch(77, /*masked=*/true);
  ForwardOptions masked;
  masked.adapter_mask = at::tensor(
      std::vector<int64_t>(batch.adapter_mask.begin(), batch.adapter_mask.end()), at::kLong);
  ForwardOptions base;
  base.use_adapters = false;
  const Tensor with = HiddenOf(task.decoder(), batch, masked);
  const Tensor without = HiddenOf(task.decoder(), batch, base);
  for (size_t place = 0; place < batch.adapter_mask.size(); ++place) {
    const auto row = static_cast<int64_t>(place);
    EXPECT_EQ(with[row].equal(without[row]), batch.adapter_mask[place] == 0) << place;
  }
  VectorSource unmasked = TinySource(3);
  EXPECT_THAT(Train(task, unmasked, nullptr, TinyOptions(1)).error().message,
              HasSubstr("adapter_mask"));
}

TEST(SftTask, UnmarkedPlacesTeachNothing) {
  const auto trained = [](int32_t other) {
    Batch batch = TinyBatch(5);
    for (size_t place = 0; place < batch.weights.size(); ++place) {
      if (batch.weights[place] == 0) batch.targets[place] = other;
    }
    SftTask task(TinyDecoder(), {});
    VectorSource source({batch});
    EXPECT_TRUE(Train(task, source, nullptr, TinyOptions(3)));
    return Copies(task.decoder().Parameters());
  };
  EXPECT_TRUE(SameBits(trained(0), trained(9)));
}

TEST(SftTask, BsLearningRateCanBeAnother) {
  const auto b_of = [](double scale) {
    SftOptions sft;
    sft.lora_b_scale = scale;
    SftTask task(WithLora(TinyDecoder()), sft);
    VectorSource source = TinySource(1);
    EXPECT_TRUE(Train(task, source, nullptr, TinyOptions(1)));
    return task.decoder().LoraParameters()[1].tensor.detach().clone();
  };
  EXPECT_TRUE(at::allclose(b_of(4), b_of(1).mul(4), 1e-4, 1e-7));
}

double HeldOutDivergence(DistillationTask& task) {
  double sum = 0, weight = 0;
  for (uint64_t seed = 500; seed < 504; ++seed) {
    const auto figures = task.EvaluateBatch(TinyBatch(seed), {});
    EXPECT_TRUE(figures);
    EXPECT_EQ(figures->more[0].name, "divergence");
    sum += figures->more[0].sum.item<double>();
    weight += figures->weight.item<double>();
  }
  return sum / weight;
}

TEST(DistillationTask, AStudentThatBeginsApartReachesItsTeacher) {
  for (const double beta : {0.0, 0.5, 1.0}) {
    DistillationOptions distillation;
    distillation.beta = beta;
    auto task = DistillationTask::Make(TinyDecoder(1), TinyDecoder(2), distillation).value();
    const auto teacher = Copies(task->teacher().Parameters());
    const double before = HeldOutDivergence(*task);
    VectorSource source = TinySource(40);
    TrainerOptions options = TinyOptions(250);
    options.batches_per_step = 2;
    const auto summary = Train(*task, source, nullptr, options);
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_LT(HeldOutDivergence(*task), 0.35 * before) << "beta " << beta;
    EXPECT_TRUE(SameBits(Copies(task->teacher().Parameters()), teacher));
  }
}

TEST(DistillationTask, OfAModelFromItselfThereIsNothingToLearn) {
  auto task = DistillationTask::Make(TinyDecoder(1), TinyDecoder(1), {}).value();
  VectorSource source = TinySource(3);
  TrainerOptions options = TinyOptions(3);
  options.weight_decay = 0;
  const auto summary = Train(*task, source, nullptr, options);
  ASSERT_TRUE(summary);
  EXPECT_LT(std::abs(summary->loss), 1e-6);
}

TEST(DistillationTask, TheStudentWritesItsShareOfTheBatches) {
  DistillationOptions distillation;
  distillation.cross_entropy = 0.5;
  distillation.on_policy_share = 0.5;
  int64_t written = 0, asked = 0;
  std::vector<uint64_t> seeds;
  distillation.write_answers = [&](const Decoder& student, const std::vector<Batch*>& batches,
                                   const std::vector<BatchContext>& contexts) -> Status {
    EXPECT_EQ(student.config().vocab_size, 31);
    EXPECT_EQ(batches.size(), contexts.size());
    ++asked;
    written += static_cast<int64_t>(batches.size());
    for (size_t i = 0; i < batches.size(); ++i) {
      seeds.push_back(contexts[i].seed);
      *batches[i] = TinyBatch(contexts[i].seed % 1000);
    }
    return {};
  };
  const auto run = [&] {
    auto task = DistillationTask::Make(TinyDecoder(1), TinyDecoder(2), distillation).value();
    VectorSource source = TinySource(8);
    TrainerOptions options = TinyOptions(10);
    options.batches_per_step = 4;
    MemorySink sink;
    options.sinks = {&sink};
    const auto summary = Train(*task, source, nullptr, options);
    EXPECT_TRUE(summary) << summary.error().message;
    EXPECT_GT(sink.values["train/on_policy"].size(), 0u);
    return Copies(task->student().Parameters());
  };
  const auto first = run();
  EXPECT_GT(written, 10);
  EXPECT_LT(written, 30);
  EXPECT_LE(asked, 10);  // once a step at most
  const auto first_seeds = seeds;
  seeds.clear();
  EXPECT_TRUE(SameBits(first, run()));
  EXPECT_EQ(seeds, first_seeds);
}

TEST(DistillationTask, WhatMakesNoSenseIsNamed) {
  const auto error = [](const DistillationOptions& options, const DecoderConfig& teacher) {
    auto task = DistillationTask::Make(TinyDecoder(1), Decoder::Random(teacher, {}, 2), options);
    return task ? std::string() : task.error().message;
  };
  DistillationOptions options;
  options.beta = 2;
  EXPECT_THAT(error(options, TinyConfig()), HasSubstr("beta is 2"));
  options = {};
  options.on_policy_share = 0.5;
  EXPECT_THAT(error(options, TinyConfig()), HasSubstr("nobody writes"));
  DecoderConfig other = TinyConfig();
  other.vocab_size = 5000;
  EXPECT_THAT(error({}, other), HasSubstr("vocabulary has 31 tokens, the teacher's 5000"));
  other.vocab_size = 40;  // padding
  EXPECT_EQ(error({}, other), "");
}

TEST(Flops, CountWhatMatricesTake) {
  DecoderConfig config = TinyConfig();
  const DecoderFlops flops = ForwardFlops(config, {3, 1}, 2);
  const int64_t per_layer = 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32;
  EXPECT_EQ(flops.linears, 2.0 * 4 * 2 * static_cast<double>(per_layer));
  EXPECT_EQ(flops.attention, 2.0 * 2 * (6 + 1) * 16 * 2);
  EXPECT_EQ(flops.head, 2.0 * 2 * 16 * 31);
  SftTask all(TinyDecoder(), {}), adapter(WithLora(TinyDecoder()), {});
  const Batch batch = TinyBatch(1);
  EXPECT_GT(all.Flops(batch), adapter.Flops(batch));
  EXPECT_EQ(PeakFlops("NVIDIA H100 80GB HBM3", true), 989e12);
  EXPECT_EQ(PeakFlops("NVIDIA H100 PCIe", true), 756e12);
  EXPECT_EQ(PeakFlops("NVIDIA H200", false), 67e12);
  EXPECT_EQ(PeakFlops("CPU", true), 0);
}

}  // namespace
}  // namespace hearth::forge
