// The hand-written scanners against PCRE2 running the published patterns, and their cost on hostile
// input.

#include "runtime/tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcre2.h>

#include <random>
#include <string>

#include "runtime/tokenizer/char_class.h"
#include "runtime/tokenizer/word_patterns.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Pattern {
 public:
  explicit Pattern(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.c_str()), pattern.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    EXPECT_NE(code_, nullptr) << pattern << " at " << offset;
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  ~Pattern() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }

  // Ends of the matches and of what lies between them.
  std::vector<size_t> Split(const std::string& text) const {
    std::vector<size_t> ends;
    size_t begin = 0;
    while (begin < text.size()) {
      const int count = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.c_str()), text.size(),
                                    begin, PCRE2_NOTEMPTY, match_, nullptr);
      if (count < 0) {
        EXPECT_EQ(count, PCRE2_ERROR_NOMATCH);
        break;
      }
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match_);
      if (bounds[0] > begin) ends.push_back(bounds[0]);
      ends.push_back(bounds[1]);
      begin = bounds[1];
    }
    if (begin < text.size()) ends.push_back(text.size());
    return ends;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

const std::string kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string kEnd = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kContraction = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
const std::string kUpper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
const std::string kLower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
const std::string kPrefix = R"([^\r\n\p{L}\p{N}]?)";

std::string CasedPattern(const std::string& contraction, const std::string& digits) {
  return kPrefix + kUpper + "*" + kLower + "+" + contraction + "|" + kPrefix + kUpper + "+" +
         kLower + "*" + contraction + "|" + digits + R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kEnd;
}

struct Case {
  const char* name;
  std::vector<std::string> stages;
};

