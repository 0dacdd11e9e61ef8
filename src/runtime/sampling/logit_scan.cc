#include "runtime/sampling/logit_scan.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

#include "runtime/sampling/portable_math.h"

namespace hearth {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
constexpr float kWeightOne = 0x1p29f;  // four of them fit 32 bits
constexpr int kLanes = 4;              // of a Float4

Float4 Load(const float* logits) {
  Float4 lanes;
  std::memcpy(&lanes, logits, sizeof(lanes));
  return lanes;
}

// `best` when x is NaN.
template <typename Float>
Float Larger(Float x, Float best) {
  return x > best ? x : best;
}

// Four chains, because each must run in order and one would wait for its own latency.
float BlockMax(const float* logits) {
  Float4 best[4];
  for (Float4& lanes : best) lanes = Float4{} + kNegativeInfinity;
  for (int start = 0; start < kLogitBlock; start += 4 * kLanes) {
    for (int chain = 0; chain < 4; ++chain) {
      best[chain] = Larger(Load(logits + start + chain * kLanes), best[chain]);
    }
  }
  const Float4 lanes = Larger(Larger(best[0], best[1]), Larger(best[2], best[3]));
  return Larger(Larger(lanes[0], lanes[1]), Larger(lanes[2], lanes[3]));
}

float TailMax(std::span<const float> logits) {
  float best = kNegativeInfinity;
  for (const float logit : logits) best = Larger(logit, best);
  return best;
}

TokenId FirstEqual(std::span<const float> logits, size_t start, float value) {
  for (size_t i = start; i < logits.size(); ++i) {
    if (logits[i] == value) return static_cast<TokenId>(i);
  }
  return 0;
}

int64_t BlockWeight(const float* logits, float max_logit, float inverse_temperature) {
  Uint4 sums[4] = {};
  for (int start = 0; start < kLogitBlock; start += 4 * kLanes) {
    for (int chain = 0; chain < 4; ++chain) {
      const Float4 lanes = Load(logits + start + chain * kLanes);
      const Float4 weights = PortableExp((lanes - max_logit) * inverse_temperature) * kWeightOne;
      sums[chain] += std::bit_cast<Uint4>(__builtin_convertvector(weights, Int4));
    }
  }
  int64_t total = 0;
  for (const Uint4& lanes : sums) {
    for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane];
  }
  return total;
}

float BlockExpSum(const float* logits, float max_logit) {
  Float4 sums[4] = {};
  for (int start = 0; start < kLogitBlock; start += 4 * kLanes) {
    for (int chain = 0; chain < 4; ++chain) {
      sums[chain] += PortableExp(Load(logits + start + chain * kLanes) - max_logit);
    }
  }
  const Float4 lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

size_t BlockEnd(size_t block, size_t size) { return std::min((block + 1) * kLogitBlock, size); }

}  // namespace

void ScanMaxima(std::span<const float> logits, LogitMaxima& maxima) {
  const size_t num_full = logits.size() / kLogitBlock;
  maxima.blocks.clear();
  maxima.max = kNegativeInfinity;
  size_t best_block = 0;
  auto add = [&](float block_max) {
    if (block_max > maxima.max) {
      maxima.max = block_max;
      best_block = maxima.blocks.size();
    }
    maxima.blocks.push_back(block_max);
  };
  for (size_t block = 0; block < num_full; ++block) {
    add(BlockMax(logits.data() + block * kLogitBlock));
  }
  if (logits.size() % kLogitBlock != 0) add(TailMax(logits.subspan(num_full * kLogitBlock)));
  maxima.argmax = maxima.max == kNegativeInfinity
                      ? 0
                      : FirstEqual(logits, best_block * kLogitBlock, maxima.max);
}

TokenId Argmax(std::span<const float> logits) {
  const size_t num_full = logits.size() / kLogitBlock;
  float max = kNegativeInfinity;
  size_t best_start = 0;
  auto consider = [&](float block_max, size_t start) {
    if (block_max > max) {
      max = block_max;
      best_start = start;
    }
  };
  for (size_t block = 0; block < num_full; ++block) {
    consider(BlockMax(logits.data() + block * kLogitBlock), block * kLogitBlock);
  }
  const size_t tail = num_full * kLogitBlock;
  consider(TailMax(logits.subspan(tail)), tail);
  return max == kNegativeInfinity ? 0 : FirstEqual(logits, best_start, max);
}

void CollectAtLeast(std::span<const float> logits, const LogitMaxima& maxima, float threshold,
                    std::vector<Candidate>& candidates) {
  candidates.clear();
  for (size_t block = 0; block < maxima.blocks.size(); ++block) {
    if (!(maxima.blocks[block] >= threshold)) continue;
    for (size_t i = block * kLogitBlock; i < BlockEnd(block, logits.size()); ++i) {
      if (logits[i] >= threshold) candidates.push_back({logits[i], static_cast<TokenId>(i), 0});
    }
  }
}

// The k-th largest block maximum is no larger than the k-th largest logit: k blocks hold at least
// one that large each. So everything below it is out, and what remains is about k blocks.
void CollectTopK(std::span<const float> logits, const LogitMaxima& maxima, int k,
                 std::vector<float>& block_scratch, std::vector<Candidate>& candidates) {
  const size_t wanted = static_cast<size_t>(std::max(k, 0));
  candidates.clear();
  if (wanted == 0) return;
  float threshold = std::numeric_limits<float>::lowest();
  if (wanted <= maxima.blocks.size()) {
    block_scratch = maxima.blocks;
    const auto kth = block_scratch.begin() + static_cast<std::ptrdiff_t>(wanted - 1);
    std::nth_element(block_scratch.begin(), kth, block_scratch.end(), std::greater<>());
    threshold = std::max(threshold, *kth);
  }
  CollectAtLeast(logits, maxima, threshold, candidates);
  if (candidates.size() <= wanted) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(wanted - 1),
                   candidates.end(), MoreLikely);
  candidates.resize(wanted);
}

uint32_t FixedWeight(float logit, float max_logit, float inverse_temperature) {
  return static_cast<uint32_t>(PortableExp((logit - max_logit) * inverse_temperature) * kWeightOne);
}

int64_t TotalFixedWeight(std::span<const float> logits, const LogitMaxima& maxima,
                         float inverse_temperature) {
  int64_t total = 0;
  for (size_t block = 0; block < maxima.blocks.size(); ++block) {
    if (FixedWeight(maxima.blocks[block], maxima.max, inverse_temperature) == 0) continue;
    const size_t start = block * kLogitBlock;
    const size_t end = BlockEnd(block, logits.size());
    if (end - start == kLogitBlock) {
      total += BlockWeight(logits.data() + start, maxima.max, inverse_temperature);
    } else {
      for (size_t i = start; i < end; ++i) {
        total += FixedWeight(logits[i], maxima.max, inverse_temperature);
      }
    }
  }
  return total;
}

double LogSumExp(std::span<const float> logits, float max_logit) {
  const size_t num_full = logits.size() / kLogitBlock;
  double total = 0;
  for (size_t block = 0; block < num_full; ++block) {
    total += static_cast<double>(BlockExpSum(logits.data() + block * kLogitBlock, max_logit));
  }
  for (size_t i = num_full * kLogitBlock; i < logits.size(); ++i) {
    total += static_cast<double>(PortableExp(logits[i] - max_logit));
  }
  return static_cast<double>(max_logit) + PortableLog(total);
}

}  // namespace hearth
