#include "eval/report/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReportSuite Suite() {
  ReportSuite suite;
  SuiteInfo info;
  info.name = "s";
  info.title = "Suite <one>";
  for (int i = 0; i < 20; ++i) {
    ItemResult item;
    item.id = "item" + std::to_string(i);
    item.outcome = i < 12 ? "right" : (i < 18 ? "timeout" : "wrong");
    item.score = i < 12 ? 1 : 0;
    item.question = "What is <b> & \"c\"?";
    item.answer = i == 19 ? "<script>alert(1)</script>" : "answer";
    item.category = "cat";
    suite.items.push_back(item);
  }
  suite.summary = Summarise(info, suite.items);
  return suite;
}

TEST(HtmlReport, ShowsFiguresFailuresAndSamples) {
  const std::string html = HtmlReport({{"model", "m"}, {"suite.s", {{"x", 1}}}}, {Suite()});
  EXPECT_THAT(html, HasSubstr("60.0%"));
  EXPECT_THAT(html, HasSubstr("38.7% to 78.1%"));
  EXPECT_THAT(html, HasSubstr("<td>timeout</td><td class=\"n\">6</td>"));
  EXPECT_THAT(html, HasSubstr("item19"));
  EXPECT_THAT(html, HasSubstr("<td>model</td><td>m</td>"));
  EXPECT_THAT(html, HasSubstr("<svg"));
}

TEST(HtmlReport, NeedsNothingElseAndRunsNothing) {
  const std::string html = HtmlReport({}, {Suite()});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("http")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(html, HasSubstr("Suite &lt;one&gt;"));
}

TEST(EscapeHtml, LeavesNothingThatHtmlReads) {
  EXPECT_EQ(EscapeHtml("<a href='x'>\"&\x01\n"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\n");
  EXPECT_EQ(EscapeHtml("\xff"), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace hearth::eval
