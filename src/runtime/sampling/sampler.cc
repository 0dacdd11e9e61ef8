#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <sstream>

#include "runtime/sampling/logprobs.h"
#include "runtime/sampling/noise.h"
#include "runtime/sampling/portable_math.h"

namespace hearth {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
constexpr float kMaxBias = 1000.0f;  // far beyond any use, and no sum of a few overflows
constexpr float kMaxInverseTemperature = 1e30f;

template <typename T>
Status Reject(const std::string& field, T value, const std::string& requirement) {
  std::ostringstream message;
  message << field << " is " << value << ", but " << requirement;
  return MakeError(ErrorCode::kInvalidArgument, message.str());
}

// The token whose logit plus noise is largest; the lower id of two equal scores.
struct BestScore {
  double score = -std::numeric_limits<double>::infinity();
  TokenId id = -1;

  void Offer(double new_score, TokenId new_id) {
    if (new_score > score || (new_score == score && new_id < id)) {
      score = new_score;
      id = new_id;
    }
  }
};

class NoisyScore {
 public:
  NoisyScore(const SamplingOptions& options, int64_t position)
      : noise_(options.seed, static_cast<uint32_t>(options.choice),
               static_cast<uint64_t>(position)),
        inverse_temperature_(1.0 / static_cast<double>(options.temperature)) {}

  uint64_t Bits(TokenId id) const { return noise_.Bits(static_cast<uint32_t>(id)); }
  double Scaled(float logit) const { return static_cast<double>(logit) * inverse_temperature_; }
  // Most tokens cannot win with the leading bits they have, and are spared the logarithms.
  void Offer(float logit, TokenId id, uint64_t bits, BestScore& best) const {
    const double scaled = Scaled(logit);
    if (scaled + NoiseStream::GumbelBound(std::countl_one(bits)) < best.score) return;
    best.Offer(scaled + NoiseStream::Gumbel(bits), id);
  }

 private:
  NoiseStream noise_;
  double inverse_temperature_;
};

TokenId DrawFrom(const std::vector<Candidate>& candidates, const NoisyScore& noisy) {
  BestScore best;
  for (const Candidate& c : candidates) noisy.Offer(c.logit, c.id, noisy.Bits(c.id), best);
  return best.id;
}

// How many leading ones a token's noise bits need, at least, before its logit and noise together
// can reach a score that lies `distance` above the logit: the smallest n with GumbelBound(n) >=
// distance, without a loop.
int LeadingOnesNeeded(double distance) {
  constexpr double kInverseLn2 = 1.4426950408889634;
  if (!(distance > 0)) return 0;
  return std::min(static_cast<int>(std::max(distance * kInverseLn2 - 1e-6, 0.0)), 52);
}

// The same token as drawing from all of them, but a logarithm is taken only for the few whose noise
// could win: the most likely token sets a score, and per block its largest logit says how large the
// noise must be, which is a comparison of raw random bits.
TokenId DrawFromAll(std::span<const float> logits, const LogitMaxima& maxima,
                    const NoisyScore& noisy) {
  BestScore best;
  noisy.Offer(maxima.max, maxima.argmax, noisy.Bits(maxima.argmax), best);
  for (size_t block = 0; block < maxima.blocks.size(); ++block) {
    const double block_max = noisy.Scaled(maxima.blocks[block]);
    if (!(block_max + NoiseStream::kMaxGumbel >= best.score)) continue;
    const int ones = LeadingOnesNeeded(best.score - block_max);
    const uint64_t least_bits = ones == 0 ? 0 : ~uint64_t{0} << (64 - ones);
    const size_t end = std::min((block + 1) * kLogitBlock, logits.size());
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      const TokenId id = static_cast<TokenId>(i);
      const uint64_t bits = noisy.Bits(id);
      if (bits < least_bits) continue;
      noisy.Offer(logits[i], id, bits, best);
    }
  }
  return best.id;
}

// The weight that top_p asks for; at least 1, so that one token always remains.
int64_t PartOf(int64_t total, float top_p) {
  return std::max<int64_t>(
      static_cast<int64_t>(std::ceil(static_cast<double>(total) * static_cast<double>(top_p))), 1);
}

}  // namespace

