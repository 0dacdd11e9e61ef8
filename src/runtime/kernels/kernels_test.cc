// Every instruction set this machine runs must give the very bits of the scalar kernels, whatever
// the kernel shape.

#include "runtime/kernels/kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "runtime/kernels/dispatch.h"
#include "runtime/kernels/tables.h"
#include "runtime/kernels/testing_kernels.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

constexpr int kNumInputs = 512;
constexpr int kNumBlocks = kNumInputs / 32;

class EachTable : public testing::TestWithParam<const KernelTable*> {};
INSTANTIATE_TEST_SUITE_P(Isa, EachTable, testing::ValuesIn(AvailableKernels()),
                         [](const auto& param) { return std::string(param.param->name); });

TEST_P(EachTable, QuantisedActivationsEqualScalarAndZeroBlocksStayZero) {
  std::mt19937 rng(5);
  std::vector<float> x = RandomFloats(kNumInputs, rng, 3.0f);
  std::fill_n(x.begin(), 32, 0.0f);
  std::vector<ActBlock> truth(kNumBlocks), out(kNumBlocks);
  ScalarKernels().quantize(x.data(), kNumBlocks, truth.data(), 1);
  GetParam()->quantize(x.data(), kNumBlocks, out.data(), 1);
  EXPECT_EQ(std::memcmp(truth.data(), out.data(), sizeof(ActBlock) * kNumBlocks), 0);
  EXPECT_EQ(out[0].d, 0.0f);
  int sum = 0;
  for (const int8_t q : out[1].q) sum += q;
  EXPECT_EQ(out[1].neg_sum, -sum);
}

// Tables work on several blocks side by side, with the same steps; the truth is what kernels.h
// says.
TEST_P(EachTable, BlocksAreQuantisedAlikeAloneAndTogether) {
  std::mt19937 rng(15);
  for (const int num_blocks : {1, 3, 4, 7, 8, 12, 13, 18}) {
    for (const int stride : {1, 3}) {
      for (const bool poisoned : {false, true}) {
        std::vector<float> x = RandomFloats(num_blocks * 32, rng, 3.0f);
        if (poisoned) x[static_cast<size_t>(num_blocks / 2 * 32 + 9)] = std::nanf("");
        std::vector<ActBlock> together(static_cast<size_t>(num_blocks * stride));
        GetParam()->quantize(x.data(), num_blocks, together.data(), stride);
        for (int b = 0; b < num_blocks; ++b) {
          const float* from = &x[static_cast<size_t>(b * 32)];
          const ActBlock& block = together[static_cast<size_t>(b * stride)];
          ActBlock alone;
          GetParam()->quantize(from, 1, &alone, 1);
          ASSERT_EQ(std::memcmp(&alone, &block, sizeof alone), 0) << b << " of " << num_blocks;
          if (poisoned && b == num_blocks / 2) continue;
          float amax = 0;
          for (int i = 0; i < 32; ++i) amax = std::max(amax, std::abs(from[i]));
          EXPECT_EQ(block.d, amax / 127.0f);
          int sums[2] = {0, 0};
          for (int i = 0; i < 32; ++i) {
            EXPECT_EQ(block.q[i], std::lrint(from[i] * (127.0f / amax)));
            sums[i / 16] += block.q[i];
          }
          EXPECT_EQ(block.neg_sum0, -sums[0]);
          EXPECT_EQ(block.neg_sum1, -sums[1]);
          EXPECT_EQ(block.neg_sum, -sums[0] - sums[1]);
          EXPECT_EQ(block.s0, block.d * static_cast<float>(sums[0]));
          EXPECT_EQ(block.s1, block.d * static_cast<float>(sums[1]));
          EXPECT_EQ(block.s, block.d * static_cast<float>(sums[0] + sums[1]));
        }
      }
    }
  }
}

TEST_P(EachTable, BlocksThatNoCodeCanSayAreNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float poison : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(64, 1.0f);
    x[5] = poison;
    std::fill_n(x.begin() + 32, 32, 1e-36f);
    ActBlock out[2];
    GetParam()->quantize(x.data(), 2, out, 1);
    EXPECT_TRUE(std::isnan(out[0].d) && std::isnan(out[0].s)) << poison;
    EXPECT_EQ(out[0].neg_sum, 0);
    for (const int8_t q : out[0].q) EXPECT_EQ(q, 0);
    EXPECT_EQ(out[1].neg_sum, 0) << "too small for a scale";
    EXPECT_TRUE(std::isfinite(out[1].d));
  }
}

