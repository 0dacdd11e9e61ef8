// Every suite from end to end, on a few rows of its own and with a scripted model: a right answer,
// a wrong one and one that is neither.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "eval/models/backend_answerer.h"
#include "eval/suites/make_suite.h"
#include "eval/suites/suite_data.h"
#include "eval/testing/scripted_backend.h"

namespace hearth::eval {
namespace {

using ::hearth::testing::Script;
using ::hearth::testing::ScriptedBackend;
using ::testing::HasSubstr;
using ::testing::Not;

bool Holds(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

class SuitesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_ + "/bbh");
    std::filesystem::create_directories(folder_ + "/bfcl");
    options_.data_dir = folder_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name) << content;
  }

  // Outcomes in the suite's order.
  std::vector<ItemResult> RunAll(const std::string& name, Script script, bool show_tools = false) {
    ScriptedBackend backend(std::move(script));
    backend.show_tools = show_tools;
    BackendAnswerer model(backend);
    options_.backend = &backend;
    const auto suite = MakeSuite(name, options_);
    if (!suite) {
      error_ = suite.error();
      return {};
    }
    std::vector<ItemResult> results;
    for (size_t i = 0; i < (*suite)->size(); ++i) {
      auto result = (*suite)->Run(i, model);
      EXPECT_TRUE(result) << result.error().message;
      if (result) results.push_back(std::move(*result));
    }
    return results;
  }

  const std::string folder_ =
      ::testing::TempDir() + "eval_suites_test_" + std::to_string(::getpid());
  SuiteOptions options_;
  Error error_;
};

TEST_F(SuitesTest, UnknownOnesAreNamedWithTheKnown) {
  EXPECT_TRUE(RunAll("mmlu", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("no suite mmlu"));
  EXPECT_THAT(error_.message, HasSubstr("humaneval_cpp"));
}

TEST_F(SuitesTest, MissingDataSaysHowToNameIt) {
  EXPECT_TRUE(RunAll("gsm8k", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr(folder_ + "/gsm8k_test_a.jsonl"));
  EXPECT_THAT(error_.message, HasSubstr("HEARTH_DATA"));
  options_.data_dir.clear();
  EXPECT_TRUE(RunAll("bbh", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("--data"));
}

TEST_F(SuitesTest, BrokenDataIsNamed) {
  Write("gsm8k_test_a.jsonl", "{\"question\": \"q\", \"answer\": \"a\"}\n");
  EXPECT_TRUE(RunAll("gsm8k", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("no number"));
  Write("gsm8k_test_a.jsonl", "{\"question\": \"q\",\n");
  EXPECT_TRUE(RunAll("gsm8k", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("line 1"));
}

TEST_F(SuitesTest, HumanEval) {
  const auto row = [](const char* id) {
    return Json({{"task_id", id},
                 {"prompt", "def f(x):\n    \"\"\" " + std::string(id) + " \"\"\"\n"},
                 {"entry_point", "f"},
                 {"test", "def check(candidate):\n    assert candidate(1) == 2\n"}})
               .dump() +
           "\n";
  };
  Write("humaneval.jsonl", row("right") + row("wrong") + row("prose") + row("refuse"));
  const auto results = RunAll("humaneval", [](const std::string& prompt) -> std::string {
    EXPECT_THAT(prompt, HasSubstr("one Python code block"));
    if (Holds(prompt, "prose")) return "I would rather not.";
    return "```python\ndef f(x):\n    return x + " +
           std::string(Holds(prompt, "right") ? "1" : "2") + "\n```";
  });
  if (results.empty()) GTEST_SKIP() << "SKIPPED: " << error_.message;
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[0].outcome, "right");
  EXPECT_EQ(results[0].score, 1);
  EXPECT_EQ(results[0].id, "right");
  EXPECT_EQ(results[1].outcome, "wrong");
  EXPECT_EQ(results[1].score, 0);
  EXPECT_EQ(results[2].outcome, "no_code");
  EXPECT_EQ(results[3].outcome, "wrong");
}

TEST_F(SuitesTest, AnAnswerThatIsCutOffIsCountedAsThat) {
  Write("gsm8k_test_a.jsonl", "{\"question\": \"q\", \"answer\": \"#### 5\"}\n");
  options_.max_tokens = 10;
  const auto results =
      RunAll("gsm8k", [](const std::string&) { return "Let me think about 12 things first"; });
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].outcome, "cut_off");
  EXPECT_EQ(results[0].score, 0);
}

TEST_F(SuitesTest, Gsm8k) {
  std::string rows;
  for (const char* question : {"right", "wrong", "none"})
    rows += Json({{"question", question}, {"answer", "3 * 4 = 12\n#### 12"}}).dump() + "\n";
  Write("gsm8k_test_a.jsonl", rows);
  const auto results = RunAll("gsm8k", [](const std::string& prompt) -> std::string {
    if (Holds(prompt, "user: right")) return "3 times 4. The answer is 12.";
    return Holds(prompt, "user: wrong") ? "The answer is 13." : "I cannot say.";
  });
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, "right");
  EXPECT_EQ(results[1].outcome, "wrong");
  EXPECT_EQ(results[1].found, "13");
  EXPECT_EQ(results[1].expected, "12");
  EXPECT_EQ(results[2].outcome, "no_answer");
  options_.limit = 2;
  EXPECT_EQ(RunAll("gsm8k", [](const std::string&) { return ""; }).size(), 2u);
}

TEST_F(SuitesTest, Bbh) {
  Write("bbh/dates.json", R"json({"examples": [
    {"input": "When?\nOptions:\n(A) now\n(B) later", "target": "(B)"},
    {"input": "When else?\nOptions:\n(A) now\n(B) later", "target": "(A)"}]})json");
  Write("bbh/logic.json", R"({"examples": [{"input": "not True is", "target": "False"}]})");
  const Script script = [](const std::string& prompt) -> std::string {
    return Holds(prompt, "not True") ? "hm" : "The answer is (B).";
  };
  const auto results = RunAll("bbh", script);
  ASSERT_EQ(results.size(), 3u);
  // One of each task in turn.
  EXPECT_EQ(results[0].id, "dates/0");
  EXPECT_EQ(results[0].outcome, "right");
  EXPECT_EQ(results[0].category, "dates");
  EXPECT_EQ(results[1].id, "logic/0");
  EXPECT_EQ(results[1].outcome, "no_answer");
  EXPECT_EQ(results[2].id, "dates/1");
  EXPECT_EQ(results[2].outcome, "wrong");
}

