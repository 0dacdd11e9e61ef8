#include "training/curate/minhash.h"

#include <algorithm>
#include <cstring>

namespace hearth::forge {
namespace {

// Eight slots. GCC and clang know vectors of this kind on every processor.
using Lanes = uint32_t __attribute__((vector_size(32)));
constexpr int kLanes = 8;
constexpr int kBlock = 4;  // vectors of minima kept in registers at a time
constexpr int kNumVectors = kNumPermutations / kLanes;
static_assert(kNumVectors % kBlock == 0);

// The same function for AVX2 where the processor has it; the results are equal bit by bit.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define HEARTH_MINHASH_CLONES __attribute__((target_clones("avx2", "sse4.1", "default")))
#else
#define HEARTH_MINHASH_CLONES
#endif

constexpr uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// x -> a x + b (mod 2^32) with a odd is a permutation of the 32-bit numbers.
struct Permutations {
  alignas(32) std::array<uint32_t, kNumPermutations> multiply{};
  alignas(32) std::array<uint32_t, kNumPermutations> add{};
};
constexpr Permutations MakePermutations() {
  Permutations all;
  for (size_t i = 0; i < kNumPermutations; ++i) {
    const uint64_t bits = Mix((i + 1) * 0x9e3779b97f4a7c15ULL);
    all.multiply[i] = static_cast<uint32_t>(bits) | 1;
    all.add[i] = static_cast<uint32_t>(bits >> 32);
  }
  return all;
}
constexpr Permutations kPermutations = MakePermutations();

HEARTH_MINHASH_CLONES void Minima(const uint32_t* elements, size_t count, uint32_t* minima) {
  for (int first = 0; first < kNumVectors; first += kBlock) {
    Lanes multiply[kBlock], add[kBlock], lowest[kBlock];
    for (int k = 0; k < kBlock; ++k) {
      std::memcpy(&multiply[k], kPermutations.multiply.data() + (first + k) * kLanes, sizeof(Lanes));
      std::memcpy(&add[k], kPermutations.add.data() + (first + k) * kLanes, sizeof(Lanes));
      lowest[k] = Lanes{} - 1;
    }
    for (size_t i = 0; i < count; ++i) {
      const Lanes element = Lanes{} + elements[i];
      for (int k = 0; k < kBlock; ++k) {
        const Lanes value = element * multiply[k] + add[k];
        lowest[k] = value < lowest[k] ? value : lowest[k];
      }
    }
    for (int k = 0; k < kBlock; ++k)
      std::memcpy(minima + (first + k) * kLanes, &lowest[k], sizeof(Lanes));
  }
}

}  // namespace

void AppendShingles(std::span<const WordHash> words, std::vector<Shingle>& shingles) {
  if (words.empty()) return;
  constexpr uint64_t kBase = 0x9e3779b97f4a7c15ULL;
  const size_t width = std::min(words.size(), static_cast<size_t>(kShingleWords));
  const size_t count = words.size() - width + 1;
  for (size_t i = 0; i < count; ++i) {
    uint64_t hash = 0;
    for (size_t k = 0; k < width; ++k) hash = (hash + words[i + k]) * kBase;
    shingles.push_back(Mix(hash));
  }
}

Signature MinHash(std::span<const Shingle> shingles) {
  // 32 bits of each are enough: two of a text's shingles share them once in millions.
  thread_local std::vector<uint32_t> elements;
  elements.resize(shingles.size());
  for (size_t i = 0; i < shingles.size(); ++i)
    elements[i] = static_cast<uint32_t>(shingles[i] >> 32);
  alignas(32) Signature signature;
  Minima(elements.data(), elements.size(), signature.data());
  return signature;
}

BandHashes HashBands(const Signature& signature) {
  BandHashes hashes;
  for (size_t band = 0; band < kNumBands; ++band) {
    uint64_t hash = band;
    for (size_t row = 0; row < kBandRows; ++row)
      hash = Mix(hash + signature[band * kBandRows + row] + 0x9e3779b97f4a7c15ULL);
    hashes[band] = static_cast<uint32_t>(hash >> 32);
  }
  return hashes;
}

ShingleSet MakeShingleSet(std::span<const WordHash> words) {
  ShingleSet set;
  set.reserve(words.size());
  AppendShingles(words, set);
  std::ranges::sort(set);
  set.erase(std::unique(set.begin(), set.end()), set.end());
  return set;
}

double Jaccard(const ShingleSet& a, const ShingleSet& b) {
  size_t i = 0, j = 0, common = 0;
  while (i < a.size() && j < b.size()) {
    const Shingle left = a[i], right = b[j];
    common += left == right ? 1 : 0;
    i += left <= right ? 1 : 0;
    j += right <= left ? 1 : 0;
  }
  const size_t either = a.size() + b.size() - common;
  return a.empty() || b.empty() ? 0 : static_cast<double>(common) / static_cast<double>(either);
}

double EstimateJaccard(const Signature& a, const Signature& b) {
  int same = 0;
  for (size_t i = 0; i < kNumPermutations; ++i) same += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(same) / kNumPermutations;
}

}  // namespace hearth::forge
