#pragma once
// What the quality classifier sees of an answer and its prompt. Nothing here names topics: word
// order and spelling through hashed n-grams, and a few figures. Threads: pure functions.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "training/data/rows.h"

namespace hearth::forge {

// Hashed features: pairs of word classes (function words themselves, other words by shape and
// length), then letter triples.
inline constexpr size_t kClassPairBuckets = 2048;
inline constexpr size_t kLetterBuckets = 6144;
inline constexpr size_t kHashedFeatures = kClassPairBuckets + kLetterBuckets;
// Figures, each spread over the knots of a piecewise linear function.
inline constexpr size_t kNumFigures = 14;
inline constexpr size_t kKnots = 5;
inline constexpr size_t kNumFeatures = kHashedFeatures + kNumFigures * kKnots;

struct Feature {
  uint32_t index = 0;
  float value = 0;
};

// Each index once, ascending. `prompt` may be empty.
std::vector<Feature> ExtractFeatures(std::string_view prompt, std::string_view answer);

// The conversation's answers with what was asked: a text is an answer to nothing.
struct Exchange {
  std::string_view prompt, answer;
};
std::vector<Exchange> ExchangesOf(const Conversation& conversation);

}  // namespace hearth::forge
