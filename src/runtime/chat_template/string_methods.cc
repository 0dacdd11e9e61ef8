// The methods of Python's str.

#include <algorithm>

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/find.h"
#include "runtime/chat_template/format.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/markup.h"
#include "runtime/chat_template/methods.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/text_ops.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

// A string of the same kind as `self`.
Result<Value> Like(Runtime& rt, const Value& self, Result<Text> text) {
  if (!text) return tl::unexpected<Error>(std::move(text).error());
  return rt.NewString(*std::move(text), self.string()->markup);
}

Result<Value> LikeList(Runtime& rt, const Value& self, Result<Array> pieces,
                       List::Kind kind = List::Kind::kList) {
  if (!pieces) return tl::unexpected<Error>(std::move(pieces).error());
  if (self.string()->markup) {
    for (Value& piece : *pieces) piece = Value::Of(String{piece.text(), true});
  }
  return rt.NewList(*std::move(pieces), kind);
}

Result<const Text*> RequiredText(Runtime& rt, const Bound& bound, size_t i) {
  HEARTH_ASSIGN_OR_RETURN(const Text* text, bound.TextOrNull(rt, i));
  if (text == nullptr) return rt.Fail("must be str, not NoneType");
  return text;
}

template <Case to>
Result<Value> InCase(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "lower/upper", arguments, {}));
  return Like(rt, self, ChangeCase(rt, self.text(), to));
}

Result<Value> StrCapitalize(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "capitalize", arguments, {}));
  return Like(rt, self, Capitalize(rt, self.text()));
}

Result<Value> StrTitle(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "title", arguments, {}));
  return Like(rt, self, TitleWords(rt, self.text()));
}

// Each character at the ends is looked for among the ones to strip: more of those than this have to
// be paid for.
constexpr size_t kFewChars = 64;

template <Side side>
Result<Value> StrStrip(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "strip", arguments, {"chars"}));
  HEARTH_ASSIGN_OR_RETURN(const Text* chars, bound.TextOrNull(rt, 0));
  if (chars != nullptr && chars->size_bytes() > kFewChars) {
    HEARTH_RETURN_IF_ERROR(rt.Work(self.text().size_bytes() * chars->size_bytes()));
  }
  return Like(rt, self, Strip(self.text(), chars, side));
}

template <Side text_stays>
Result<Value> StrPad(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "ljust", arguments, {"width", "fillchar"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, bound.IntegerOr(rt, 0, 0));
  HEARTH_ASSIGN_OR_RETURN(const Text* fill, bound.TextOrNull(rt, 1));
  if (fill != nullptr && CountCodePoints(fill->view()) != 1) {
    return rt.Fail("The fill character must be exactly one character long");
  }
  return Like(rt, self,
              Pad(rt, self.text(), width, fill == nullptr ? Text(" ") : *fill, text_stays));
}

Result<Value> StrZfill(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "zfill", arguments, {"width"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, bound.IntegerOr(rt, 0, 0));
  const Text& text = self.text();
  const bool sign = !text.empty() && (text.view()[0] == '+' || text.view()[0] == '-');
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  TextBuilder builder(rt);
  builder.AppendRange(text, 0, sign ? 1 : 0);
  builder.AppendRepeated(Text("0"), length < width ? width - length : 0);
  builder.AppendRange(text, sign ? 1 : 0, text.size_bytes());
  return Like(rt, self, builder.Finish());
}

template <bool from_right>
Result<Value> StrSplit(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "split", arguments, {"sep", "maxsplit"}));
  HEARTH_ASSIGN_OR_RETURN(const Text* separator, bound.TextOrNull(rt, 0));
  HEARTH_ASSIGN_OR_RETURN(const int64_t limit, bound.IntegerOr(rt, 1, -1));
  if (separator != nullptr && separator->empty()) return rt.Fail("empty separator");
  return LikeList(rt, self,
                  from_right ? SplitFromRight(rt, self.text(), separator, limit)
                             : Split(rt, self.text(), separator, limit));
}

Result<Value> StrSplitLines(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "splitlines", arguments, {"keepends"}));
  return LikeList(rt, self, SplitLines(rt, self.text(), bound.TruthOr(0, false)));
}

