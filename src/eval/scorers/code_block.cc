#include "eval/scorers/code_block.h"

#include <algorithm>
#include <array>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

constexpr size_t kMinFence = 3;

size_t IndentOf(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

struct Fence {
  char mark = 0;
  size_t length = 0;
  size_t indent = 0;
  std::string_view info;
};

std::optional<Fence> ReadFence(std::string_view line) {
  Fence fence;
  fence.indent = IndentOf(line);
  const std::string_view rest = line.substr(fence.indent);
  if (rest.empty() || (rest[0] != '`' && rest[0] != '~')) return std::nullopt;
  fence.mark = rest[0];
  fence.length = std::min(rest.find_first_not_of(fence.mark), rest.size());
  if (fence.length < kMinFence) return std::nullopt;
  fence.info = Trim(rest.substr(fence.length));
  // `code` within a line, not a fence.
  if (fence.info.find(fence.mark) != std::string_view::npos) return std::nullopt;
  return fence;
}

// The word before `at` on its line, as a function's definition has its type or keyword there.
std::string_view WordBefore(std::string_view line, size_t at) {
  const std::string_view before = Trim(line.substr(0, at));
  size_t begin = before.size();
  while (begin > 0 && (IsWordChar(before[begin - 1]) || before[begin - 1] == '*' ||
                       before[begin - 1] == '&' || before[begin - 1] == '>')) {
    --begin;
  }
  return before.substr(begin);
}

bool LineDefines(std::string_view line, Language language, std::string_view function) {
  const size_t indent = IndentOf(line);
  const std::string_view text = line.substr(indent);
  if (text.starts_with("//") || text.starts_with("#") || text.starts_with("*")) return false;
  const size_t at = FindWord(line, function);
  if (at == std::string_view::npos) return false;
  const std::string_view after = Trim(line.substr(at + function.size()));
  const std::string_view word = WordBefore(line, at);
  switch (language) {
    case Language::kPython:
      return word == "def" && after.starts_with('(') &&
             (text.starts_with("def") || text.starts_with("async"));
    case Language::kCpp:
      return after.starts_with('(') && !after.ends_with(';') && !word.empty() && word != "return" &&
             word != "else" && word != ">>";
    case Language::kJavaScript:
      if (word == "function" || word == "function*") return after.starts_with('(');
      return (word == "const" || word == "let" || word == "var") && after.starts_with('=');
  }
  return false;
}

bool LooksLikeCode(std::string_view line, Language language) {
  constexpr std::array kPython = {"def ", "async def ", "import ", "from ", "@", "class "};
  constexpr std::array kCpp = {"#include", "using ", "template", "namespace ",
                               "struct ",  "class ", "static ",  "inline "};
  constexpr std::array kJavaScript = {"function ", "async function", "const ", "let ",
                                      "var ",      "class ",         "'use ",  "\"use "};
  const auto begins = [&](const auto& words) {
    return std::ranges::any_of(words, [&](const char* word) { return line.starts_with(word); });
  };
  switch (language) {
    case Language::kPython:
      // "from here on we ..." is prose.
      if (line.starts_with("from ")) return line.find(" import ") != std::string_view::npos;
      return begins(kPython);
    case Language::kCpp:
      return begins(kCpp);
    case Language::kJavaScript:
      return begins(kJavaScript);
  }
  return false;
}

// From the first line of code to the last line that belongs to it: prose behind ends it.
std::string CodeWithoutFence(std::string_view answer, Language language,
                             std::string_view function) {
  const std::vector<std::string_view> lines = SplitLines(answer);
  size_t first = 0;
  while (first < lines.size() && !LooksLikeCode(lines[first], language) &&
         !LineDefines(lines[first], language, function)) {
    ++first;
  }
  std::string code;
  bool in_function = false;
  for (size_t i = first; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const bool defines = LineDefines(line, language, function);
    if (in_function && language == Language::kPython && !line.empty() && IndentOf(line) == 0 &&
        !LooksLikeCode(line, language) && line[0] != ')' && line[0] != '#') {
      break;
    }
    in_function = in_function || defines;
    code += std::string(line) + "\n";
    if (in_function && language != Language::kPython && (line == "}" || line == "};")) break;
  }
  return code;
}

}  // namespace

std::vector<CodeBlock> FindCodeBlocks(std::string_view answer) {
  std::vector<CodeBlock> blocks;
  std::optional<Fence> open;
  for (const std::string_view line : SplitLines(answer)) {
    const std::optional<Fence> fence = ReadFence(line);
    if (!open) {
      if (!fence) continue;
      open = fence;
      blocks.push_back({ToLower(fence->info.substr(0, fence->info.find_first_of(" \t{"))), ""});
    } else if (fence && fence->mark == open->mark && fence->length >= open->length &&
               fence->info.empty()) {
      open.reset();
    } else {
      blocks.back().code += line.substr(std::min(IndentOf(line), open->indent));
      blocks.back().code += '\n';
    }
  }
  return blocks;
}

bool DefinesFunction(std::string_view code, Language language, std::string_view function) {
  return std::ranges::any_of(SplitLines(code), [&](std::string_view line) {
    return LineDefines(line, language, function);
  });
}

std::optional<FoundCode> FindFunction(std::string_view answer, Language language,
                                      std::string_view function) {
  const std::vector<CodeBlock> blocks = FindCodeBlocks(answer);
  for (const CodeBlock& block : blocks)
    if (DefinesFunction(block.code, language, function)) return FoundCode{block.code};
  if (blocks.empty() && DefinesFunction(answer, language, function))
    return FoundCode{CodeWithoutFence(answer, language, function)};
  for (const CodeBlock& block : blocks) {
    const size_t first = block.code.find_first_not_of('\n');
    if (first != std::string::npos && (block.code[first] == ' ' || block.code[first] == '\t'))
      return FoundCode{block.code, /*whole=*/false};
  }
  return std::nullopt;
}

}  // namespace hearth::eval
