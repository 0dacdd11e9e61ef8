// Filters that make text of text.

#include <algorithm>

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/format.h"
#include "runtime/chat_template/markup.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {
namespace {

// soft_str(): str(), but markup stays markup.
Result<Value> SoftStr(Runtime& rt, const Value& input) {
  if (input.string() != nullptr) return input;
  HEARTH_ASSIGN_OR_RETURN(Text text, Str(rt, input));
  return rt.NewString(std::move(text));
}

template <Case to>
Result<Value> InCase(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "lower/upper", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const Value string, SoftStr(rt, input));
  HEARTH_ASSIGN_OR_RETURN(Text text, ChangeCase(rt, string.text(), to));
  return rt.NewString(std::move(text), string.string()->markup);
}

Result<Value> CapitalizeFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "capitalize", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const Value string, SoftStr(rt, input));
  HEARTH_ASSIGN_OR_RETURN(Text text, Capitalize(rt, string.text()));
  return rt.NewString(std::move(text), string.string()->markup);
}

// Jinja's own title(): a word begins after blanks, dashes and opening brackets only.
bool SeparatesWords(uint32_t c) {
  return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || IsSpace(c);
}

Result<Value> Title(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "title", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt, input));
  TextBuilder builder(rt);
  for (size_t begin = 0; begin < text.size_bytes() && builder.ok();) {
    // A piece is a run of separators or of other characters: its first character upper, the rest
    // lower.
    const CodePoint first = DecodeAt(text.view(), begin);
    const bool separators = SeparatesWords(first.value);
    size_t end = begin + first.size_bytes;
    while (end < text.size_bytes()) {
      const CodePoint c = DecodeAt(text.view(), end);
      if (SeparatesWords(c.value) != separators) break;
      end += c.size_bytes;
    }
    const size_t second = begin + first.size_bytes;
    HEARTH_ASSIGN_OR_RETURN(const Text head,
                            ChangeCase(rt, text.Slice(begin, second), Case::kUpper));
    HEARTH_ASSIGN_OR_RETURN(const Text tail, ChangeCase(rt, text.Slice(second, end), Case::kLower));
    builder.Append(head);
    builder.Append(tail);
    begin = end;
  }
  return builder.FinishValue();
}

Result<Value> Trim(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "trim", arguments, {"chars"}));
  HEARTH_ASSIGN_OR_RETURN(const Text* chars, bound.TextOrNull(rt, 0));
  HEARTH_ASSIGN_OR_RETURN(const Value string, SoftStr(rt, input));
  return rt.NewString(Strip(string.text(), chars, Side::kBoth), string.string()->markup);
}

Result<Value> ReplaceFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "replace", arguments, {"old", "new", "count"}, 2));
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt, input));
  HEARTH_ASSIGN_OR_RETURN(const Text old, Str(rt, *bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const Text replacement, Str(rt, *bound[1]));
  int64_t count = -1;
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    HEARTH_ASSIGN_OR_RETURN(count, bound.IntegerOr(rt, 2, -1));
  }
  HEARTH_ASSIGN_OR_RETURN(Text replaced, Replace(rt, text, old, replacement, count));
  return rt.NewString(std::move(replaced));
}

Result<Value> StringFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "string", arguments, {}));
  return SoftStr(rt, input);
}

Result<Value> Safe(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "safe", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(Text text, Str(rt, input));
  return rt.NewString(std::move(text), true);
}

Result<Value> EscapeText(Runtime& rt, const Value& input, bool keep_markup) {
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt, input));
  const bool safe = keep_markup && input.string() != nullptr && input.string()->markup;
  TextBuilder builder(rt);
  AppendEscapedUnless(safe, text, builder);
  return builder.FinishValue(true);
}

Result<Value> Escape(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "escape", arguments, {}));
  return EscapeText(rt, input, true);
}

Result<Value> ForceEscape(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "forceescape", arguments, {}));
  return EscapeText(rt, input, false);
}

Result<Value> Format(Runtime& rt, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return rt.Fail("can't handle positional and keyword arguments at the same time");
  }
  HEARTH_ASSIGN_OR_RETURN(const Value format, SoftStr(rt, input));
  if (arguments.named.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const Value values,
                            rt.NewList(arguments.positional, List::Kind::kTuple));
    return FormatPercent(rt, format, values);
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.named) entries.emplace_back(Value(name), value);
  HEARTH_ASSIGN_OR_RETURN(const Value values, rt.NewDict(std::move(entries)));
  return FormatPercent(rt, format, values);
}