template <bool from_right>
Result<Value> StrPartition(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "partition", arguments, {"sep"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* separator, RequiredText(rt, bound, 0));
  if (separator->empty()) return rt.Fail("empty separator");
  const Text& text = self.text();
  const auto found = from_right ? FindLastBytes(text.view(), separator->view())
                                : FindBytes(text.view(), separator->view(), 0);
  if (!found) {
    return LikeList(rt, self, from_right ? Array{"", "", text} : Array{text, "", ""},
                    List::Kind::kTuple);
  }
  return LikeList(rt, self,
                  Array{text.Slice(0, *found), *separator,
                        text.Slice(*found + separator->size_bytes(), text.size_bytes())},
                  List::Kind::kTuple);
}

Result<Value> StrReplace(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "replace", arguments, {"old", "new", "count"}, 2));
  HEARTH_ASSIGN_OR_RETURN(const Text* old, RequiredText(rt, bound, 0));
  HEARTH_ASSIGN_OR_RETURN(const Text* replacement, RequiredText(rt, bound, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t count, bound.IntegerOr(rt, 2, -1));
  return Like(rt, self, Replace(rt, self.text(), *old, *replacement, count));
}

template <bool at_end>
Result<Value> StrRemove(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "removeprefix", arguments, {"prefix"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* piece, RequiredText(rt, bound, 0));
  const Text& text = self.text();
  const size_t size = text.size_bytes();
  if (at_end && text.view().ends_with(piece->view())) {
    return Like(rt, self, text.Slice(0, size - piece->size_bytes()));
  }
  if (!at_end && text.view().starts_with(piece->view())) {
    return Like(rt, self, text.Slice(piece->size_bytes(), size));
  }
  return self;
}

// The part of self that optional `start` and `end` parameters name. `valid` is false if start lies
// behind the end, where Python finds nothing, not even an empty string.
struct Part {
  std::string_view bytes;
  int64_t offset = 0;  // code points before it
  bool valid = true;
};
Result<Part> PartOf(Runtime& rt, const Value& self, const Bound& bound, size_t first_parameter) {
  const std::string_view bytes = self.text().view();
  if (bound[first_parameter] == nullptr && bound[first_parameter + 1] == nullptr)
    return Part{bytes};
  const auto length = static_cast<int64_t>(CountCodePoints(bytes));
  const auto limit = [&](size_t i, int64_t fallback) -> Result<int64_t> {
    if (bound[i] == nullptr || bound[i]->is_none()) return fallback;
    HEARTH_ASSIGN_OR_RETURN(int64_t value, bound.IntegerOr(rt, i, fallback));
    if (value < 0) value = value < -length ? 0 : value + length;
    return value;
  };
  HEARTH_ASSIGN_OR_RETURN(const int64_t start, limit(first_parameter, 0));
  HEARTH_ASSIGN_OR_RETURN(const int64_t end, limit(first_parameter + 1, length));
  const int64_t stop = std::min(end, length);
  if (start > stop) return Part{{}, start, false};
  const size_t begin = ByteOffset(bytes, static_cast<size_t>(start));
  const size_t size = ByteOffset(bytes.substr(begin), static_cast<size_t>(stop - start));
  return Part{bytes.substr(begin, size), start};
}

template <bool at_end>
Result<Value> StrStartsWith(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, at_end ? "endswith" : "startswith", arguments,
                                                  {"prefix", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Part part, PartOf(rt, self, bound, 1));
  Array candidates{*bound[0]};
  if (const List* list = bound[0]->list(); list != nullptr && list->kind != List::Kind::kList) {
    HEARTH_RETURN_IF_ERROR(rt.Work(list->items.size() * sizeof(Value)));
    candidates = list->items;
  }
  for (const Value& candidate : candidates) {
    if (candidate.string() == nullptr) {
      return rt.Fail(std::string(at_end ? "endswith" : "startswith") +
                     " first arg must be str or a tuple of str, not " +
                     std::string(TypeName(candidate)));
    }
    const std::string_view wanted = candidate.text().view();
    HEARTH_RETURN_IF_ERROR(rt.Work(wanted.size()));
    if (part.valid && (at_end ? part.bytes.ends_with(wanted) : part.bytes.starts_with(wanted))) {
      return Value(true);
    }
  }
  return Value(false);
}

template <bool from_right, bool must_exist>
Result<Value> StrFind(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "find", arguments, {"sub", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* wanted, RequiredText(rt, bound, 0));
  HEARTH_ASSIGN_OR_RETURN(const Part part, PartOf(rt, self, bound, 1));
  if (part.valid) {
    const auto found = from_right ? FindLastBytes(part.bytes, wanted->view())
                                  : FindBytes(part.bytes, wanted->view(), 0);
    if (found)
      return Value(part.offset +
                   static_cast<int64_t>(CountCodePoints(part.bytes.substr(0, *found))));
  }
  if (must_exist) return rt.Fail("substring not found");
  return Value(-1);
}

