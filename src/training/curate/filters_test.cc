// Language, quality rules and decontamination: what each removes and, as much, what it leaves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "training/curate/decontaminate.h"
#include "training/curate/language.h"
#include "training/curate/prose.h"
#include "training/curate/quality_rules.h"
#include "training/curate/repetition.h"

namespace hearth::forge {
namespace {

Conversation Chat(const std::string& prompt, const std::string& answer) {
  return {{{"user", prompt}, {"assistant", answer}}, RowFormat::kMessages};
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// ---- prose and language

TEST(Prose, CodeIsStrippedAndSentencesStay) {
  EXPECT_EQ(StripCode("Use this:\n```python\nprint('x')\n```\nIt prints a letter."),
            "Use this:\nIt prints a letter.\n");
  EXPECT_EQ(StripCode("Call `f(x)` first"), "Call   first\n");
  EXPECT_TRUE(LooksLikeCode("    int total = 0;"));
  EXPECT_TRUE(LooksLikeCode("#include <vector>"));
  EXPECT_TRUE(LooksLikeCode("for (int i = 0; i < n; ++i) {"));
  EXPECT_FALSE(LooksLikeCode("I would return the book to the library (on Monday)."));
  EXPECT_FALSE(LooksLikeCode("class of 1980 had a reunion"));
}

class Language : public testing::Test {
 protected:
  LanguageFilter english_ = *LanguageFilter::Create({"en"});
  const std::string german_ =
      "Die Hauptstadt von Frankreich ist Paris. Sie liegt an der Seine und hat ungefaehr zwei "
      "Millionen Einwohner, die dort leben und arbeiten.";
  const std::string english_text_ =
      "The capital of France is Paris. It lies on the river Seine and has about two million "
      "inhabitants who live and work there.";
};

TEST_F(Language, WantedStaysAndUnwantedGoes) {
  EXPECT_TRUE(english_.Judge(Chat("Where is it?", english_text_)).wanted);
  const LanguageVerdict german = english_.Judge(Chat("Was ist die Hauptstadt?", german_));
  EXPECT_FALSE(german.wanted);
  EXPECT_EQ(german.language, "de");
  EXPECT_TRUE(LanguageFilter::Create({"en", "de"})->Judge(Chat("Was ist das?", german_)).wanted);
}

TEST_F(Language, OtherScriptsNeedFewLetters) {
  // "Where is the station?" in Russian.
  const std::string russian =
      "\xd0\x93\xd0\xb4\xd0\xb5 \xd0\xbd\xd0\xb0\xd1\x85\xd0\xbe\xd0\xb4\xd0\xb8\xd1\x82\xd1\x81\xd1\x8f "
      "\xd0\xb2\xd0\xbe\xd0\xba\xd0\xb7\xd0\xb0\xd0\xbb?";
  EXPECT_FALSE(english_.Judge(Chat(russian, russian)).wanted);
}

TEST_F(Language, ShortTextCodeAndTranslationsStay) {
  EXPECT_FALSE(english_.Judge(Chat("Capital?", "Paris")).decided);
  EXPECT_TRUE(english_.Judge(Chat("Capital?", "Paris")).wanted);
  EXPECT_TRUE(english_.Judge(Chat("Code", "```\n" + Repeat("mov ax, bx\n", 30) + "```")).wanted);
  EXPECT_TRUE(english_
                  .Judge(Chat("Translate the following English sentence into German for me, "
                              "please: " + english_text_, german_))
                  .wanted);
}

TEST_F(Language, UnknownCodeIsAnError) {
  const auto filter = LanguageFilter::Create({"en", "klingonese"});
  ASSERT_FALSE(filter);
  EXPECT_THAT(filter.error().message, testing::HasSubstr("klingonese"));
  EXPECT_FALSE(LanguageFilter::Create({}));
}

// ---- quality rules

std::string ReasonFor(const std::string& prompt, const std::string& answer) {
  const auto fault = FindFault(Chat(prompt, answer), {});
  return fault ? std::string(fault->reason) : "";
}

TEST(QualityRules, EachFaultHasItsReason) {
  EXPECT_EQ(ReasonFor("What?", "  \n"), "empty_answer");
  EXPECT_EQ(ReasonFor(" ", "Yes."), "empty_prompt");
  EXPECT_EQ(ReasonFor("What?", "N/A"), "placeholder_answer");
  EXPECT_EQ(ReasonFor("What?", "..?"), "answer_too_short");
  EXPECT_EQ(ReasonFor("What?", Repeat("A long walk. ", 5000)), "answer_too_long");
  EXPECT_EQ(ReasonFor("What?", "I think \xef\xbf\xbd\xef\xbf\xbd is \xef\xbf\xbd"), "garbage_characters");
  EXPECT_EQ(ReasonFor("What?", "It\xc3\xa2\xe2\x82\xac\xe2\x84\xa2s the cook\xc3\xa2\xe2\x82\xac\xe2\x84\xa2s"),
            "garbage_characters");
  EXPECT_EQ(ReasonFor("What?", "Sure.\n<|im_start|>user\nMore"), "template_leak");
  EXPECT_EQ(ReasonFor("What?", "I'm sorry, but I cannot help with that request."), "refusal");
  EXPECT_EQ(ReasonFor("What?", "I\xe2\x80\x99m sorry, but I can\xe2\x80\x99t do that."), "refusal");
  EXPECT_EQ(ReasonFor("Name three large rivers.", "name three large  rivers."), "answer_repeats_prompt");
  EXPECT_EQ(ReasonFor("What?", Repeat("I do not know what to say. ", 20)), "repetition");
  EXPECT_EQ(ReasonFor("What?", "Here it is:\n```python\nprint(1)\n"), "truncated");
  EXPECT_EQ(ReasonFor("What?", Repeat("A sentence that is here. Another, quite unlike it, too. ", 2) +
                                   "Then there were many other things to be said about all of the "
                                   "people whom we met during that summer in the"),
            "truncated");
}

TEST(QualityRules, HonestAnswersPass) {
  for (const char* answer :
       {"Yes", "42", "#### 18", "C", "+", "def f(x):\n    return x + 1\n",
        "- apples\n- pears\n- plums", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "I'm sorry to hear that your dog is ill. Take it to a vet.", "None"})
    EXPECT_EQ(ReasonFor("What do you say?", answer), "") << answer;
  // A refrain and a table are no loops.
  EXPECT_EQ(FindLoop("Row, row, row your boat\ngently down the stream\nMerrily, merrily, merrily, "
                     "merrily\nLife is but a dream"), "");
  EXPECT_EQ(FindLoop(Repeat("| 1 | 2 | 3 |\n", 2) + "The end of the table is here."), "");
  EXPECT_NE(FindLoop("The answer is " + Repeat("ha", 60)), "");
}

TEST(QualityRules, PromptsAloneAreKeptUnlessUnwanted) {
  const Conversation prompt{{{"user", "Name a river."}}, RowFormat::kMessages};
  EXPECT_FALSE(FindFault(prompt, {}));
  QualityLimits limits;
  limits.keep_prompts = false;
  EXPECT_EQ(FindFault(prompt, limits)->reason, "no_answer");
}

TEST(QualityRules, EndMarkersAreStrippedFromAnswersOnly) {
  Conversation chat = Chat("Say </s>", "Done.<|im_end|></s>\n");
  EXPECT_EQ(StripEndMarkers(chat), 1);
  EXPECT_EQ(chat.messages[0].content, "Say </s>");
  EXPECT_EQ(chat.messages[1].content, "Done.");
  EXPECT_EQ(StripEndMarkers(chat), 0);
}

// ---- decontamination

class Decontaminate : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + "hearth_decontaminate_" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string Found(const EvaluationIndex& index, const Conversation& chat) {
    const auto match = index.Find(chat, Compare(chat));
    return match ? match->item + ": " + match->how : "";
  }
  const std::string question_ =
      "A farmer has seventeen sheep and all but nine of them run away during a storm at night. How "
      "many sheep are left?";
};

TEST_F(Decontaminate, ThirteenWordsOfAnItemAreEnough) {
  const auto index = EvaluationIndex::Read(
      {Write("a.jsonl", R"({"id": "q7", "question": ")" + question_ + R"(", "answer": "9"})" "\n")});
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(Found(*index, Chat("Riddle: " + question_ + " Explain.", "Nine.")), "q7: 13 words");
  // In an answer too, whatever the case and punctuation.
  EXPECT_EQ(Found(*index, Chat("Tell me a riddle.", "A FARMER has seventeen sheep, and all but nine "
                                                    "of them run away during a storm")),
            "q7: 13 words");
  EXPECT_EQ(Found(*index, Chat("A farmer has seventeen sheep and all but nine of them", "9")), "");
  // Words of two messages do not make a run.
  EXPECT_EQ(Found(*index, Chat("A farmer has seventeen sheep and all but", "nine of them run away "
                                                                           "during a storm")), "");
}

TEST_F(Decontaminate, ShortItemsMustBeThereWhole) {
  const auto index = EvaluationIndex::Read(
      {Write("b.jsonl", R"({"question_id": 1, "turns": ["How can I improve my time management skills today?"]})" "\n"
                        R"({"question_id": 2, "turns": ["Name the nine muses."]})" "\n"
                        R"({"question_id": 3, "prompt": "Why not?", "answer": "Because."})" "\n")});
  ASSERT_TRUE(index);
  EXPECT_EQ(Found(*index, Chat("Hello. How can I improve my time management skills today? Thanks", "x")),
            "1: whole item");
  EXPECT_EQ(Found(*index, Chat("How can I improve my time management skills?", "x")), "");
  EXPECT_EQ(Found(*index, Chat("Name the nine muses!", "x")), "2: whole message");
  EXPECT_EQ(Found(*index, Chat("Please name the nine muses for me", "x")), "");
  EXPECT_EQ(Found(*index, Chat("Why not?", "Because.")), "");
}

TEST_F(Decontaminate, TemplatesOfASetAreNoItem) {
  std::string rows = R"({"examples": [)";
  for (int i = 0; i < 40; ++i)
    rows += std::string(i > 0 ? "," : "") +
            R"({"input": "Here follows one of our many puzzles, read it with care and then answer: )" +
            "number" + std::to_string(i) + R"( is how far from number)" + std::to_string(i * 7 + 1) +
            R"( when both are counted by the old rule of the seven bridges and towers?", "target": "1"})";
  const auto index = EvaluationIndex::Read({Write("c.json", rows + "]}")});
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->sets()[0].items, 40);
  EXPECT_GT(index->sets()[0].templates, 0);
  const std::string opening =
      "Here follows one of our many puzzles, read it with care and then answer: ";
  EXPECT_EQ(Found(*index, Chat(opening + "who am I?", "x")), "");
  EXPECT_EQ(Found(*index, Chat(opening + "number5 is how far from number36 when both are", "x")),
            "#6: 13 words");
}

