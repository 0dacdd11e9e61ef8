#include "training/recipe/explain.h"

#include <algorithm>

namespace hearth::forge {
namespace {

// "required", "16", or "" for a key that may be left out.
std::string DefaultText(const KeySpec& key) {
  if (key.required) return "required";
  return key.by_default ? ValueText(*key.by_default) : "";
}

std::string HelpText(const KeySpec& key) {
  return key.affects_result ? key.help : key.help + " (changes no result)";
}

// Breaks at spaces; every line begins with `indent` spaces.
std::string Wrapped(std::string_view text, size_t indent) {
  constexpr size_t kWidth = 96;
  std::string result, line;
  const auto flush = [&] {
    if (!line.empty()) result += std::string(indent, ' ') + line + "\n";
    line.clear();
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (!line.empty() && indent + line.size() + 1 + end > kWidth) flush();
    line += (line.empty() ? "" : " ") + std::string(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  flush();
  return result;
}

// A | would end the cell.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c;
  }
  return cell;
}

}  // namespace

std::string ExplainKind(const StageDeclaration& kind) {
  std::string text = kind.name + "\n" + Wrapped(kind.summary, 2) + "\nKeys:\n";
  for (const KeySpec& key : kind.keys) {
    const std::string value = DefaultText(key);
    text += "  " + key.name + ": " + DescribeType(key) +
            (value.empty()  ? ""
             : key.required ? "; required"
                            : "; default " + value) +
            "\n";
    text += Wrapped(HelpText(key), 6);
  }
  text += "\nOutputs:\n";
  for (const OutputSpec& output : kind.outputs) {
    text += "  " + output.name + ": " + output.content + ", " + output.file +
            (output.optional ? ", not always" : "") + "\n";
    text += Wrapped(output.help, 6);
  }
  return text;
}

std::string ExplainKinds(const std::vector<const StageDeclaration*>& kinds) {
  size_t width = 0;
  for (const StageDeclaration* kind : kinds) width = std::max(width, kind->name.size());
  std::string text;
  for (const StageDeclaration* kind : kinds) {
    const StageDeclaration& declaration = *kind;
    // The first sentence.
    const size_t stop = declaration.summary.find(". ");
    text += declaration.name + std::string(width + 2 - declaration.name.size(), ' ') +
            declaration.summary.substr(0, stop) + "\n";
  }
  return text;
}

std::string KindsAsMarkdown(const std::vector<const StageDeclaration*>& kinds) {
  std::string text;
  for (const StageDeclaration* kind : kinds) {
    const StageDeclaration& declaration = *kind;
    text += "### " + declaration.name + "\n\n" + declaration.summary + "\n\n";
    text += "| key | value | default | |\n| --- | --- | --- | --- |\n";
    for (const KeySpec& key : declaration.keys) {
      const std::string value = DefaultText(key);
      const bool code = !key.required && !value.empty();
      text += "| `" + key.name + "` | " + Cell(DescribeType(key)) + " | " +
              (code ? "`" + Cell(value) + "`" : value) + " | " + Cell(HelpText(key)) + " |\n";
    }
    text += "\n| output | is | file | |\n| --- | --- | --- | --- |\n";
    for (const OutputSpec& output : declaration.outputs) {
      text += "| `" + output.name + "` | " + output.content + " | `" + output.file + "` | " +
              Cell(output.help) + (output.optional ? " (not always)" : "") + " |\n";
    }
    text += "\n";
  }
  return text;
}

}  // namespace hearth::forge