Result<Value> Indent(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "indent", arguments, {"width", "first", "blank"}));
  if (input.is_undefined()) return UndefinedError(rt, input);
  if (input.string() == nullptr) {
    return rt.Fail("indent() wants a string, not " + std::string(TypeName(input)));
  }
  Text indention;
  if (bound[0] != nullptr && bound[0]->string() != nullptr) {
    indention = bound[0]->text();
  } else {
    HEARTH_ASSIGN_OR_RETURN(const int64_t width, bound.IntegerOr(rt, 0, 4));
    TextBuilder blanks(rt);
    blanks.AppendRepeated(Text(" "), width);
    HEARTH_ASSIGN_OR_RETURN(indention, blanks.Finish());
  }
  const bool first = bound.TruthOr(1, false);
  const bool blank = bound.TruthOr(2, false);
  // Jinja adds a newline before splitting, so that a trailing one is kept.
  Text text = input.text();
  text.Append("\n", true);
  HEARTH_ASSIGN_OR_RETURN(const Array lines, SplitLines(rt, text, false));
  TextBuilder builder(rt);
  if (first) builder.Append(indention);
  for (size_t i = 0; i < lines.size() && builder.ok(); ++i) {
    if (i > 0) {
      builder.Append("\n");
      if (blank || !lines[i].text().empty()) builder.Append(indention);
    }
    builder.Append(lines[i].text());
  }
  return builder.FinishValue(input.string()->markup);
}

Result<Value> Center(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "center", arguments, {"width"}));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, bound.IntegerOr(rt, 0, 80));
  HEARTH_ASSIGN_OR_RETURN(const Value string, SoftStr(rt, input));
  HEARTH_ASSIGN_OR_RETURN(Text text, Pad(rt, string.text(), width, Text(" "), Side::kBoth));
  return rt.NewString(std::move(text), string.string()->markup);
}

Result<Value> Truncate(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(
      const Bound bound, Bind(rt, "truncate", arguments, {"length", "killwords", "end", "leeway"}));
  HEARTH_ASSIGN_OR_RETURN(const int64_t length, bound.IntegerOr(rt, 0, 255));
  HEARTH_ASSIGN_OR_RETURN(const Text* given_end, bound.TextOrNull(rt, 2));
  const Text end = given_end == nullptr ? Text("...") : *given_end;
  int64_t leeway = 5;
  if (bound[3] != nullptr && !bound[3]->is_none()) {
    HEARTH_ASSIGN_OR_RETURN(leeway, bound.IntegerOr(rt, 3, 5));
  }
  const auto end_length = static_cast<int64_t>(CountCodePoints(end.view()));
  if (length < end_length) {
    return rt.Fail("expected length >= " + std::to_string(end_length) + ", got " +
                   std::to_string(length));
  }
  if (leeway < 0) return rt.Fail("expected leeway >= 0, got " + std::to_string(leeway));
  HEARTH_ASSIGN_OR_RETURN(const int64_t actual, Length(rt, input));
  if (actual - leeway <= length) return input;
  if (input.string() == nullptr) return rt.Fail("truncate() wants a string");
  const Text& text = input.text();
  Text kept = text.Slice(0, ByteOffset(text.view(), static_cast<size_t>(length - end_length)));
  if (!bound.TruthOr(1, false)) {
    const size_t blank = kept.view().rfind(' ');
    if (blank != std::string_view::npos) kept = kept.Slice(0, blank);
  }
  kept.Append(end);
  return rt.NewString(std::move(kept));
}

Result<Value> WordCount(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "wordcount", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const Text text, Str(rt, input));
  int64_t count = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size_bytes();) {
    const CodePoint c = DecodeAt(text.view(), pos);
    const bool word = c.value == '_' || IsAlnum(c.value);
    if (word && !in_word) ++count;
    in_word = word;
    pos += c.size_bytes;
  }
  return Value(count);
}

constexpr Filter kTextFilters[] = {
    {"capitalize", CapitalizeFilter},
    {"center", Center},
    {"e", Escape},
    {"escape", Escape},
    {"filesizeformat"},
    {"forceescape", ForceEscape},
    {"format", Format},
    {"indent", Indent},
    {"lower", InCase<Case::kLower>},
    {"replace", ReplaceFilter},
    {"safe", Safe},
    {"string", StringFilter},
    {"striptags"},
    {"title", Title},
    {"trim", Trim},
    {"truncate", Truncate},
    {"upper", InCase<Case::kUpper>},
    {"urlencode"},
    {"urlize"},
    {"wordcount", WordCount},
    {"wordwrap"},
    {"xmlattr"},
};

}  // namespace

std::span<const Filter> TextFilters() { return kTextFilters; }

}  // namespace hearth::jinja
