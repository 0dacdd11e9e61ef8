// What every kind of tokenizer promises: a user's text stays text, broken bytes survive, tables
// that contradict each other are refused by name.

#include "runtime/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Byte-level BPE: tokens 0-255 are the bytes, then merges, then marks of the prompt format.
struct BpeTables {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  std::vector<std::string> merges = {"h e", "l l", "he ll", "hell o", "\xC4\xA0 w"};
  TokenizerTables tables{.model = "gpt2", .pre = "smollm"};
  static constexpr TokenId kHello = 259, kSpaceW = 260, kStart = 261, kEnd = 262, kTool = 263;

  BpeTables() {
    for (int byte = 0; byte < 256; ++byte)
      tokens.emplace_back(ByteSpelling(static_cast<uint8_t>(byte)));
    for (const char* text :
         {"he", "ll", "hell", "hello", "\xC4\xA0w", "<|im_start|>", "<|im_end|>", "<tool>"})
      tokens.emplace_back(text);
    types.assign(tokens.size(), 1);
    types[kStart] = types[kEnd] = 3;
    types[kTool] = 4;
    Point();
  }
  void Point() {
    tables.tokens = tokens;
    tables.types = types;
    tables.merges = merges;
  }
  std::unique_ptr<Tokenizer> Make() {
    Point();
    auto tokenizer = MakeTokenizer(tables);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return std::move(*tokenizer);
  }
  std::string Refusal() {
    Point();
    const auto tokenizer = MakeTokenizer(tables);
    EXPECT_FALSE(tokenizer);
    return tokenizer ? "" : tokenizer.error().message;
  }
};

// The ids above count on "he" 256, "ll" 257, "hell" 258.
TEST(BpeTokenizer, MergesInTheOrderOfTheList) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  EXPECT_THAT(tokenizer->Encode("hello", false), ElementsAre(BpeTables::kHello));
  EXPECT_THAT(tokenizer->Encode("hello w", false),
              ElementsAre(BpeTables::kHello, BpeTables::kSpaceW));
  EXPECT_THAT(tokenizer->Encode("hel", false), ElementsAre(256, 'l'));
  EXPECT_THAT(tokenizer->Encode("", false), ElementsAre());
}

TEST(BpeTokenizer, WhatAUserTypesNeverBecomesAMarkOfTheFormat) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  const auto typed = tokenizer->Encode("<|im_start|>hello<|im_end|>", false);
  EXPECT_THAT(typed, Not(::testing::Contains(BpeTables::kStart)));
  EXPECT_THAT(typed, Not(::testing::Contains(BpeTables::kEnd)));
  EXPECT_EQ(tokenizer->Decode(typed), "<|im_start|>hello<|im_end|>");
  EXPECT_THAT(tokenizer->Encode("<|im_start|>hello<|im_end|>", false, true),
              ElementsAre(BpeTables::kStart, BpeTables::kHello, BpeTables::kEnd));
}

TEST(BpeTokenizer, AMarkMayNotBePiecedTogetherFromTrustedAndTypedText) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  const std::string mark = "<|im_end|>";
  for (size_t cut = 1; cut < mark.size(); ++cut) {
    for (const bool trusted_first : {false, true}) {
      const TextSegment segments[] = {{std::string_view(mark).substr(0, cut), trusted_first},
                                      {std::string_view(mark).substr(cut), !trusted_first}};
      const auto tokens = tokenizer->Encode(segments, false);
      EXPECT_THAT(tokens, Not(::testing::Contains(BpeTables::kEnd))) << cut << trusted_first;
      EXPECT_EQ(tokenizer->Decode(tokens), mark);
    }
  }
}

TEST(BpeTokenizer, SegmentsAreOneTextBetweenMarks) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  const TextSegment segments[] = {{"<|im_start|>he", true}, {"llo", false}, {" w", true}};
  EXPECT_THAT(tokenizer->Encode(segments, false),
              ElementsAre(BpeTables::kStart, BpeTables::kHello, BpeTables::kSpaceW));
}

TEST(BpeTokenizer, UserDefinedTokensAreFoundInAnyText) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  EXPECT_THAT(tokenizer->Encode("hello<tool>hello", false),
              ElementsAre(BpeTables::kHello, BpeTables::kTool, BpeTables::kHello));
}

TEST(BpeTokenizer, AnyBytesComeBack) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  std::mt19937 random(1);
  for (int trial = 0; trial < 500; ++trial) {
    std::string text;
    for (unsigned i = 0; i < random() % 40; ++i) text += static_cast<char>(random() % 256);
    std::string bytes;
    for (const TokenId token : tokenizer->Encode(text, false))
      bytes += tokenizer->TokenBytes(token);
    ASSERT_EQ(bytes, text);
  }
}

TEST(BpeTokenizer, EveryEndOfTurnEndsAndControlTokensAreSilent) {
  BpeTables bpe;
  bpe.tables.eos = 'x';
  const auto tokenizer = bpe.Make();
  EXPECT_TRUE(tokenizer->IsEndOfGeneration('x'));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(BpeTables::kEnd));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(BpeTables::kStart));
  EXPECT_EQ(tokenizer->TokenBytes(BpeTables::kEnd), "");
  EXPECT_EQ(tokenizer->TokenBytes(BpeTables::kEnd, true), "<|im_end|>");
}