Status ValidateSamplingOptions(const SamplingOptions& options, int vocab_size) {
  const SamplingOptions& o = options;
  if (!std::isfinite(o.temperature) || o.temperature < 0) {
    return Reject("temperature", o.temperature, "it must be 0 (greedy) or a positive number");
  }
  if (o.top_k < 0) return Reject("top_k", o.top_k, "it must be 0 (off) or a positive number");
  if (!(o.top_p > 0 && o.top_p <= 1)) {
    return Reject("top_p", o.top_p, "it must be above 0 and at most 1");
  }
  if (!(o.min_p >= 0 && o.min_p <= 1)) return Reject("min_p", o.min_p, "it must be from 0 to 1");
  if (!(o.repetition_penalty > 0 && o.repetition_penalty <= kMaxBias)) {
    return Reject("repetition_penalty", o.repetition_penalty,
                  "it must be above 0 and at most 1000; 1 is off");
  }
  if (!(std::abs(o.presence_penalty) <= kMaxBias)) {
    return Reject("presence_penalty", o.presence_penalty, "it must be from -1000 to 1000");
  }
  if (!(std::abs(o.frequency_penalty) <= kMaxBias)) {
    return Reject("frequency_penalty", o.frequency_penalty, "it must be from -1000 to 1000");
  }
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return Reject("logit_bias", id,
                    "token ids must be from 0 to " + std::to_string(vocab_size - 1));
    }
    if (!(std::abs(bias) <= kMaxBias) && bias != kNegativeInfinity) {
      return Reject("logit_bias of token " + std::to_string(id), bias,
                    "it must be from -1000 to 1000 or -infinity");
    }
  }
  if (o.choice < 0) return Reject("choice", o.choice, "it must not be negative");
  if (o.num_top_logprobs < -1 || o.num_top_logprobs > vocab_size) {
    return Reject("top_logprobs", o.num_top_logprobs,
                  "it must be from 0 to " + std::to_string(vocab_size));
  }
  return {};
}

Sampler::Sampler(SamplingOptions options, int vocab_size, std::span<const TokenId> prompt)
    : options_(std::move(options)), vocab_size_(vocab_size) {
  if (options_.temperature > 0) {
    inverse_temperature_ = std::min(1.0f / options_.temperature, kMaxInverseTemperature);
  }
  if (options_.num_top_logprobs >= 0) logprobs_ = std::make_unique<LogprobReader>();
  if (options_.repetition_penalty == 1.0f) return;
  seen_.resize(static_cast<size_t>(vocab_size_));
  for (const TokenId id : prompt) MarkSeen(id);
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&& other) noexcept = default;
Sampler& Sampler::operator=(Sampler&& other) noexcept = default;

SampledToken Sampler::Sample(std::span<const float> logits, int64_t position) {
  SampledToken token;
  token.id = Draw(Penalised(logits), position);
  if (logprobs_) logprobs_->Fill(logits, options_.num_top_logprobs, token);
  return token;
}

void Sampler::Accept(TokenId id) {
  if (id < 0 || id >= vocab_size_) return;
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) ++answer_counts_[id];
  if (!seen_.empty()) MarkSeen(id);
}

void Sampler::MarkSeen(TokenId id) {
  if (id < 0 || id >= vocab_size_ || seen_[static_cast<size_t>(id)]) return;
  seen_[static_cast<size_t>(id)] = true;
  seen_ids_.push_back(id);
}