Result<Value> StrCount(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "count", arguments, {"sub", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* wanted, RequiredText(rt, bound, 0));
  HEARTH_ASSIGN_OR_RETURN(const Part part, PartOf(rt, self, bound, 1));
  if (!part.valid) return Value(0);
  if (wanted->empty()) return Value(static_cast<int64_t>(CountCodePoints(part.bytes)) + 1);
  int64_t count = 0;
  for (size_t pos = 0;; ++count) {
    const auto found = FindBytes(part.bytes, wanted->view(), pos);
    if (!found) return Value(count);
    pos = *found + wanted->size_bytes();
  }
}

Result<Value> StrJoin(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "join", arguments, {"iterable"}, 1));
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, *bound[0]));
  const bool markup = self.string()->markup;
  TextBuilder builder(rt);
  Value item;
  for (int64_t i = 0; builder.ok(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt, &item));
    if (!more) break;
    if (item.string() == nullptr) {
      return rt.Fail("sequence item " + std::to_string(i) + ": expected str instance, " +
                     std::string(TypeName(item)) + " found");
    }
    if (i > 0) builder.Append(self.text());
    AppendEscapedUnless(!markup || item.string()->markup, item.text(), builder);
  }
  return Like(rt, self, builder.Finish());
}

Result<Value> StrFormat(Runtime& rt, const Value& self, const Arguments& arguments) {
  return FormatBraces(rt, self, arguments);
}

template <bool (*predicate)(uint32_t)>
Result<Value> StrAll(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "str predicate", arguments, {}));
  return Value(AllOf(self.text().view(), predicate));
}

template <bool (*predicate)(std::string_view)>
Result<Value> StrTest(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "str predicate", arguments, {}));
  return Value(predicate(self.text().view()));
}

bool IsAsciiText(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
// Unlike the other predicates it holds for the empty string.
bool IsPrintableText(std::string_view text) { return text.empty() || AllOf(text, IsPrintable); }
bool IsIdentifierText(std::string_view text) {
  return AllOf(text, IsIdentifierPart) && IsIdentifierStart(DecodeAt(text, 0).value);
}

constexpr MethodEntry kStringMethods[] = {
    {"capitalize", StrCapitalize},
    {"casefold"},
    {"center", StrPad<Side::kBoth>},
    {"count", StrCount},
    {"encode"},
    {"endswith", StrStartsWith<true>},
    {"expandtabs"},
    {"find", StrFind<false, false>},
    {"format", StrFormat},
    {"format_map"},
    {"index", StrFind<false, true>},
    {"isalnum", StrAll<IsAlnum>},
    {"isalpha", StrAll<IsAlpha>},
    {"isascii", StrTest<IsAsciiText>},
    {"isdecimal", StrAll<IsDecimal>},
    {"isdigit", StrAll<IsDigit>},
    {"isidentifier", StrTest<IsIdentifierText>},
    {"islower", StrTest<IsLowerText>},
    {"isnumeric", StrAll<IsNumeric>},
    {"isprintable", StrTest<IsPrintableText>},
    {"isspace", StrAll<IsSpace>},
    {"istitle", StrTest<IsTitleText>},
    {"isupper", StrTest<IsUpperText>},
    {"join", StrJoin},
    {"ljust", StrPad<Side::kLeft>},
    {"lower", InCase<Case::kLower>},
    {"lstrip", StrStrip<Side::kLeft>},
    {"maketrans"},
    {"partition", StrPartition<false>},
    {"removeprefix", StrRemove<false>},
    {"removesuffix", StrRemove<true>},
    {"replace", StrReplace},
    {"rfind", StrFind<true, false>},
    {"rindex", StrFind<true, true>},
    {"rjust", StrPad<Side::kRight>},
    {"rpartition", StrPartition<true>},
    {"rsplit", StrSplit<true>},
    {"rstrip", StrStrip<Side::kRight>},
    {"split", StrSplit<false>},
    {"splitlines", StrSplitLines},
    {"startswith", StrStartsWith<false>},
    {"strip", StrStrip<Side::kBoth>},
    {"swapcase"},
    {"title", StrTitle},
    {"translate"},
    {"upper", InCase<Case::kUpper>},
    {"zfill", StrZfill},
};

}  // namespace

std::span<const MethodEntry> StringMethods() { return kStringMethods; }

}  // namespace hearth::jinja
