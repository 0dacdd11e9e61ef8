// Products by a whole team of threads: the same bits from any number of tokens and threads.

#include "runtime/ops/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "runtime/kernels/testing_kernels.h"
#include "runtime/quant/quant.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

constexpr int kNumInputs = 256;
constexpr int kNumRows = 224;

// Random weights, packed.
class Weights {
 public:
  Weights(TensorType type, std::mt19937& rng, int num_rows = kNumRows) {
    const size_t row_bytes = RowBytes(type, kNumInputs), strip_bytes = StripBytes(type, kNumInputs);
    std::vector<std::byte> rows(num_rows * row_bytes);
    for (int row = 0; row < num_rows; ++row) {
      QuantizeRow(type, RandomFloats(kNumInputs, rng),
                  std::span(rows).subspan(row * row_bytes, row_bytes));
    }
    strips_.resize(NumStrips(num_rows) * strip_bytes);
    for (int first = 0; first < num_rows; first += 16) {
      const int count = std::min(16, num_rows - first);
      PackStrip(type, std::span(rows).subspan(first * row_bytes, count * row_bytes), count,
                kNumInputs, std::span(strips_).subspan(first / 16 * strip_bytes, strip_bytes));
    }
    matrix_ = {type, strips_.data(), num_rows, kNumInputs, strip_bytes};
  }
  const Matrix& matrix() const { return matrix_; }

 private:
  std::vector<std::byte> strips_;
  Matrix matrix_;
};

Activations MakeInputs(const std::vector<float>& x, int num_tokens, bool integer) {
  Activations inputs;
  inputs.Reserve(num_tokens, kNumInputs, integer);
  inputs.Shape(num_tokens, kNumInputs);
  for (int token = 0; token < num_tokens; ++token) {
    std::copy_n(&x[static_cast<size_t>(token) * kNumInputs], kNumInputs, inputs.row(token));
    inputs.Quantize(token);
  }
  return inputs;
}

// [num_tokens][padded_rows]
std::vector<float> Product(const Matrix& weights, const Activations& inputs, int num_threads) {
  const auto stride = static_cast<size_t>(weights.padded_rows());
  std::vector<float> out(inputs.num_tokens() * stride);
  ThreadPool pool(num_threads);
  MatmulScratch scratch(num_threads, kNumInputs);
  const MatmulJob jobs[] = {{&weights, out.data(), stride}};
  pool.Run([&](Worker& worker) { RunMatmuls(worker, jobs, inputs, scratch); });
  return out;
}

// Decode, verify, what goes tile by tile and what is unpacked.
std::vector<int> TokenCounts() {
  const int most_few = Kernels().most_few_columns;
  return {1, 6, kFewColumns + 1, most_few, most_few + 1, 3 * most_few + 5};
}

TEST(Matmul, ATokenGetsTheSameAloneAndInAnyBatchFromAnyTeam) {
  std::mt19937 rng(1);
  for (const TensorType type : {TensorType::kQ4_1, TensorType::kQ6_K, TensorType::kF16}) {
    const Weights weights(type, rng, kNumRows - 3);
    for (const int num_tokens : TokenCounts()) {
      const std::vector<float> x = RandomFloats(num_tokens * kNumInputs, rng);
      const std::vector<float> out = Product(weights.matrix(), MakeInputs(x, num_tokens, true), 1);
      EXPECT_THAT(Product(weights.matrix(), MakeInputs(x, num_tokens, true), 3), SameBits(out));
      const size_t stride = weights.matrix().padded_rows();
      for (const int token : {0, num_tokens / 2, num_tokens - 1}) {
        const std::vector<float> alone(&x[static_cast<size_t>(token) * kNumInputs],
                                       &x[static_cast<size_t>(token) * kNumInputs] + kNumInputs);
        const std::vector<float> in_batch(&out[token * stride], &out[token * stride] + stride);
        EXPECT_THAT(Product(weights.matrix(), MakeInputs(alone, 1, true), 1), SameBits(in_batch))
            << InfoOf(type).name << ", token " << token << " of " << num_tokens;
      }
    }
  }
}

struct GatedCase {
  TensorType type;
  bool integer, keeps_floats;
};

// As the blocks that an integer product reads, or as floats.
void ExpectSameActivations(const Activations& out, const Activations& expected) {
  if (out.integer()) {
    const size_t bytes = static_cast<size_t>(out.num_tokens()) * kNumRows / 32 * sizeof(ActBlock);
    EXPECT_EQ(std::memcmp(out.tile(0), expected.tile(0), bytes), 0);
  }
  if (!out.keeps_floats()) return;
  for (int token = 0; token < out.num_tokens(); ++token) {
    for (int i = 0; i < kNumRows; ++i) ASSERT_EQ(out.row(token)[i], expected.row(token)[i]);
  }
}

TEST(Matmul, AGatedStageIsTwoProductsAndTheirActivation) {
  std::mt19937 rng(2);
  for (const auto [type, integer, keeps_floats] :
       {GatedCase{TensorType::kQ4_1, true, false}, GatedCase{TensorType::kQ4_K, true, true},
        GatedCase{TensorType::kF16, true, false}, GatedCase{TensorType::kQ8_0, false, true}}) {
    const Weights gate(type, rng), up(type, rng);
    for (const int num_tokens : TokenCounts()) {
      const Activations inputs =
          MakeInputs(RandomFloats(num_tokens * kNumInputs, rng), num_tokens, integer);
      const std::vector<float> gate_out = Product(gate.matrix(), inputs, 1),
                               up_out = Product(up.matrix(), inputs, 1);
      Activations expected;
      expected.Reserve(num_tokens, kNumRows, integer);
      expected.Shape(num_tokens, kNumRows);
      for (int token = 0; token < num_tokens; ++token) {
        Kernels().silu_mul(&gate_out[static_cast<size_t>(token) * kNumRows],
                           &up_out[static_cast<size_t>(token) * kNumRows], kNumRows,
                           expected.row(token));
        expected.Quantize(token);
      }
      for (const int num_threads : {1, 3}) {
        Activations out;
        out.Reserve(num_tokens, kNumRows, integer, keeps_floats);
        out.Shape(num_tokens, kNumRows);
        ThreadPool pool(num_threads);
        MatmulScratch scratch(num_threads, kNumInputs, kNumRows, num_tokens);
        const GatedJob job{&gate.matrix(), &up.matrix(), Kernels().silu_mul, &out};
        pool.Run([&](Worker& worker) { RunGated(worker, job, inputs, scratch); });
        SCOPED_TRACE(testing::Message()
                     << InfoOf(type).name << ", " << num_tokens << " tokens, " << num_threads);
        ExpectSameActivations(out, expected);
      }
    }
  }
}

}  // namespace
}  // namespace hearth