class BfclTest : public SuitesTest {
 protected:
  void SetUp() override {
    SuitesTest::SetUp();
    const std::string function =
        R"("function": [{"name": "math.area", "description": "d", "parameters": {"type": "dict",)"
        R"( "properties": {"side": {"type": "float"}}, "required": ["side"]}}]})";
    const auto row = [&](const std::string& id) {
      return "{\"id\": \"" + id + "\", \"question\": [[{\"role\": \"user\", \"content\": \"" + id +
             "\"}]], " + function + "\n";
    };
    Write("bfcl/BFCL_v4_simple_python.json", row("simple_python_0") + row("simple_python_1"));
    Write("bfcl/BFCL_v4_multiple.json", row("multiple_0"));
    Write("bfcl/BFCL_v4_irrelevance.json", row("irrelevance_0") + row("irrelevance_1"));
    const auto answer = [](const std::string& id) {
      return "{\"id\": \"" + id + "\", \"ground_truth\": [{\"math.area\": {\"side\": [3.0]}}]}\n";
    };
    Write("bfcl/answers_simple_python.json", answer("simple_python_0") + answer("simple_python_1"));
    Write("bfcl/answers_multiple.json", answer("multiple_0"));
  }

  static std::string Answer(const std::string& prompt) {
    if (Holds(prompt, "irrelevance_0")) return "None of them fits.";
    if (Holds(prompt, "simple_python_1")) return "[math.area(side=4)]";
    if (Holds(prompt, "multiple_0")) return "I do not know";
    return "<tool_call>{\"name\": \"math.area\", \"arguments\": {\"side\": 3}}</tool_call>";
  }
};

TEST_F(BfclTest, CallsAreCheckedAndNeedlessOnesCounted) {
  std::map<std::string, std::string> outcomes;
  for (const ItemResult& item : RunAll("bfcl", Answer)) {
    outcomes[item.id] = item.outcome;
    EXPECT_THAT(item.question, HasSubstr("[system]")) << "this template shows no tools";
  }
  EXPECT_EQ(outcomes, (std::map<std::string, std::string>{{"simple_python_0", "right"},
                                                          {"simple_python_1", "wrong_value"},
                                                          {"multiple_0", "no_call"},
                                                          {"irrelevance_0", "right"},
                                                          {"irrelevance_1", "needless_call"}}));
}

TEST_F(BfclTest, ToolsGoThroughATemplateThatShowsThem) {
  std::string seen;
  std::mutex mutex;
  const auto results = RunAll(
      "bfcl",
      [&](const std::string& prompt) {
        const std::lock_guard lock(mutex);
        seen = prompt;
        return Answer(prompt);
      },
      /*show_tools=*/true);
  ASSERT_EQ(results.size(), 5u);
  EXPECT_THAT(results[0].question, Not(HasSubstr("[system]")));
  EXPECT_THAT(seen, HasSubstr(R"("type":"object")")) << "types are JSON schema's";
  EXPECT_THAT(seen, HasSubstr(R"("side":{"type":"number"})"));
}

