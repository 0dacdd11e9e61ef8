#pragma once
// Where a suite's rows come from.

#include <string>
#include <vector>

#include "eval/json.h"
#include "eval/suites/make_suite.h"

namespace hearth::eval {

// DATA_DIR/NAME, a file or folder that is there. Errors: kNotFound saying how to name DATA_DIR.
Result<std::string> DataPath(const SuiteOptions& options, const std::string& name);

struct DataFile {
  std::vector<Json> rows;
  std::string fingerprint;
};
// Errors: those of DataPath and ReadJsonLines.
Result<DataFile> ReadDataLines(const SuiteOptions& options, const std::string& name);

// Which rows to take, when rows of several categories stand one behind the other: one of each in
// turn, so that the first `limit` are spread over all. 0: all.
std::vector<size_t> SpreadOver(const std::vector<std::string>& categories, int limit);

// A question of one user message, with the options that the user gave.
Question UserQuestion(const SuiteOptions& options, std::string text, int max_tokens);

}  // namespace hearth::eval
