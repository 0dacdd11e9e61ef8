#include "training/curate/prose.h"

#include <algorithm>
#include <array>

namespace hearth::forge {
namespace {

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// `code` within a line becomes a space; so do URLs and <tags>.
void AppendProse(std::string_view line, std::string& out) {
  for (size_t i = 0; i < line.size();) {
    const char c = line[i];
    size_t end = std::string_view::npos;
    if (c == '`') {
      end = line.find('`', i + 1);
      if (end != std::string_view::npos) ++end;
    } else if (c == '<' && i + 1 < line.size() && (IsLetter(line[i + 1]) || line[i + 1] == '/')) {
      end = line.find('>', i + 1);
      if (end != std::string_view::npos) ++end;
    } else if (line.substr(i).starts_with("http://") || line.substr(i).starts_with("https://") ||
               line.substr(i).starts_with("www.")) {
      end = i;
      while (end < line.size() && !IsSpace(line[end])) ++end;
    }
    if (end == std::string_view::npos) {
      out += c;
      ++i;
    } else {
      out += ' ';
      i = end;
    }
  }
  out += '\n';
}

}  // namespace

bool LooksLikeCode(std::string_view line) {
  static constexpr std::array<std::string_view, 32> kBeginnings = {
      "import ",   "from typing", "#include", "def ",      "class ",   "return ",  "return;",
      "public ",   "private ",    "static ",  "const ",    "let ",     "var ",     "function ",
      "if (",      "for (",       "while (",  "else {",    "elif ",    "} else",   "using ",
      "namespace ", "template <", "SELECT ",  "INSERT ",   "CREATE TABLE", "print(", "System.",
      "console.",  "std::",       "<?php",    "@"};
  const std::string_view text = Trimmed(line);
  if (text.size() < 2) return !text.empty() && !IsLetter(text[0]);
  size_t letters = 0, symbols = 0, spaces = 0;
  for (const char c : text) {
    if (IsLetter(c))
      ++letters;
    else if (IsSpace(c))
      ++spaces;
    else if (std::string_view("{}[]()<>=;:_/\\|&*+-%$#@^~\"").find(c) != std::string_view::npos)
      ++symbols;
  }
  const auto visible = static_cast<double>(text.size() - spaces);
  if (static_cast<double>(symbols) > 0.25 * visible) return true;
  const char last = text.back();
  const bool ends_like_code = last == ';' || last == '{' || last == '}';
  if (ends_like_code && symbols >= 2) return true;
  // A keyword alone is also an English word: "return the book", "class of 1980".
  const bool begins_like_code = std::ranges::any_of(
      kBeginnings, [&](std::string_view beginning) { return text.starts_with(beginning); });
  if (begins_like_code && (symbols >= 2 || ends_like_code || last == ':')) return true;
  if (text.starts_with("import ") || text.starts_with("#include")) return true;
  // Indented and with a call or an assignment.
  const bool indented = line.starts_with("    ") || line.starts_with("\t");
  return indented && (text.find(" = ") != std::string_view::npos ||
                      (text.find('(') != std::string_view::npos && last == ')'));
}

std::string StripCode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool fenced = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string_view trimmed = Trimmed(line);
    if (trimmed.starts_with("```") || trimmed.starts_with("~~~")) {
      // "```code```" on one line opens nothing.
      if (trimmed.find("```", 3) == std::string_view::npos) fenced = !fenced;
      continue;
    }
    if (!fenced && !LooksLikeCode(line)) AppendProse(line, out);
  }
  return out;
}

}  // namespace hearth::forge