TEST_F(SuitesTest, VicunaBenchIsGraded) {
  std::string rows;
  for (const int id : {1, 2, 3}) {
    rows += Json({{"question_id", id},
                  {"category", "generic"},
                  {"turns", Json::array({"question " + std::to_string(id)})}})
                .dump() +
            "\n";
  }
  Write("vicuna_bench.jsonl", rows);
  const Script script = [](const std::string& prompt) -> std::string {
    if (!Holds(prompt, "<answer>")) return "answer to " + prompt;
    EXPECT_TRUE(Holds(prompt, "answer to user: question")) << prompt;
    if (Holds(prompt, "question 3")) return "I will not say.";
    return Holds(prompt, "question 1") ? "Fine. [[8]]" : "Rating: 3";
  };
  const auto results = RunAll("vicuna_bench", script);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].score, 8);
  EXPECT_EQ(results[0].outcome, "graded");
  EXPECT_EQ(results[1].score, 3);
  EXPECT_FALSE(results[2].score);
  EXPECT_EQ(results[2].outcome, "no_verdict");
}

TEST_F(SuitesTest, PairsAreJudgedInBothOrders) {
  std::string rows;
  for (const char* id : {"1", "2", "3"}) {
    rows += std::string("{\"question_id\": ") + id +
            ", \"category\": \"generic\", \"turns\": [\"question " + id + "\"]}\n";
    options_.against[id] = "OTHER";
  }
  Write("vicuna_bench.jsonl", rows);
  // Of question 1 the better answer is ours, of 2 the other; of 3 always the first.
  const Script script = [](const std::string& prompt) -> std::string {
    if (!Holds(prompt, "<answer_a>")) return "OURS";
    const bool ours_first = prompt.find("OURS") < prompt.find("OTHER");
    if (Holds(prompt, "question 1")) return ours_first ? "[[A]]" : "[[B]]";
    if (Holds(prompt, "question 2")) return ours_first ? "[[B]]" : "[[A]]";
    return "[[A]]";
  };
  const auto results = RunAll("vicuna_bench", script);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, "win");
  EXPECT_EQ(results[1].outcome, "loss");
  EXPECT_EQ(results[2].outcome, "tie");
  EXPECT_EQ(results[2].figures.at("position_bias"), 1);
  options_.against.erase("2");
  EXPECT_TRUE(RunAll("vicuna_bench", script).empty());
  EXPECT_THAT(error_.message, HasSubstr("no answer to vicuna_bench 2"));
}

TEST_F(SuitesTest, PerplexityScoresTheSecondHalfOfEachWindow) {
  Write("text", "aaaabbbbcdcdcdcd and a rest");
  options_.text_path = folder_ + "/text";
  options_.window = 8;
  const auto results = RunAll("perplexity", nullptr);
  ASSERT_EQ(results.size(), 3u);
  // Behind the middle: bbb after b is likely; dcd after c is not.
  EXPECT_NEAR(*results[0].score, std::log(4.0), 1e-6);
  EXPECT_NEAR(*results[1].score, std::log(8.0), 1e-6);
  EXPECT_EQ(results[0].figures.at("tokens_scored"), 3);
  options_.window = 100;
  EXPECT_TRUE(RunAll("perplexity", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("27 tokens"));
}

TEST_F(SuitesTest, KlNeedsAReference) {
  EXPECT_TRUE(RunAll("kl", nullptr).empty());
  EXPECT_THAT(error_.message, HasSubstr("--reference"));
}

TEST(SpreadOver, TakesOneOfEachInTurn) {
  const std::vector<std::string> categories = {"a", "a", "a", "b", "c", "c"};
  EXPECT_EQ(SpreadOver(categories, 4), (std::vector<size_t>{0, 3, 4, 1}));
  EXPECT_EQ(SpreadOver(categories, 0), (std::vector<size_t>{0, 3, 4, 1, 5, 2}));
  EXPECT_TRUE(SpreadOver({}, 3).empty());
}

TEST(ItemResult, SurvivesItsLine) {
  ItemResult item;
  item.suite = "s";
  item.id = "i";
  item.outcome = "right";
  item.score = 0.5;
  item.category = "c";
  item.question = "q\n\"";
  item.figures["kl"] = 0.25;
  item.prompt_tokens = 3;
  const auto back = ItemFromJson(*ParseJson(JsonText(ToJson(item))));
  ASSERT_TRUE(back);
  EXPECT_EQ(JsonText(ToJson(*back)), JsonText(ToJson(item)));
  item.score.reset();
  EXPECT_FALSE(ItemFromJson(*ParseJson(JsonText(ToJson(item))))->score);
  EXPECT_FALSE(ItemFromJson(Json::object()));
}

}  // namespace
}  // namespace hearth::eval
