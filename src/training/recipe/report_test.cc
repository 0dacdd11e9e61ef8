#include "training/recipe/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "training/recipe/html.h"
#include "training/recipe/report_curves.h"
#include "training/recipe/runner.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class ReportTest : public ::testing::Test {
 protected:
  ReportTest() {
    folder_ =
        fs::path(::testing::TempDir()) /
        (std::string("report_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    testing::WriteText(folder_ / "hello.txt", "hello");
  }
  ~ReportTest() override { fs::remove_all(folder_); }

  RunView Run() {
    RecipeOptions parse;
    parse.folder = folder_;
    const auto recipe = ParseRecipe(R"(
name: greetings
description: 5 < 6 & "so on"
files:
  hello: {path: hello.txt, licence: MIT, source: example.org}
stages:
  - {name: joined, kind: join, texts: hello, separator: "</pre><script>alert(1)</script>"}
  - {name: counted, kind: count, text: joined}
  - {name: broken, kind: count, text: joined, steps: 5}
targets:
  - {figure: counted.steps, at_least: 4}
  - {figure: counted.loss, at_most: 1.6}
  - {figure: counted.speed, at_least: 1}
  - {figure: joined.bytes, at_least: 1000, note: long texts}
)",
                                    {&join_, &count_}, parse);
    HEARTH_CHECK(recipe.has_value());
    RunOptions options;
    options.workdir = folder_ / "work";
    options.program = "test 1";
    count_.on_step = [](int64_t step) {
      if (step == 4) throw std::runtime_error("no <step> 4");
    };
    HEARTH_CHECK(!RunRecipe(*recipe, options, {}).has_value());
    Ledger ledger = *Ledger::Open(options.workdir, false);
    return *ViewRun(ledger, options.workdir, "greetings");
  }

  fs::path folder_;
  testing::JoinKind join_;
  testing::CountKind count_;
};

TEST_F(ReportTest, TargetsStandBesideWhatWasMeasured) {
  const auto targets = TargetsOf(Run());
  ASSERT_EQ(targets.size(), 4u);
  EXPECT_TRUE(targets[0].reached && targets[0].surely);
  EXPECT_TRUE(targets[1].reached);
  EXPECT_FALSE(targets[1].surely) << "1.25 to 1.75 holds 1.6";
  EXPECT_FALSE(targets[2].measured);
  EXPECT_FALSE(targets[3].reached);
  EXPECT_EQ(targets[3].wanted, "at least 1000");
}

TEST_F(ReportTest, ThePageHasItAllAndNothingCanBreakOut) {
  const RunView view = Run();
  const std::string page = RunAsHtml(view, folder_ / "work");
  EXPECT_THAT(page, HasSubstr("<title>greetings</title>"));
  EXPECT_THAT(page, HasSubstr("5 &lt; 6 &amp; &quot;so on&quot;"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;/pre&gt;&lt;script&gt;"));
  EXPECT_THAT(page, HasSubstr("no &lt;step&gt; 4"));
  EXPECT_THAT(page, HasSubstr("not measured: counted.speed, joined.bytes."));
  EXPECT_THAT(page, HasSubstr("but the interval holds the target"));
  EXPECT_THAT(page, HasSubstr("1.25 to 1.75"));
  EXPECT_THAT(page, HasSubstr(">MIT<"));
  EXPECT_THAT(page, HasSubstr("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"))
      << "the hash of hello";
  EXPECT_THAT(page, HasSubstr("<svg class=\"graph\""));
  EXPECT_THAT(page, HasSubstr("<svg class=\"chart\""));
  EXPECT_THAT(page, HasSubstr("2 x Test GPU"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  // Nothing from elsewhere.
  for (const char* outside : {"http:", "https:", "src=", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
}

TEST_F(ReportTest, JsonSaysStatesAndFigures) {
  const auto json = nlohmann::json::parse(RunAsJson(Run()));
  EXPECT_EQ(json["state"], "failed");
  EXPECT_EQ(json["stages"][1]["state"], "done");
  EXPECT_EQ(json["stages"][1]["figures"]["loss"]["high"], 1.75);
  EXPECT_EQ(json["stages"][2]["state"], "failed");
  EXPECT_EQ(json["stages"][2]["error"], "no <step> 4");
  EXPECT_EQ(json["targets"][3]["reached"], false);
  EXPECT_TRUE(json["targets"][2]["reached"].is_null());
}

TEST_F(ReportTest, WhatRunsWithoutAProcessWasInterrupted) {
  RunView view = Run();
  view.run.state = view.stages[2].state = RunState::kRunning;
  EXPECT_EQ(view.StateOf(view.run), "interrupted");
  view.in_use = true;
  EXPECT_EQ(view.StateOf(view.stages[2]), "running");
  Ledger ledger = *Ledger::Open(folder_ / "work", false);
  EXPECT_EQ(ViewRun(ledger, "work", "gone").error().message,
            "there is no run gone in work; there are 1 (greetings)");
  EXPECT_TRUE(ViewRun(ledger, folder_ / "work", "1"));
}

TEST(Curves, AResumedRunsLaterLinesCount) {
  const auto curves = ParseCurves(
      "{\"step\":1,\"train/loss\":5}\n{\"step\":2,\"train/loss\":4}\n{\"step\":3,\"train/"
      "loss\":9}\n"
      "no json\n{\"step\":2,\"train/loss\":3,\"eval/loss\":2}\n{\"step\":3,\"train/loss\":null}\n");
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[1].name, "train/loss");
  ASSERT_EQ(curves[1].points.size(), 2u);
  EXPECT_EQ(curves[1].points[1].value, 3);
  const auto charts = ChartsOf(curves);
  ASSERT_EQ(charts.size(), 1u);
  EXPECT_THAT(DrawChart(charts[0]), HasSubstr("eval/loss at step 2: 2"));
}

TEST(Curves, ASpikeSurvivesThinning) {
  std::string text;
  for (int step = 1; step <= 10000; ++step)
    text += "{\"step\":" + std::to_string(step) + ",\"x\":" + (step == 7777 ? "99" : "1") + "}\n";
  const auto curves = ParseCurves(text);
  ASSERT_EQ(curves.size(), 1u);
  EXPECT_LE(curves[0].points.size(), 400u);
  EXPECT_TRUE(std::ranges::any_of(curves[0].points, [](const CurvePoint& point) {
    return point.step == 7777 && point.value == 99;
  }));
}

TEST(Curves, HostileFilesAreBounded) {
  std::string text = "{\"step\":9223372036854775807,\"a\":1e308}\n{\"step\":-5,\"a\":-1e308}\n";
  for (int i = 0; i < 1000; ++i) text += "{\"step\":1,\"n" + std::to_string(i) + "\":1}\n";
  const auto curves = ParseCurves(text);
  EXPECT_LE(curves.size(), 60u);
  for (const Chart& chart : ChartsOf(curves)) EXPECT_LT(DrawChart(chart).size(), 100000u);
}

TEST(Html, NumbersReadWell) {
  EXPECT_EQ(NumberText(12345678), "12,345,678");
  EXPECT_EQ(NumberText(-1234567), "-1,234,567");
  EXPECT_EQ(NumberText(2.6), "2.6");
  EXPECT_EQ(NumberText(0.000123), "0.000123");
  EXPECT_EQ(NumberText(0), "0");
  EXPECT_EQ(DurationText(4000), "1 h 6 min");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(TimeText(0), "");
}

}  // namespace
}  // namespace hearth::forge
