#include "eval/report/html_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace hearth::eval {
namespace {

constexpr size_t kSamplesOfEach = 6;  // outcome
constexpr size_t kMaxShownBytes = 20'000;

constexpr const char* kHead = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation</title>
<style>
:root { color-scheme: light dark; --line: #8886; --bar: #3a7; --bad: #c64; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0 1.4rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; border-radius: .3rem; }
summary { cursor: pointer; padding: .2rem 0; }
.kind { display: inline-block; min-width: 8rem; font-weight: 600; }
.right { color: var(--bar); } .wrong { color: var(--bad); }
svg { vertical-align: middle; }
h3 { margin-bottom: .2rem; }
.note { opacity: .75; }
</style>
</head>
<body>
<h1>Evaluation</h1>
)";

std::string Number(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

// The value as a dot, its interval as a line, on a scale from 0 to `most`.
std::string IntervalBar(double low, double value, double high, double most) {
  constexpr double kWidth = 220;
  const auto at = [&](double x) {
    const double share = most > 0 && std::isfinite(x) ? std::clamp(x / most, 0.0, 1.0) : 0;
    return Number(5 + share * kWidth);
  };
  return "<svg width=\"230\" height=\"16\" role=\"img\"><line x1=\"5\" x2=\"225\" y1=\"8\" "
         "y2=\"8\" "
         "stroke=\"var(--line)\"/><line x1=\"" +
         at(low) + "\" x2=\"" + at(high) +
         "\" y1=\"8\" y2=\"8\" stroke=\"var(--bar)\" stroke-width=\"4\"/><circle cx=\"" +
         at(value) + "\" cy=\"8\" r=\"5\" fill=\"var(--bar)\"/></svg>";
}

double ScaleOf(Measure measure, const Figure& figure) {
  return measure == Measure::kRate ? 1 : std::max(figure.interval.high * 1.2, 1e-9);
}

std::string FigureRow(const std::string& name, Measure measure, const Figure& figure) {
  return "<tr><td>" + EscapeHtml(name) + "</td><td class=\"n\">" +
         FormatScore(measure, figure.value) + "</td><td>" +
         FormatScore(measure, figure.interval.low) + " to " +
         FormatScore(measure, figure.interval.high) + "</td><td>" +
         IntervalBar(figure.interval.low, figure.value, figure.interval.high,
                     ScaleOf(measure, figure)) +
         "</td><td class=\"n\">" + std::to_string(figure.num_items) + "</td>";
}

std::string Overview(const std::vector<ReportSuite>& suites) {
  std::string html =
      "<h2>Figures</h2>\n<table><tr><th>suite</th><th class=\"n\">score</th><th>95% interval</th>"
      "<th></th><th class=\"n\">items</th><th class=\"n\">noise floor</th></tr>\n";
  for (const ReportSuite& suite : suites) {
    const SuiteSummary& summary = suite.summary;
    html += FigureRow(summary.info.title, summary.info.measure, summary.score) +
            "<td class=\"n\">" + FormatScore(summary.info.measure, summary.noise_floor) +
            "</td></tr>\n";
  }
  return html +
         "</table>\n<p class=\"note\">Intervals: Wilson for rates, bootstrap over items otherwise. "
         "Noise floor: two runs over other items of the same kind differ by up to this much, 95 "
         "times in 100, with no other reason.</p>\n";
}

std::string Outcomes(const SuiteSummary& summary) {
  std::string html =
      "<table><tr><th>how items ended</th><th class=\"n\">items</th><th></th></tr>\n";
  std::vector<std::pair<std::string, int64_t>> sorted(summary.outcomes.begin(),
                                                      summary.outcomes.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [outcome, count] : sorted) {
    const double share =
        static_cast<double>(count) / static_cast<double>(std::max<int64_t>(1, summary.num_items));
    html += "<tr><td>" + EscapeHtml(outcome) + "</td><td class=\"n\">" + std::to_string(count) +
            "</td><td><svg width=\"220\" height=\"12\"><rect height=\"12\" width=\"" +
            Number(220 * share) + "\" fill=\"var(--bar)\"/></svg></td></tr>\n";
  }
  return html + "</table>\n";
}

std::string FigureTable(const char* what, Measure measure,
                        const std::map<std::string, Figure>& figures) {
  if (figures.empty()) return "";
  std::string html = std::string("<table><tr><th>") + what +
                     "</th><th class=\"n\">value</th><th>95% interval</th><th></th>"
                     "<th class=\"n\">items</th></tr>\n";
  for (const auto& [name, figure] : figures) html += FigureRow(name, measure, figure) + "</tr>\n";
  return html + "</table>\n";
}

std::string Block(const char* title, const std::string& text) {
  if (text.empty()) return "";
  std::string shown = text.substr(0, kMaxShownBytes);
  if (shown.size() < text.size()) shown += "\n[shortened]";
  return std::string("<h4>") + title + "</h4><pre>" + EscapeHtml(shown) + "</pre>\n";
}

std::string Sample(const ItemResult& item) {
  const bool right = item.score.value_or(0) == 1;
  return std::string("<details><summary><span class=\"kind ") + (right ? "right" : "wrong") +
         "\">" + EscapeHtml(item.outcome) + "</span> " + EscapeHtml(item.id) +
         (item.score && !right && *item.score != 0 ? " &middot; " + Number(*item.score) : "") +
         "</summary>\n" + Block("Question", item.question) + Block("Answer", item.answer) +
         Block("Found", item.found) + Block("Expected", item.expected) +
         Block("Detail", item.detail) + "</details>\n";
}

// Some of each outcome, failures first.
std::string Samples(const ReportSuite& suite) {
  std::map<std::string, std::vector<const ItemResult*>> by_outcome;
  for (const ItemResult& item : suite.items)
    if (!item.question.empty() || !item.answer.empty()) by_outcome[item.outcome].push_back(&item);
  if (by_outcome.empty()) return "";
  std::string failures, others;
  for (const auto& [outcome, items] : by_outcome) {
    std::string html;
    for (size_t i = 0; i < std::min(kSamplesOfEach, items.size()); ++i) html += Sample(*items[i]);
    (outcome == "right" ? others : failures) += html;
  }
  return "<h3>Samples</h3>\n<p class=\"note\">At most " + std::to_string(kSamplesOfEach) +
         " of each outcome; items.jsonl beside this page has all.</p>\n" + failures + others;
}

std::string Settings(const Json& settings) {
  std::string html = "<h2>What was run</h2>\n<table>\n";
  for (const auto& [key, value] : settings.items()) {
    if (value.is_object()) continue;  // of a suite; its title stands above
    html += "<tr><td>" + EscapeHtml(key) + "</td><td>" +
            EscapeHtml(value.is_string() ? value.get<std::string>() : JsonText(value)) +
            "</td></tr>\n";
  }
  return html + "</table>\n";
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  // JSON's printer replaces what is not UTF-8; quotes and control characters are put back.
  const Result<Json> clean = ParseJson(JsonText(Json(std::string(text))));
  std::string out;
  for (const char c : clean ? clean->get<std::string>() : std::string()) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // HTML has no place for other control characters.
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

std::string HtmlReport(const Json& settings, const std::vector<ReportSuite>& suites) {
  std::string html = kHead + Overview(suites);
  for (const ReportSuite& suite : suites) {
    const SuiteSummary& summary = suite.summary;
    html += "<h2>" + EscapeHtml(summary.info.title) + "</h2>\n<p>" +
            EscapeHtml(FormatFigure(summary.info.measure, summary.score)) + " over " +
            std::to_string(summary.num_judged) + " items";
    if (summary.num_judged < summary.num_items) {
      html += "; " + std::to_string(summary.num_items - summary.num_judged) +
              " could not be judged and do not count";
    }
    html += "; " + std::to_string(summary.completion_tokens) + " tokens written</p>\n";
    html += Outcomes(summary) + FigureTable("category", summary.info.measure, summary.categories) +
            FigureTable("also measured", Measure::kMean, summary.figures) + Samples(suite);
  }
  return html + Settings(settings) + "</body>\n</html>\n";
}

}  // namespace hearth::eval
