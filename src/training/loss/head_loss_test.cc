// Chunked losses against plain autograd over whole logits, and against finite differences.
#include "training/loss/head_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "training/loss/divergence.h"

namespace hearth::forge {
namespace {

constexpr int64_t kRows = 13, kVocab = 29, kSize = 10, kTeacherSize = 6;

struct Case {
  Tensor hidden, head, targets, weights;
  TeacherOutputs teacher;

  explicit Case(int64_t teacher_vocab = kVocab) {
    SeedGenerator(at::kCPU, 9);
    hidden = at::randn({kRows, kSize}).requires_grad_(true);
    head = at::randn({kVocab, kSize}).requires_grad_(true);
    targets = at::randint(kVocab, {kRows}, at::kLong);
    weights = at::rand({kRows});
    weights[3] = 0;
    teacher = {at::randn({kRows, kTeacherSize}), at::randn({teacher_vocab, kTeacherSize})};
  }
};

// Each loss written out over whole logits; autograd makes its gradients.
Tensor PlainLoss(const Case& c, const HeadLossOptions& options) {
  const Tensor logits = at::linear(c.hidden, c.head);
  const Tensor log_p = at::log_softmax(logits, -1);
  Tensor rows = log_p.gather(1, c.targets.unsqueeze(-1)).squeeze(-1).neg() * options.cross_entropy;
  if (options.distillation != 0) {
    const int64_t common = std::min(c.head.size(0), c.teacher.head.size(0));
    const double t = options.temperature;
    const Tensor q = at::softmax(logits.narrow(1, 0, common) / t, -1);
    const Tensor p =
        at::softmax(at::linear(c.teacher.hidden, c.teacher.head).narrow(1, 0, common) / t, -1);
    Tensor divergence;
    if (options.beta == 0) {
      divergence = (p * (p.log() - q.log())).sum(-1);
    } else if (options.beta == 1) {
      divergence = (q * (q.log() - p.log())).sum(-1);
    } else {
      const Tensor m = options.beta * p + (1 - options.beta) * q;
      divergence = options.beta * (p * (p.log() - m.log())).sum(-1) +
                   (1 - options.beta) * (q * (q.log() - m.log())).sum(-1);
    }
    rows = rows + options.distillation * t * t * divergence;
  }
  return (rows * c.weights).sum();
}

double Difference(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

class HeadLossAgreement : public ::testing::TestWithParam<HeadLossOptions> {};

TEST_P(HeadLossAgreement, ChunkedIsPlain) {
  for (const int64_t teacher_vocab : {kVocab, kVocab - 5, kVocab + 5}) {
    Case plain(teacher_vocab), chunked(teacher_vocab);
    const Tensor expected = PlainLoss(plain, GetParam());
    (expected * 0.5).backward();
    for (const int64_t chunk_rows : {1, 4, 13, 100, 0}) {
      HeadLossOptions options = GetParam();
      options.chunk_rows = chunk_rows;
      chunked.hidden.mutable_grad() = Tensor();
      chunked.head.mutable_grad() = Tensor();
      const HeadLossResult result = HeadLoss(chunked.hidden, chunked.head, chunked.targets,
                                             chunked.weights, options, chunked.teacher);
      EXPECT_NEAR(result.loss.item<double>(), expected.item<double>(), 1e-4);
      // The gradient from above must count.
      (result.loss * 0.5).backward();
      EXPECT_LT(Difference(chunked.hidden.grad(), plain.hidden.grad()), 1e-5);
      EXPECT_LT(Difference(chunked.head.grad(), plain.head.grad()), 1e-5);
      EXPECT_EQ(chunked.hidden.grad()[3].abs().sum().item<double>(), 0) << "its weight is 0";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Losses, HeadLossAgreement,
                         ::testing::Values(HeadLossOptions{}, HeadLossOptions{0.7},
                                           HeadLossOptions{0, 1, 0, 1}, HeadLossOptions{0, 1, 0, 2},
                                           HeadLossOptions{0, 0.6, 0.5, 1.5},
                                           HeadLossOptions{0.3, 0.7, 0.1, 0.8},
                                           HeadLossOptions{0, 1, 1, 1.3},
                                           HeadLossOptions{0.5, 0.5, 0, 1}));

TEST(HeadLoss, GradientIsWhatFiniteDifferencesSay) {
  Case c;
  HeadLossOptions options{0.4, 0.6, 0.3, 1.7};
  options.chunk_rows = 5;
  HeadLoss(c.hidden, c.head, c.targets, c.weights, options, c.teacher).loss.backward();
  const at::NoGradGuard guard;
  const auto loss = [&] {
    return HeadLoss(c.hidden, c.head, c.targets, c.weights, options, c.teacher).loss.item<double>();
  };
  for (const auto& [row, column] : {std::pair<int64_t, int64_t>{0, 0}, {7, 4}, {12, 9}}) {
    for (const Tensor& tensor : {c.hidden, c.head}) {
      Tensor entry = tensor[row][column];
      const double kept = entry.item<double>(), step = 1e-2;
      entry.fill_(kept + step);
      const double above = loss();
      entry.fill_(kept - step);
      const double below = loss();
      entry.fill_(kept);
      EXPECT_NEAR((above - below) / (2 * step), tensor.grad()[row][column].item<double>(), 2e-3);
    }
  }
}

TEST(HeadLoss, MakesNoGradientNobodyAsksFor) {
  Case c;
  c.head.set_requires_grad(false);
  const HeadLossResult result = HeadLoss(c.hidden, c.head, c.targets, c.weights);
  result.loss.backward();
  EXPECT_TRUE(c.hidden.grad().defined());
  EXPECT_FALSE(c.head.grad().defined());
  const at::NoGradGuard guard;
  const HeadLossResult evaluated = HeadLoss(c.hidden, c.head, c.targets, c.weights);
  EXPECT_FALSE(evaluated.loss.requires_grad());
  EXPECT_EQ(evaluated.loss.item<float>(), result.loss.item<float>());
}

TEST(HeadLoss, ReportsRowsWithoutWeights) {
  Case c;
  HeadLossOptions options{0.5, 0.5, 0, 2};
  options.count_correct = true;
  options.chunk_rows = 4;
  const HeadLossResult result =
      HeadLoss(c.hidden, c.head, c.targets, c.weights, options, c.teacher);
  const Tensor logits = at::linear(c.hidden, c.head).detach();
  const Tensor expected =
      at::log_softmax(logits, -1).gather(1, c.targets.unsqueeze(-1)).squeeze(-1).neg();
  EXPECT_LT(Difference(result.cross_entropy, expected), 1e-5);
  EXPECT_TRUE(at::equal(result.correct, logits.argmax(-1).eq(c.targets).to(at::kFloat)));
  EXPECT_EQ(result.divergence.size(0), kRows);
  EXPECT_FALSE(result.divergence.requires_grad());
}

TEST(HeadLoss, Bf16KeepsTheGradientOfASureTarget) {
  // p = 0.999 rounds to 1 in BF16: the gradient p - 1 must not become 0.
  const Tensor head = at::eye(16).to(at::kBFloat16);
  Tensor hidden = at::zeros({1, 16});
  hidden[0][5] = 9.625;
  hidden = hidden.to(at::kBFloat16).requires_grad_(true);
  const HeadLossResult result = HeadLoss(hidden, head, at::tensor({5}, at::kLong), {});
  result.loss.backward();
  const double expected = std::expm1(-result.loss.item<double>());
  EXPECT_NEAR(hidden.grad()[0][5].item<double>(), expected, 1e-2 * std::abs(expected));
  EXPECT_LT(expected, 0);
}

TEST(TeacherDivergence, IsZeroForTheSameLogitsAndFiniteForExtremeOnes) {
  const Tensor logits = at::tensor({0.0f, 50.0f, -900.0f, 3.0f}).view({1, 4});
  const Tensor other = at::tensor({700.0f, 0.0f, -800.0f, 3.0f}).view({1, 4});
  for (const double beta : {0.0, 0.4, 1.0}) {
    const Divergence same = TeacherDivergence(logits, logits, beta, 1, true);
    EXPECT_NEAR(same.per_row.item<double>(), 0, 1e-6);
    EXPECT_NEAR(same.gradient.abs().max().item<double>(), 0, 1e-6);
    const Divergence far = TeacherDivergence(logits, other, beta, 1, true);
    EXPECT_TRUE(std::isfinite(far.per_row.item<double>()));
    EXPECT_TRUE(at::isfinite(far.gradient).all().item<bool>());
    EXPECT_GT(far.per_row.item<double>(), 0.1);
  }
}

TEST(HeadLoss, ChunksFitTheirBudget) {
  EXPECT_LE(HeadChunkRows(49152, at::kCPU) * 49152 * 4, int64_t{64} << 20);
  EXPECT_GE(HeadChunkRows(49152, at::kCPU), 256);
  EXPECT_EQ(HeadChunkRows(int64_t{1} << 40, at::kCPU), 16);
}

}  // namespace
}  // namespace hearth::forge