TEST_P(EachTable, ElementwiseKernelsEqualScalar) {
  std::mt19937 rng(6);
  constexpr int kSize = 96;
  const std::vector<float> x = RandomFloats(kSize, rng, 4.0f), w = RandomFloats(kSize, rng),
                           b = RandomFloats(kSize, rng);
  const auto both = [&](auto run) {
    std::vector<float> truth = x, out = x;
    run(ScalarKernels(), truth.data());
    run(*GetParam(), out.data());
    EXPECT_THAT(out, SameBits(truth));
  };
  both(
      [&](const KernelTable& k, float* out) { k.rms_norm(x.data(), w.data(), 1e-5f, kSize, out); });
  both([&](const KernelTable& k, float* out) {
    k.layer_norm(x.data(), w.data(), b.data(), 1e-5f, kSize, out);
  });
  both([&](const KernelTable& k, float* out) { k.add(out, b.data(), kSize); });
  both([&](const KernelTable& k, float* out) { k.scale(out, 0.3f, kSize); });
  both([&](const KernelTable& k, float* out) { k.silu_mul(x.data(), w.data(), kSize, out); });
  both([&](const KernelTable& k, float* out) { k.gelu_mul(x.data(), w.data(), kSize, out); });
  both([&](const KernelTable& k, float* out) { k.gelu(out, kSize); });
  both([&](const KernelTable& k, float* out) { out[0] = k.dot(x.data(), w.data(), kSize - 3); });
  both([&](const KernelTable& k, float* out) {
    out[0] = static_cast<float>(k.sum_exp(x.data(), kSize - 3, 9.0f));
  });
}

TEST_P(EachTable, RopeTurnsEveryPair) {
  std::mt19937 rng(7);
  for (const bool interleaved : {false, true}) {
    for (const int rope_dim : {2, 20, 64, 72, 128}) {
      const std::vector<float> x = RandomFloats(rope_dim + 16, rng, 4.0f);
      const int half = rope_dim / 2;
      std::vector<float> cos_sin(2 * rope_dim), turned = x;
      for (int i = 0; i < half; ++i) {
        const int a = interleaved ? 2 * i : i, b = interleaved ? a + 1 : a + half;
        const auto angle = static_cast<float>(i + 1);
        cos_sin[a] = cos_sin[b] = std::cos(angle);
        cos_sin[rope_dim + a] = -std::sin(angle);
        cos_sin[rope_dim + b] = std::sin(angle);
        turned[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
        turned[b] = x[b] * std::cos(angle) + x[a] * std::sin(angle);
      }
      std::vector<float> truth = x, out = x;
      ScalarKernels().rope(truth.data(), cos_sin.data(), rope_dim, interleaved);
      GetParam()->rope(out.data(), cos_sin.data(), rope_dim, interleaved);
      EXPECT_THAT(out, SameBits(truth)) << rope_dim;
      EXPECT_THAT(out, testing::Pointwise(testing::FloatNear(1e-5f), turned)) << rope_dim;
    }
  }
}

TEST(ScalarKernels, ElementwiseFunctionsMatchTheLibrary) {
  std::vector<float> x;
  for (float v = -12; v <= 12; v += 0.25f) x.push_back(v);
  x.resize(x.size() / 16 * 16);
  const std::vector<float> ones(x.size(), 1.0f);
  std::vector<float> silu(x.size()), gelu_tanh(x.size()), gelu = x;
  const auto size = static_cast<int>(x.size());
  ScalarKernels().silu_mul(x.data(), ones.data(), size, silu.data());
  ScalarKernels().gelu_mul(x.data(), ones.data(), size, gelu_tanh.data());
  ScalarKernels().gelu(gelu.data(), size);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    EXPECT_NEAR(silu[i], v / (1 + std::exp(-v)), 2e-6 * (1 + std::abs(v))) << v;
    EXPECT_NEAR(gelu[i], 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))), 2e-6 * (1 + std::abs(v)))
        << v;
    EXPECT_NEAR(gelu_tanh[i],
                0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))),
                2e-6 * (1 + std::abs(v)))
        << v;
  }
}

