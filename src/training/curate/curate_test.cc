#include "training/curate/curate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class CurateTest : public testing::Test {
 protected:
  CurateTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = testing::TempDir() + "hearth_curate_" + test->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~CurateTest() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string ReadAll(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  static std::vector<json> ReadLines(const std::string& path) {
    std::vector<json> rows;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) rows.push_back(json::parse(line));
    return rows;
  }
  // A row with an answer of `words` different words, of which the one at `changed` is another.
  static std::string Row(int topic, int words, int changed = -1, const std::string& end = "") {
    std::string answer = "The story of number " + std::to_string(topic) + " is";
    for (int i = 0; i < words; ++i)
      answer += " w" + std::to_string(topic) + "x" + std::to_string(i == changed ? 9999 : i);
    return json{{"prompt", "Tell me a story about number " + std::to_string(topic)},
                {"completion", answer + end + "."}}
               .dump() +
           "\n";
  }
  CurateOptions Options(const std::string& out, std::vector<std::string> inputs) {
    CurateOptions options;
    options.inputs = std::move(inputs);
    options.output_folder = folder_ + "/" + out;
    options.num_threads = 2;
    options.min_quality = 0;  // the classifier has tests of its own
    return options;
  }
  static void ExpectAddsUp(const CurateReport& report, const std::string& out) {
    EXPECT_EQ(report.counts.rows_in, report.counts.kept + report.counts.num_removed());
    const auto kept = ReadLines(out + "/kept.jsonl"), removed = ReadLines(out + "/removed.jsonl");
    EXPECT_EQ(static_cast<int64_t>(kept.size()), report.counts.kept);
    std::map<std::string, int64_t> reasons;
    for (const json& row : removed) ++reasons[row.at("reason").get<std::string>()];
    EXPECT_EQ(reasons, report.counts.removed);
    CurateCounts sum;
    for (const CurateInput& input : report.inputs) {
      sum.rows_in += input.counts.rows_in;
      sum.kept += input.counts.kept;
      for (const auto& [reason, count] : input.counts.removed) sum.removed[reason] += count;
    }
    EXPECT_EQ(sum.rows_in, report.counts.rows_in);
    EXPECT_EQ(sum.kept, report.counts.kept);
    EXPECT_EQ(sum.removed, report.counts.removed);
    const json written = json::parse(ReadAll(out + "/report.json"));
    EXPECT_EQ(written.at("rows_in"), report.counts.rows_in);
    EXPECT_EQ(written.at("kept"), report.counts.kept);
    EXPECT_EQ(written.at("removed").get<decltype(reasons)>(), report.counts.removed);
  }

  std::string folder_;
};

