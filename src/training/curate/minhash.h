#pragma once
// Shingles of words and their MinHash signatures (Broder 1997): two texts share a slot of their
// signatures with a probability that is the Jaccard similarity of their shingle sets. Sixteen bands
// of eight slots make candidates: a pair of similarity 0.8 shares a band with probability 0.947,
// one of 0.6 with 0.24, one of 0.4 with 0.01.
// Threads: pure functions.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "training/curate/compared_text.h"

namespace hearth::forge {

inline constexpr int kShingleWords = 5;
inline constexpr int kNumPermutations = 128;
inline constexpr int kNumBands = 16;
inline constexpr int kBandRows = 8;
static_assert(kNumBands * kBandRows == kNumPermutations);

using Shingle = uint64_t;
using Signature = std::array<uint32_t, kNumPermutations>;
using BandHashes = std::array<uint32_t, kNumBands>;

// A hash of every run of five words, in order, with repetitions. Fewer words are one shingle, none
// none.
void AppendShingles(std::span<const WordHash> words, std::vector<Shingle>& shingles);

// The slots' minima; all 2^32 - 1 for no shingles.
Signature MinHash(std::span<const Shingle> shingles);
BandHashes HashBands(const Signature& signature);

// Sorted, each once.
using ShingleSet = std::vector<Shingle>;
ShingleSet MakeShingleSet(std::span<const WordHash> words);
// |a and b| / |a or b|; 0 when either is empty.
double Jaccard(const ShingleSet& a, const ShingleSet& b);
// The share of slots that agree: an estimate of Jaccard with a standard error of at most 0.044.
double EstimateJaccard(const Signature& a, const Signature& b);

}  // namespace hearth::forge