// A small KV cache of one head and what attends to it.
struct AttentionCase {
  AttentionCase(KvStorage kv_storage, int dim, int num_tokens, std::mt19937& rng)
      : storage(kv_storage), head_dim(dim) {
    keys = RandomFloats(static_cast<size_t>(num_tokens) * head_dim, rng);
    values = RandomFloats(static_cast<size_t>(num_tokens) * head_dim, rng);
    const int num_blocks = (num_tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    for (int b = 0; b < num_blocks; ++b) {
      k_blocks.emplace_back(KeyBlockBytes(storage, head_dim));
      v_blocks.emplace_back(ValueBlockBytes(storage, head_dim));
    }
  }

  void Store(const KernelTable& table) {
    const size_t num_tokens = keys.size() / head_dim;
    for (size_t t = 0; t < num_tokens; ++t) {
      const size_t block = t / kKvBlockTokens;
      const bool opens = storage == KvStorage::kInt4;
      if (opens && t % kKvBlockTokens == 0)
        open_keys.assign(KeyBlockBytes(KvStorage::kF16, head_dim), std::byte{0});
      table.store_kv(storage, &keys[t * head_dim], &values[t * head_dim], head_dim,
                     static_cast<int>(t % kKvBlockTokens),
                     opens ? open_keys.data() : k_blocks[block].data(), v_blocks[block].data());
      if (opens && (t + 1) % kKvBlockTokens == 0)
        table.close_keys(open_keys.data(), head_dim, k_blocks[block].data());
    }
  }

  std::vector<float> Run(const KernelTable& table, const std::vector<float>& queries,
                         const std::vector<int>& first, const std::vector<int>& end) const {
    const size_t n = first.size();
    std::vector<float> out(n * head_dim);
    std::vector<const float*> q;
    std::vector<float*> o;
    for (size_t r = 0; r < n; ++r) {
      q.push_back(&queries[r * head_dim]);
      o.push_back(&out[r * head_dim]);
    }
    std::vector<const std::byte*> k, v;
    for (const auto& block : k_blocks) k.push_back(block.data());
    for (const auto& block : v_blocks) v.push_back(block.data());
    const auto num_queries = static_cast<int>(n);
    const auto num_blocks = static_cast<int>(k_blocks.size());
    AttentionTile tile{storage,    head_dim, num_queries, q.data(), first.data(),
                       end.data(), k.data(), v.data(),    0.0f};
    if (storage == KvStorage::kInt4) {  // the last block is being filled
      tile.open_block = num_blocks - 1;
      k.back() = open_keys.data();
    }
    AttentionState state, later;
    table.attention(tile, 0, std::min(num_blocks, kAttentionSplitBlocks), state);
    for (int block = kAttentionSplitBlocks; block < num_blocks; block += kAttentionSplitBlocks) {
      table.attention(tile, block, std::min(num_blocks, block + kAttentionSplitBlocks), later);
      table.attention_fold(state, later, num_queries, head_dim);
    }
    table.attention_finish(storage, state, num_queries, head_dim, o.data());
    return out;
  }

  KvStorage storage;
  int head_dim;
  std::vector<float> keys, values;
  std::vector<std::vector<std::byte>> k_blocks, v_blocks;
  std::vector<std::byte> open_keys;  // kInt4: of the last block
};

std::string NameOf(KvStorage storage) {
  switch (storage) {
    case KvStorage::kF16:
      return "f16";
    case KvStorage::kInt8:
      return "int8";
    case KvStorage::kInt8Int4:
      return "int8_int4";
    case KvStorage::kInt4:
      break;
  }
  return "int4";
}

class EachKv : public testing::TestWithParam<std::tuple<const KernelTable*, KvStorage>> {};
INSTANTIATE_TEST_SUITE_P(Isa, EachKv,
                         testing::Combine(testing::ValuesIn(AvailableKernels()),
                                          testing::Values(KvStorage::kF16, KvStorage::kInt8,
                                                          KvStorage::kInt8Int4, KvStorage::kInt4)),
                         [](const auto& param) {
                           return std::string(std::get<0>(param.param)->name) + "_" +
                                  NameOf(std::get<1>(param.param));
                         });

TEST_P(EachKv, AttentionEqualsScalar) {
  const auto [table, storage] = GetParam();
  std::mt19937 rng(7);
  for (const int head_dim : {32, 64, 96, 128, 256}) {
    const bool long_context = head_dim == 96;  // several splits
    AttentionCase scalar(storage, head_dim, long_context ? 1400 : 150, rng);
    AttentionCase other = scalar;
    scalar.Store(ScalarKernels());
    other.Store(*table);
    EXPECT_EQ(scalar.k_blocks, other.k_blocks);
    EXPECT_EQ(scalar.v_blocks, other.v_blocks);
    const std::vector<float> queries = RandomFloats(11 * head_dim, rng, 0.2f);
    std::vector<int> first, end;
    for (int r = 0; r < 11; ++r) {
      first.push_back(r % 3 == 2 ? 40 + long_context * 500 : 0);
      end.push_back(60 + 9 * r + long_context * 1200);
    }
    EXPECT_THAT(other.Run(*table, queries, first, end),
                SameBits(scalar.Run(ScalarKernels(), queries, first, end)));
  }
}

TEST_P(EachKv, TilesOfEverySizeEqualScalar) {
  const auto [table, storage] = GetParam();
  std::mt19937 rng(12);
  constexpr int kDim = 96, kTokens = 200;
  AttentionCase cache(storage, kDim, kTokens, rng);
  cache.Store(ScalarKernels());
  for (int num_queries = 1; num_queries <= kMaxTileQueries; ++num_queries) {
    const std::vector<float> queries = RandomFloats(num_queries * kDim, rng, 0.2f);
    const std::vector<int> first(num_queries, 0);
    std::vector<int> end;
    for (int r = 0; r < num_queries; ++r) end.push_back(kTokens - num_queries + 1 + r);
    EXPECT_THAT(cache.Run(*table, queries, first, end),
                SameBits(cache.Run(ScalarKernels(), queries, first, end)))
        << num_queries << " queries";
  }
}

TEST_P(EachKv, WhatIsNoNumberIsSeenByThoseWhoLookAtIt) {
  // A key, a value or a query with a NaN or an infinity must not turn into some number.
  const auto [table, storage] = GetParam();
  constexpr int kDim = 64, kTokens = 130, kPoisoned = 70;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float poison : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::mt19937 rng(13);
    AttentionCase clean(storage, kDim, kTokens, rng);
    const std::vector<float> query = RandomFloats(kDim, rng, 0.3f);
    for (const char* where : {"key", "value", "query"}) {
      AttentionCase cache = clean;
      std::vector<float> q = query;
      if (*where == 'k') cache.keys[kPoisoned * kDim + 3] = poison;
      if (*where == 'v') cache.values[kPoisoned * kDim + 3] = poison;
      if (*where == 'q') q[5] = poison;
      cache.Store(*table);
      const std::vector<float> out = cache.Run(*table, q, {0}, {kTokens});
      // An f16 key may be infinite, and then its token rightly counts for nothing.
      const bool may_vanish = *where == 'k' && storage == KvStorage::kF16 && !std::isnan(poison);
      EXPECT_TRUE(may_vanish || !std::isfinite(out[3])) << where << " " << poison;
      if (*where == 'q') continue;
      // Before it, and in its block of 32 keys (int4) not at all.
      for (const float x : cache.Run(*table, q, {0}, {60})) EXPECT_TRUE(std::isfinite(x)) << where;
    }
  }
}