TEST_F(CurateTest, EveryRowIsKeptOrAccountedFor) {
  const std::string first = Write(
      "first.jsonl",
      Row(1, 60) +                                           // 1: kept
          "not json at all\n" +                              // 2: malformed
          R"({"prompt": "What?", "completion": ""})" "\n" +  // 3: empty_answer
          Row(1, 60) +                                       // 4: exact duplicate
          R"({"weight": 3})" "\n" +                          // 5: malformed
          Row(2, 60));                                       // 6: near duplicate of the longer one
  const std::string second =
      Write("second.jsonl",
            Row(2, 60, 30, " with an end of its own") +      // 1: kept
                R"({"instruction": "Beschreibe bitte die Stadt, in der du wohnst, mit einigen Saetzen.", "output": )"
                R"("Die Stadt liegt an einem grossen Fluss und hat viele alte Haeuser, die sehr schoen sind."})" "\n" +
                R"({"prompt": "How many legs do seven spiders and three beetles have if each spider has eight?", "completion": "74 legs"})" "\n");
  const std::string set = Write("set.jsonl",
                                R"({"id": "t1", "question": "How many legs do seven spiders and three beetles have if each spider has eight?"})" "\n");
  CurateOptions options = Options("out", {first, second});
  options.evaluation_sets = {set};
  const auto report = Curate(options);
  ASSERT_TRUE(report) << report.error().message;
  ExpectAddsUp(*report, options.output_folder);
  EXPECT_EQ(report->counts.rows_in, 9);
  EXPECT_EQ(report->counts.kept, 2);
  const auto kept = ReadLines(options.output_folder + "/kept.jsonl");
  EXPECT_EQ(kept[0].at("messages")[0].at("role"), "user");
  EXPECT_THAT(kept[1].at("messages")[1].at("content").get<std::string>(),
              testing::HasSubstr("an end of its own"));

  std::map<std::string, json> by_source;
  for (const json& row : ReadLines(options.output_folder + "/removed.jsonl"))
    by_source[row.at("source")] = row;
  EXPECT_EQ(by_source.at(first + ":2").at("reason"), "malformed");
  EXPECT_EQ(by_source.at(first + ":2").at("raw"), "not json at all");
  EXPECT_EQ(by_source.at(first + ":3").at("reason"), "empty_answer");
  EXPECT_EQ(by_source.at(first + ":4").at("reason"), "exact_duplicate");
  EXPECT_EQ(by_source.at(first + ":4").at("other"), first + ":1");
  EXPECT_EQ(by_source.at(first + ":5").at("reason"), "malformed");
  EXPECT_EQ(by_source.at(first + ":6").at("reason"), "near_duplicate");
  EXPECT_EQ(by_source.at(first + ":6").at("other"), second + ":1");
  EXPECT_GE(by_source.at(first + ":6").at("similarity").get<double>(), 0.8);
  EXPECT_LT(by_source.at(first + ":6").at("similarity").get<double>(), 1);
  EXPECT_EQ(by_source.at(second + ":2").at("reason"), "language");
  EXPECT_EQ(by_source.at(second + ":3").at("reason"), "contaminated");
  EXPECT_EQ(by_source.at(second + ":3").at("other"), set + " t1");
  EXPECT_EQ(report->contaminated_by, std::vector<int64_t>{1});
}

TEST_F(CurateTest, SwitchesTurnStagesOff) {
  const std::string input =
      Write("in.jsonl", Row(1, 60) + Row(1, 60) + Row(1, 60, 30) +
                            R"({"prompt": "What?", "completion": ""})" "\n" +
                            R"({"prompt": "Wie heisst diese Stadt, und wie viele Menschen wohnen in ihr?", "completion": "Sie heisst Hamburg und ist sehr gross, mit vielen Menschen."})" "\n");
  CurateOptions options = Options("out", {input});
  options.languages.clear();
  options.quality_rules = false;
  options.exact_duplicates = options.near_duplicates = false;
  const auto report = Curate(options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->counts.kept, 5);
}

TEST_F(CurateTest, AnyNumberOfThreadsGivesTheSameFiles) {
  std::string rows;
  for (int i = 0; i < 600; ++i) {
    rows += Row(i % 60, 40 + i % 7, i % 11 == 0 ? i % 40 : -1);
    if (i % 50 == 0) rows += "{broken\n";
  }
  const std::string input = Write("in.jsonl", rows);
  CurateOptions options = Options("one", {input});
  options.num_threads = 1;
  const auto one = Curate(options);
  ASSERT_TRUE(one);
  ExpectAddsUp(*one, options.output_folder);
  EXPECT_GT(one->counts.removed.at("near_duplicate"), 100);
  EXPECT_GT(one->counts.removed.at("exact_duplicate"), 10);
  for (const int threads : {2, 5}) {
    CurateOptions many = Options("many", {input});
    many.num_threads = threads;
    ASSERT_TRUE(Curate(many));
    for (const char* name : {"/kept.jsonl", "/removed.jsonl"})
      EXPECT_EQ(ReadAll(options.output_folder + name), ReadAll(many.output_folder + name)) << name;
  }
}

