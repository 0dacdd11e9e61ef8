#pragma once
// A run as one HTML page that needs nothing else: figures with intervals, failures by kind,
// samples. Threads: pure functions.

#include <string>
#include <vector>

#include "eval/runs/summary.h"

namespace hearth::eval {

struct ReportSuite {
  SuiteSummary summary;
  std::vector<ItemResult> items;
};

// `settings`: what run.json holds; shown as a table.
std::string HtmlReport(const Json& settings, const std::vector<ReportSuite>& suites);

// Text within HTML, quotes too; bytes that are not UTF-8 become U+FFFD.
std::string EscapeHtml(std::string_view text);

}  // namespace hearth::eval