TEST_P(EachKv, AQueryDoesNotNoticeItsTile) {
  const auto [table, storage] = GetParam();
  std::mt19937 rng(8);
  constexpr int kDim = 64;
  AttentionCase cache(storage, kDim, 1300, rng);
  cache.Store(*table);
  const std::vector<float> queries = RandomFloats(13 * kDim, rng, 0.3f);
  std::vector<int> first, end;
  for (int r = 0; r < 13; ++r) {
    first.push_back(r == 4 ? 70 : r == 7 ? 600 : 0);
    end.push_back(r == 5 ? 3 : 100 + 97 * r);
  }
  const std::vector<float> together = cache.Run(*table, queries, first, end);
  for (int r = 0; r < 13; ++r) {
    const std::vector<float> query(&queries[r * kDim], &queries[r * kDim] + kDim);
    const std::vector<float> alone = cache.Run(*table, query, {first[r]}, {end[r]});
    EXPECT_THAT(alone,
                SameBits(std::vector<float>(&together[r * kDim], &together[r * kDim] + kDim)))
        << "query " << r;
  }
}

TEST_P(EachKv, AttentionApproximatesSoftmax) {
  const auto [table, storage] = GetParam();
  std::mt19937 rng(9);
  constexpr int kDim = 64, kTokens = 130;
  AttentionCase cache(storage, kDim, kTokens, rng);
  cache.Store(*table);
  const std::vector<float> query = RandomFloats(kDim, rng, 0.3f);
  const std::vector<float> out = cache.Run(*table, query, {10}, {kTokens});
  std::vector<double> weights(kTokens, 0.0), expected(kDim, 0.0);
  double total = 0;
  for (int t = 10; t < kTokens; ++t) {
    double score = 0;
    for (int d = 0; d < kDim; ++d)
      score += static_cast<double>(query[d]) * cache.keys[t * kDim + d];
    total += weights[t] = std::exp(score);
  }
  for (int t = 10; t < kTokens; ++t) {
    for (int d = 0; d < kDim; ++d) expected[d] += weights[t] / total * cache.values[t * kDim + d];
  }
  const double tolerance = storage == KvStorage::kF16    ? 1e-3
                           : storage == KvStorage::kInt8 ? 2e-2
                                                         : 2.5e-1;
  for (int d = 0; d < kDim; ++d) EXPECT_NEAR(out[d], expected[d], tolerance);
}