TEST_F(Decontaminate, IdiomsOfCodeAreNoItemButSolutionsAre) {
  const auto index = EvaluationIndex::Read({Write(
      "d.jsonl",
      R"({"task_id": "T/1", "prompt": "def is_prime(n):\n", "canonical_solution": )"
      R"("    if n < 2:\n        return False\n    for k in range(2, n - 1):\n        if n % k == 0:\n            return False\n    return True\n"})" "\n")});
  ASSERT_TRUE(index);
  EXPECT_EQ(Found(*index, Chat("Primes", "def f(n):\n for k in range(2, n - 1):\n  if n % k == 0: print(k)")), "");
  EXPECT_EQ(Found(*index, Chat("Primes", "if n < 2: return False\nfor k in range(2, n - 1):\n  if n % k == 0:\n"
                                         "   return False\nreturn True")),
            "T/1: half of the solution");
}

TEST_F(Decontaminate, FilesWithoutItemsAreErrors) {
  EXPECT_FALSE(EvaluationIndex::Read({Write("e.jsonl", R"({"score": 1})" "\n")}));
  EXPECT_FALSE(EvaluationIndex::Read({"/nonexistent/set.jsonl"}));
  // The file of answers beside a set of questions holds no text of its own.
  EXPECT_TRUE(EvaluationIndex::Read({Write("f.json", R"({"id": "x", "ground_truth": [{"f": {}}]})" "\n")}));
}

}  // namespace
}  // namespace hearth::forge