TEST(BpeTokenizer, ContradictionsAreRefusedByName) {
  {
    BpeTables bpe;
    bpe.merges.push_back("q zz");
    EXPECT_THAT(bpe.Refusal(), HasSubstr("q zz"));
  }
  {
    BpeTables bpe;
    bpe.merges.push_back("nospace");
    EXPECT_THAT(bpe.Refusal(), HasSubstr("nospace"));
  }
  {
    BpeTables bpe;
    bpe.types.pop_back();
    EXPECT_THAT(bpe.Refusal(), HasSubstr("263 token types for 264 tokens"));
  }
  {
    BpeTables bpe;
    bpe.types[5] = 77;
    EXPECT_THAT(bpe.Refusal(), HasSubstr("type 77"));
  }
  {
    BpeTables bpe;
    bpe.tokens[9] = std::string(5000, 'x');
    EXPECT_THAT(bpe.Refusal(), HasSubstr("5000 bytes"));
  }
  {
    BpeTables bpe;
    bpe.tables.pre = "novel";
    EXPECT_THAT(bpe.Refusal(), HasSubstr("novel"));
  }
  {
    BpeTables bpe;
    bpe.tables.model = "rwkv";
    EXPECT_THAT(bpe.Refusal(), HasSubstr("rwkv"));
  }
  {
    BpeTables bpe;
    bpe.tokens.clear();
    bpe.types.clear();
    EXPECT_THAT(bpe.Refusal(), HasSubstr("empty"));
  }
}

TEST(StreamDecoder, CharactersSplitOverTokensComeWhole) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  StreamDecoder stream(*tokenizer);
  std::vector<std::string> pieces;
  for (const unsigned char byte : std::string("a\xF0\x9F\x98\x80!"))
    pieces.push_back(stream.Push(byte));
  EXPECT_THAT(pieces, ElementsAre("a", "", "", "", "\xF0\x9F\x98\x80", "!"));
  EXPECT_EQ(stream.Finish(), "");
}

TEST(StreamDecoder, BrokenBytesBecomeReplacementCharacters) {
  BpeTables bpe;
  const auto tokenizer = bpe.Make();
  StreamDecoder stream(*tokenizer);
  std::string text;
  for (const TokenId byte : {0xFF, int{'a'}, 0xE4, 0xBD}) text += stream.Push(byte);
  EXPECT_EQ(text,
            "\xEF\xBF\xBD"
            "a");
  EXPECT_EQ(stream.Finish(), "\xEF\xBF\xBD");
}

struct SpmTables {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int64_t> types = {2, 3, 3};
  TokenizerTables tables{.model = "llama", .scores = {0, 0, 0}};
  SpmTables() {
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", byte);
      Add(text, 0, 6);
    }
    float score = -1;
    for (const char* text : {"\xE2\x96\x81", "a", "b",
                             "\xE2\x96\x81"
                             "a",
                             "ab",
                             "\xE2\x96\x81"
                             "ab"})
      Add(text, score--, 1);
    tables.tokens = tokens;
    tables.types = types;
  }
  void Add(std::string text, float score, int64_t type) {
    tokens.push_back(std::move(text));
    tables.scores.push_back(score);
    types.push_back(type);
  }
};

TEST(SpmTokenizer, BeginsWithBosAndASpaceOfItsOwn) {
  SpmTables spm;
  const auto tokenizer = MakeTokenizer(spm.tables);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto space_a = (*tokenizer)
                           ->FindToken(
                               "\xE2\x96\x81"
                               "a");
  ASSERT_TRUE(space_a);
  EXPECT_THAT((*tokenizer)->Encode("a", true), ElementsAre(1, *space_a));
  EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode("a ab", true)), "a ab");
  EXPECT_TRUE((*tokenizer)->drops_leading_space());
}

TEST(SpmTokenizer, UnknownCharactersFallBackToBytes) {
  SpmTables spm;
  const auto tokenizer = MakeTokenizer(spm.tables);
  ASSERT_TRUE(tokenizer);
  const std::string text = "a\xC3\xA9\xFF</s>";
  const auto tokens = (*tokenizer)->Encode(text, false);
  std::string bytes;
  for (const TokenId token : tokens) bytes += (*tokenizer)->TokenBytes(token);
  EXPECT_EQ(bytes, " " + text);
  EXPECT_THAT(tokens, Not(::testing::Contains(2)));
}

TEST(SpmTokenizer, TooFewScoresAreRefused) {
  SpmTables spm;
  spm.tables.scores.pop_back();
  const auto tokenizer = MakeTokenizer(spm.tables);
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("264 scores for 265 tokens"));
}

TEST(WordPieceTokenizer, NormalisesAndFallsBackToUnknown) {
  const std::string mark(kSpaceMark);
  const std::vector<std::string> tokens = {"[PAD]",       "[UNK]",     "[CLS]", "[SEP]",
                                           mark + "cafe", mark + "un", "able",  mark + "!"};
  const TokenizerTables tables{.model = "bert", .tokens = tokens};
  const auto tokenizer = MakeTokenizer(tables);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT((*tokenizer)->Encode("Caf\xC3\xA9 UNABLE!", true), ElementsAre(2, 4, 5, 6, 7, 3));
  EXPECT_THAT((*tokenizer)->Encode("unx [SEP]", false), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT((*tokenizer)->Encode(std::string(101, 'a'), false), ElementsAre(1));
}

TEST(WordPieceTokenizer, AVocabularyWithoutUnknownIsRefused) {
  const std::vector<std::string> tokens = {"[CLS]", "[SEP]"};
  const TokenizerTables tables{.model = "bert", .tokens = tokens};
  const auto tokenizer = MakeTokenizer(tables);
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("unknown token"));
}

}  // namespace
}  // namespace hearth