TEST_F(CurateTest, TheBestOfNearDuplicatesIsKept) {
  // The same score for all: the longest wins, then the first.
  const std::string input = Write("in.jsonl", Row(5, 80) + Row(5, 80, 40, " and so it ended") + Row(5, 80, 41));
  const auto report = Curate(Options("out", {input}));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->counts.kept, 1);
  EXPECT_EQ(report->near_clusters, 1);
  EXPECT_THAT(ReadAll(folder_ + "/out/kept.jsonl"), testing::HasSubstr("so it ended"));
}

TEST_F(CurateTest, CutOffWorkLeavesTheOldResultAlone) {
  const std::string input = Write("in.jsonl", Row(1, 60) + Row(2, 60));
  CurateOptions options = Options("out", {input});
  ASSERT_TRUE(Curate(options));
  const std::string before = ReadAll(options.output_folder + "/report.json");
  options.on_progress = [](std::string_view stage, double) { return stage != "Writing"; };
  const auto stopped = Curate(options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(ReadAll(options.output_folder + "/report.json"), before);
  // Nothing else is left lying about.
  int files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(options.output_folder)) ++files;
  EXPECT_EQ(files, 3);
}

TEST_F(CurateTest, WrongOptionsAndFilesAreErrors) {
  EXPECT_FALSE(Curate({}));
  EXPECT_FALSE(Curate(Options("out", {folder_ + "/absent.jsonl"})));
  CurateOptions options = Options("out", {Write("in.jsonl", Row(1, 9))});
  options.similarity = 0;
  EXPECT_FALSE(Curate(options));
  options.similarity = 0.8;
  options.evaluation_sets = {folder_ + "/absent.jsonl"};
  const auto report = Curate(options);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, testing::HasSubstr("absent.jsonl"));
}

TEST_F(CurateTest, PairsAreWrittenOnDemand) {
  const std::string input = Write("in.jsonl", Row(3, 60) + Row(3, 60, 1) + Row(3, 60, 2) + Row(4, 60));
  CurateOptions options = Options("out", {input});
  options.write_pairs = true;
  ASSERT_TRUE(Curate(options));
  const auto pairs = ReadLines(options.output_folder + "/pairs.jsonl");
  ASSERT_EQ(pairs.size(), 3U);
  EXPECT_EQ(pairs[0].at("a"), input + ":1");
  EXPECT_EQ(pairs[0].at("b"), input + ":2");
}

// All of the shared data: an evaluation set given as training data must not survive.
TEST_F(CurateTest, SharedDataIsCuratedAndEvaluationSetsDoNotPass) {
  const char* variable = std::getenv("HEARTH_DATA");
  const std::string data = variable != nullptr ? variable : "../shared/data";
  if (!fs::exists(data + "/gsm8k_test_a.jsonl"))
    GTEST_SKIP() << "SKIPPED: no " << data << "/gsm8k_test_a.jsonl; set HEARTH_DATA to the shared data";
  CurateOptions options =
      Options("out", {data + "/self_instruct_seed_tasks.jsonl", data + "/user_oriented_instructions.jsonl",
                      data + "/gsm8k_test_a.jsonl", data + "/vicuna_bench.jsonl"});
  options.min_quality.reset();
  options.evaluation_sets = FindEvaluationSets(data);
  EXPECT_GE(options.evaluation_sets.size(), 15U);
  const auto report = Curate(options);
  ASSERT_TRUE(report) << report.error().message;
  ExpectAddsUp(*report, options.output_folder);
  EXPECT_EQ(report->inputs[2].counts.kept, 0) << "of gsm8k_test_a";
  EXPECT_EQ(report->inputs[2].counts.removed.at("contaminated"), 660);
  EXPECT_EQ(report->inputs[3].counts.removed.at("contaminated"), 80);
  // Written by people with care: hardly anything may go.
  EXPECT_GE(report->inputs[0].counts.kept, report->inputs[0].counts.rows_in * 9 / 10);
}

}  // namespace
}  // namespace hearth::forge