// Steps 1 to 3. The common request has none of them and its logits are not copied.
std::span<const float> Sampler::Penalised(std::span<const float> logits) {
  if (options_.logit_bias.empty() && seen_ids_.empty() && answer_counts_.empty()) return logits;
  processed_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : options_.logit_bias) processed_[static_cast<size_t>(id)] += bias;
  for (const TokenId id : seen_ids_) {
    float& logit = processed_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
  for (const auto& [id, count] : answer_counts_) {
    processed_[static_cast<size_t>(id)] -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
  return processed_;
}

// Steps 4 to 7 and the noise. Dividing by the temperature keeps the order, so thresholds are taken
// on the logits themselves.
TokenId Sampler::Draw(std::span<const float> logits, int64_t position) {
  if (options_.temperature == 0) return Argmax(logits);
  ScanMaxima(logits, maxima_);
  if (!std::isfinite(maxima_.max)) return maxima_.argmax;

  const NoisyScore noisy(options_, position);
  const bool top_k = options_.top_k > 0 && options_.top_k < vocab_size_;
  if (!top_k && options_.top_p >= 1 && options_.min_p <= 0) {
    return DrawFromAll(logits, maxima_, noisy);
  }
  if (top_k) {
    CollectTopK(logits, maxima_, options_.top_k, block_scratch_, candidates_);
    if (options_.top_p < 1) KeepWeight(PartOf(WeighCandidates(), options_.top_p));
  } else if (options_.top_p < 1) {
    const int64_t total = TotalFixedWeight(logits, maxima_, inverse_temperature_);
    const int64_t wanted = PartOf(total, options_.top_p);
    CollectForTopP(logits, wanted, total);
    KeepWeight(wanted);
  } else {
    CollectAtLeast(logits, maxima_, MinPThreshold(), candidates_);
  }
  if (options_.min_p > 0) {
    const float threshold = MinPThreshold();
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < threshold; });
  }
  return DrawFrom(candidates_, noisy);
}

// Sets every candidate's weight; returns their sum.
int64_t Sampler::WeighCandidates() {
  int64_t total = 0;
  for (Candidate& c : candidates_) {
    c.weight = FixedWeight(c.logit, maxima_.max, inverse_temperature_);
    total += c.weight;
  }
  return total;
}

// All tokens down to some logit, few if possible, that together weigh `wanted` of `total`. Most
// distributions are narrow and a handful of tokens will do. Else the tail is judged by one token of
// each block: it may weigh what is not wanted, and is taken to be a little lighter than that.
void Sampler::CollectForTopP(std::span<const float> logits, int64_t wanted, int64_t total) {
  constexpr int kHandful = 64;
  constexpr double kCaution = 0.75;
  CollectTopK(logits, maxima_, kHandful, block_scratch_, candidates_);
  if (WeighCandidates() >= wanted) return;

  block_scratch_.clear();
  for (size_t i = 0; i < logits.size(); i += kLogitBlock) {
    if (!std::isnan(logits[i])) block_scratch_.push_back(logits[i]);
  }
  std::sort(block_scratch_.begin(), block_scratch_.end());
  double tail = static_cast<double>(total - wanted) * kCaution;
  float threshold = std::numeric_limits<float>::lowest();
  for (const float logit : block_scratch_) {
    tail -=
        kLogitBlock * static_cast<double>(FixedWeight(logit, maxima_.max, inverse_temperature_));
    if (tail < 0) break;
    threshold = std::max(threshold, logit);
  }
  CollectAtLeast(logits, maxima_, threshold, candidates_);
  if (WeighCandidates() >= wanted) return;
  CollectAtLeast(logits, maxima_, std::numeric_limits<float>::lowest(), candidates_);
  WeighCandidates();
}

// Keeps the fewest most likely candidates, all of them weighed, that together weigh
// `wanted_weight`. As quickselect finds the k-th element without sorting all, this finds the place
// where the weights sum up: the answer lies in [begin, end), and what stands before begin weighs
// `before`.
void Sampler::KeepWeight(int64_t wanted_weight) {
  constexpr std::ptrdiff_t kFewEnoughToSort = 32;
  auto begin = candidates_.begin();
  auto end = candidates_.end();
  int64_t before = 0;
  while (end - begin > kFewEnoughToSort) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, MoreLikely);
    int64_t first_half = 0;
    for (auto it = begin; it != middle; ++it) first_half += it->weight;
    if (before + first_half >= wanted_weight) {
      end = middle;
    } else {
      before += first_half;
      begin = middle;
    }
  }
  std::sort(begin, end, MoreLikely);
  for (; begin != end && before < wanted_weight; ++begin) before += begin->weight;
  candidates_.erase(begin, candidates_.end());
}

float Sampler::MinPThreshold() const {
  const double depth =
      static_cast<double>(options_.temperature) * PortableLog(static_cast<double>(options_.min_p));
  return static_cast<float>(std::max(static_cast<double>(maxima_.max) + depth,
                                     static_cast<double>(std::numeric_limits<float>::lowest())));
}

}  // namespace hearth