TEST(Dispatch, RefusesAnUnknownInstructionSetByName) {
  const auto table = FindKernels("mmx");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(table.error().message, testing::HasSubstr("mmx"));
}

TEST(Dispatch, RefusesAnInstructionSetTheCpuLacks) {
  // No CPU runs all of them.
  std::vector<std::string> refused;
  for (const char* name : {"scalar", "avx2", "avx_vnni", "avx512", "amx", "neon"}) {
    const auto table = FindKernels(name);
    if (table) {
      EXPECT_STREQ((*table)->name, name);
      continue;
    }
    EXPECT_EQ(table.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(table.error().message, testing::HasSubstr(name));
    refused.push_back(name);
  }
  EXPECT_THAT(refused, testing::Not(testing::IsEmpty()));
  EXPECT_EQ(refused.size() + AvailableKernels().size(), 6u);
}

// Sets HEARTH_FORCE_ISA for one scope.
class ForcedIsa {
 public:
  explicit ForcedIsa(const char* name) {
    if (const char* before = std::getenv("HEARTH_FORCE_ISA")) before_ = before;
    setenv("HEARTH_FORCE_ISA", name, 1);
  }
  ~ForcedIsa() {
    before_ ? setenv("HEARTH_FORCE_ISA", before_->c_str(), 1) : unsetenv("HEARTH_FORCE_ISA");
  }

 private:
  std::optional<std::string> before_;
};

TEST(Dispatch, AForcedInstructionSetIsHonouredOrRefusedAtTheStart) {
  for (const char* name : {"scalar", "avx2", "avx512", "amx", "neon", "mmx"}) {
    const ForcedIsa forced(name);
    const Status status = CheckForcedIsa();
    EXPECT_EQ(status.has_value(), FindKernels(name).has_value()) << name;
    if (status) continue;
    EXPECT_THAT(status.error().message,
                testing::HasSubstr(std::string("HEARTH_FORCE_ISA=") + name));
  }
  const ForcedIsa none("");
  EXPECT_TRUE(CheckForcedIsa());
}

TEST(Dispatch, TheProcessUsesTheForcedInstructionSetElseTheBest) {
  const char* forced = std::getenv("HEARTH_FORCE_ISA");
  const KernelTable* expected = AvailableKernels().back();
  if (forced != nullptr && FindKernels(forced)) expected = *FindKernels(forced);
  EXPECT_EQ(Kernels().name, expected->name);
}

}  // namespace
}  // namespace hearth
