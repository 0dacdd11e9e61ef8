#pragma once
// Golden files of lines "name value ...", '#' before comments (tests/golden/convert).

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::testing {

inline std::vector<std::pair<std::string, std::string>> ReadGoldenLines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::vector<std::pair<std::string, std::string>> lines;
  for (std::string line; std::getline(in, line);) {
    const size_t space = line.find(' ');
    if (line.starts_with('#') || space == std::string::npos) continue;
    lines.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return lines;
}

inline std::string Unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result += text[i];
      continue;
    }
    const char next = text[++i];
    result += next == 'n' ? '\n' : next == 'r' ? '\r' : next == 't' ? '\t' : next;
  }
  return result;
}

template <typename Number>
std::vector<Number> Numbers(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<Number>(in), {}};
}

}  // namespace hearth::testing
