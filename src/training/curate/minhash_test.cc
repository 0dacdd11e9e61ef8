#include "training/curate/minhash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "training/curate/union_find.h"

namespace hearth::forge {
namespace {

std::vector<WordHash> WordsOf(const std::string& text) {
  std::vector<WordHash> words;
  AppendWordHashes(NormalizeText(text), words);
  return words;
}

double JaccardOf(const std::string& a, const std::string& b) {
  return Jaccard(MakeShingleSet(WordsOf(a)), MakeShingleSet(WordsOf(b)));
}

// Two sets of `size` shingles with the given number in common.
std::pair<std::vector<Shingle>, std::vector<Shingle>> Overlapping(std::mt19937_64& random,
                                                                  size_t size, size_t common) {
  std::vector<Shingle> a, b;
  for (size_t i = 0; i < size; ++i) a.push_back(random());
  for (size_t i = 0; i < size; ++i) b.push_back(i < common ? a[i] : random());
  return {a, b};
}

TEST(ComparedText, NormalisesCaseAndWhiteSpace) {
  EXPECT_EQ(NormalizeText("  Hello \n\t World "), "hello world");
  EXPECT_EQ(NormalizeText("\xc3\x84pfel"), NormalizeText("\xc3\xa4PFEL"));
  // A letter and its accent, apart and composed.
  EXPECT_EQ(NormalizeText("e\xcc\x81tude"), NormalizeText("\xc3\x89tude"));
  EXPECT_EQ(NormalizeText("une e\xcc\x81tude, e\xcc\x81"), "une \xc3\xa9tude, \xc3\xa9");
  EXPECT_EQ(NormalizeText("\xc3\x89"), "\xc3\xa9");
  EXPECT_EQ(NormalizeText("a\xe2\x80\x99S B"), "a\xe2\x80\x99s b");
  EXPECT_EQ(NormalizeText(" \n"), "");
}

TEST(ComparedText, PunctuationSeparatesButOperatorsCount) {
  EXPECT_EQ(WordsOf("Hello, world!"), WordsOf("hello world"));
  EXPECT_NE(WordsOf("what is 3 + 4"), WordsOf("what is 3 - 4"));
  EXPECT_EQ(WordsOf("a+b").size(), 3U);
  EXPECT_TRUE(IsOperator(WordsOf("a+b")[1]));
  EXPECT_FALSE(IsOperator(WordsOf("a+b")[0]));
}

TEST(ComparedText, RolesAndBordersOfMessagesAreInTheHash) {
  const auto hash = [](std::vector<Message> messages) {
    return Compare(Conversation{std::move(messages)}).hash;
  };
  EXPECT_EQ(hash({{"user", "Hi there"}}), hash({{"user", "hi  there"}}));
  EXPECT_NE(hash({{"user", "hi there"}}), hash({{"assistant", "hi there"}}));
  EXPECT_NE(hash({{"user", "a"}, {"assistant", "b c"}}), hash({{"user", "a b"}, {"assistant", "c"}}));
}

TEST(Shingles, AreFiveWordsAndTheirJaccardIsExact) {
  std::vector<Shingle> shingles;
  AppendShingles(WordsOf("one two three four five six seven"), shingles);
  EXPECT_EQ(shingles.size(), 3U);
  EXPECT_DOUBLE_EQ(JaccardOf("a b c d e f g h", "a b c d e f g h"), 1);
  // Of 4 and 4 shingles the first 3 are common.
  EXPECT_DOUBLE_EQ(JaccardOf("a b c d e f g h", "a b c d e f g x"), 3.0 / 5);
  EXPECT_DOUBLE_EQ(JaccardOf("a b c d e f g h", "h g f e d c b a"), 0);
  // Repetitions count once.
  EXPECT_DOUBLE_EQ(JaccardOf("a a a a a a", "a a a a a a a a a"), 1);
}

TEST(Shingles, ShortTextsAreOneShingle) {
  EXPECT_DOUBLE_EQ(JaccardOf("yes", "Yes."), 1);
  EXPECT_DOUBLE_EQ(JaccardOf("yes", "no"), 0);
  EXPECT_DOUBLE_EQ(JaccardOf("", ""), 0);
}

// A signature that leans to one side would move the whole curve of candidates.
TEST(MinHash, EstimatesJaccardWithoutBias) {
  std::mt19937_64 random(1);
  for (const double wanted : {0.2, 0.5, 0.8, 0.95}) {
    constexpr size_t kSize = 200;
    // common / (2 size - common) = wanted
    const auto common = static_cast<size_t>(std::lround(2 * kSize * wanted / (1 + wanted)));
    const double exact = static_cast<double>(common) / static_cast<double>(2 * kSize - common);
    constexpr int kPairs = 400;
    double sum = 0, squares = 0;
    for (int i = 0; i < kPairs; ++i) {
      const auto [a, b] = Overlapping(random, kSize, common);
      const double estimate = EstimateJaccard(MinHash(a), MinHash(b));
      sum += estimate;
      squares += (estimate - exact) * (estimate - exact);
    }
    const double expected_error = std::sqrt(exact * (1 - exact) / kNumPermutations);
    EXPECT_NEAR(sum / kPairs, exact, 4 * expected_error / std::sqrt(kPairs)) << wanted;
    EXPECT_NEAR(std::sqrt(squares / kPairs), expected_error, 0.2 * expected_error) << wanted;
  }
}

TEST(MinHash, BandsMeetAsOftenAsTheorySays) {
  std::mt19937_64 random(2);
  for (const double wanted : {0.5, 0.8, 0.9}) {
    constexpr size_t kSize = 180;
    const auto common = static_cast<size_t>(std::lround(2 * kSize * wanted / (1 + wanted)));
    const double exact = static_cast<double>(common) / static_cast<double>(2 * kSize - common);
    const double expected = 1 - std::pow(1 - std::pow(exact, kBandRows), kNumBands);
    constexpr int kPairs = 1000;
    int met = 0;
    for (int i = 0; i < kPairs; ++i) {
      const auto [a, b] = Overlapping(random, kSize, common);
      const BandHashes left = HashBands(MinHash(a)), right = HashBands(MinHash(b));
      bool any = false;
      for (size_t band = 0; band < kNumBands; ++band) any |= left[band] == right[band];
      met += any ? 1 : 0;
    }
    EXPECT_NEAR(met / 1000.0, expected, 0.04) << wanted;
  }
}

TEST(MinHash, OrderAndRepetitionDoNotMatter) {
  const std::vector<Shingle> shingles = {5ULL << 40, 9ULL << 40, 77ULL << 40};
  const std::vector<Shingle> again = {77ULL << 40, 5ULL << 40, 9ULL << 40, 5ULL << 40};
  EXPECT_EQ(MinHash(shingles), MinHash(again));
}

TEST(UnionFind, JoinsTransitivelyWhateverTheOrder) {
  UnionFind forward(6), backward(6);
  forward.Join(0, 2);
  forward.Join(2, 4);
  backward.Join(4, 2);
  backward.Join(2, 0);
  EXPECT_FALSE(forward.Join(0, 4));
  for (const UnionFind* clusters : {&forward, &backward}) {
    EXPECT_EQ(clusters->Root(4), 0U);
    EXPECT_EQ(clusters->Root(3), 3U);
  }
}

}  // namespace
}  // namespace hearth::forge