std::vector<Case> Cases() {
  const std::string llama3_tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kEnd;
  return {
      {"gpt-2", {kGpt2}},
      {"smollm", {R"(\p{N})", kGpt2}},
      {"llama-bpe", {kContraction + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})" + llama3_tail}},
      {"qwen2", {kContraction + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" + llama3_tail}},
      {"qwen35",
       {kContraction + R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" +
        kEnd}},
      {"gpt-4o", {CasedPattern(kContraction + "?", R"(\p{N}{1,3})")}},
      {"tekken", {CasedPattern("", R"(\p{N})")}},
      {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
}

std::vector<size_t> SplitInStages(const std::vector<std::unique_ptr<Pattern>>& stages,
                                  const std::string& text, size_t stage = 0) {
  std::vector<size_t> ends;
  size_t begin = 0;
  for (const size_t end : stages[stage]->Split(text)) {
    if (stage + 1 == stages.size()) {
      ends.push_back(end);
    } else {
      for (const size_t inner : SplitInStages(stages, text.substr(begin, end - begin), stage + 1)) {
        ends.push_back(begin + inner);
      }
    }
    begin = end;
  }
  return ends;
}

// Characters that every Unicode version of the last decade files alike, in odd company.
const std::vector<std::string> kFragments = {
    "a",      "b",      "Z",       "Q",      "the",    "HTTP",   "é",
    "É",      "ß",      "ǅ",       "я",      "Ж",      "ʰ",      "ª",
    "中",     "文",     "あ",      "ﬁ",      "한",     "ا",      "\u0301",
    "\u0300", "\u093E", "\u20DD",  "0",      "1",      "42",     "1234567",
    "٣",      "Ⅷ",      "½",       "²",      " ",      "  ",     "   ",
    "\t",     "\n",     "\r\n",    "\n\n",   "\r",     "\u00A0", "\u2003",
    "\u3000", "\u0085", "\u2028",  "\v",     "'",      "'s",     "'S",
    "'t",     "'re",    "'RE",     "'Ve",    "'ll",    "'lL",    "'d",
    "'m",     "\u017F", "'\u017F", "''",     ".",      ",",      "!",
    "?",      "/",      "//",      "\\",     "-",      "_",      "(",
    ")",      "$",      "+",       "=",      "<",      ">",      "|",
    "~",      "^",      "`",       "€",      "«",      "…",      "。",
    "∑",      "→",      "☃",       "😀",      "\u200D", "\uFE0F", std::string(1, '\0'),
    "\x01",   "\x7F",   "\u00AD",  "\uE000",
};

class PreTokenizerOracleTest : public ::testing::TestWithParam<int> {};

TEST_P(PreTokenizerOracleTest, SplitsLikeTheRegularExpression) {
  const Case tested = Cases()[static_cast<size_t>(GetParam())];
  const auto pre = PreTokenizer::ForName(tested.name);
  ASSERT_TRUE(pre) << pre.error().message;
  std::vector<std::unique_ptr<Pattern>> stages;
  for (const std::string& stage : tested.stages) stages.push_back(std::make_unique<Pattern>(stage));

  std::mt19937 random(static_cast<unsigned>(GetParam()) + 1);
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text;
    // Few kinds of fragment a text, so that runs and repeats are common.
    std::vector<std::string> kinds;
    for (unsigned i = 0; i < 2 + random() % 6; ++i)
      kinds.push_back(kFragments[random() % kFragments.size()]);
    for (unsigned i = 0; i < 1 + random() % 14; ++i) text += kinds[random() % kinds.size()];
    ASSERT_EQ(pre->WordEnds(text), SplitInStages(stages, text))
        << ::testing::PrintToString(text) << ", trial " << trial;
  }
}

INSTANTIATE_TEST_SUITE_P(Patterns, PreTokenizerOracleTest, ::testing::Range(0, 8),
                         [](const auto& tested) {
                           std::string name = Cases()[static_cast<size_t>(tested.param)].name;
                           std::erase(name, '-');
                           return name;
                         });

TEST(PreTokenizer, AnUnknownOneIsRefusedByName) {
  const auto pre = PreTokenizer::ForName("qwen99");
  ASSERT_FALSE(pre);
  EXPECT_EQ(pre.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(pre.error().message, HasSubstr("qwen99"));
}

TEST(PreTokenizer, BrokenUtf8IsCutSomewhereAndNothingIsLost) {
  for (const Case& tested : Cases()) {
    const auto pre = PreTokenizer::ForName(tested.name);
    ASSERT_TRUE(pre);
    EXPECT_TRUE(pre->WordEnds("").empty());
    std::mt19937 random(3);
    for (int trial = 0; trial < 2000; ++trial) {
      std::string text;
      for (unsigned i = 0; i < 1 + random() % 24; ++i) text += static_cast<char>(random() % 256);
      size_t begin = 0;
      for (const size_t end : pre->WordEnds(text)) {
        ASSERT_GT(end, begin);
        begin = end;
      }
      ASSERT_EQ(begin, text.size());
    }
  }
}

TEST(PreTokenizer, KnowsWhatTheFamiliesDo) {
  const auto llama = PreTokenizer::ForName("llama-bpe");
  const auto smollm = PreTokenizer::ForName("smollm");
  ASSERT_TRUE(llama && smollm);
  EXPECT_TRUE(llama->adds_bos() && llama->prefers_whole_words());
  EXPECT_FALSE(smollm->adds_bos() || smollm->prefers_whole_words());
  EXPECT_THAT(llama->WordEnds("ab 1234"), ElementsAre(2, 3, 6, 7));
  EXPECT_THAT(smollm->WordEnds("ab 12"), ElementsAre(2, 3, 4, 5));
}

// Text that counts how often it is looked at.
struct CountingText {
  const char* bytes;
  const uint8_t* classes;
  size_t* looks;
  char Byte(size_t position) const {
    ++*looks;
    return bytes[position];
  }
  uint8_t Class(size_t position) const {
    ++*looks;
    return classes[position];
  }
};

using Scanner = size_t (*)(const CountingText&, size_t, size_t);

size_t Looks(Scanner scanner, const std::string& text) {
  const std::vector<uint8_t> classes = ClassifyBytes(text);
  size_t looks = 0;
  const CountingText counting{text.data(), classes.data(), &looks};
  for (size_t begin = 0; begin < text.size(); begin = scanner(counting, begin, text.size())) {
  }
  return looks;
}

TEST(WordPatterns, CostIsLinearOnHostileText) {
  using namespace word_patterns;
  const Scanner scanners[] = {Gpt2<CountingText>,
                              Llama3<kLetters, 3, CountingText>,
                              Llama3<kLetters, 1, CountingText>,
                              Llama3<kLetters | kMarks, 1, CountingText>,
                              Cased<true, 3, CountingText>,
                              Cased<false, 1, CountingText>,
                              SingleNumbers<CountingText>,
                              Runs<kNumbers, CountingText>,
                              DigitTriples<CountingText>};
  const std::string repeats[] = {"A",       "a",  " ",  "\n",     " \n",  "\n ",     "1",
                                 "'",       "/",  "中", "中A",    "A中",  "Aa",      "\u0301",
                                 "\u0301A", "!A", "! ", " a",     "\t",   "12 ",     "\u00A0",
                                 ".\n",     "\r", "'l", "\u2003", "\xE4", "A\u0301", "a'r"};
  const std::string tails[] = {"", "x", "X", "\n", "中", " ", "1"};
  for (const Scanner scanner : scanners) {
    for (const std::string& repeat : repeats) {
      for (const std::string& tail : tails) {
        std::string text;
        while (text.size() < 8192) text += repeat;
        text += tail;
        EXPECT_LE(Looks(scanner, text), 24 * text.size())
            << "scanner " << &scanner - scanners << ", " << ::testing::PrintToString(repeat);
      }
    }
  }
}

}  // namespace
}  // namespace hearth
