#include "runtime/chat_template/text_ops.h"

#include <algorithm>

#include "runtime/chat_template/find.h"

namespace hearth::jinja {
namespace {

bool IsStripped(uint32_t c, std::string_view character, const Text* chars) {
  if (chars == nullptr) return IsSpace(c);
  return chars->view().find(character) != std::string_view::npos;
}

// str.lower() of a capital sigma: final at the end of a word. Looking around passes over what has
// no case, which is paid for.
Result<bool> IsFinalSigma(Runtime& rt, std::string_view text, size_t pos, size_t size_bytes) {
  size_t before = pos;
  bool cased_before = false;
  while (before > 0) {
    const CodePoint c = DecodeBefore(text, before);
    before -= c.size_bytes;
    HEARTH_RETURN_IF_ERROR(rt.Step());
    if (IsCaseIgnorable(c.value)) continue;
    cased_before = IsCased(c.value);
    break;
  }
  if (!cased_before) return false;
  for (size_t after = pos + size_bytes; after < text.size();) {
    const CodePoint c = DecodeAt(text, after);
    after += c.size_bytes;
    HEARTH_RETURN_IF_ERROR(rt.Step());
    if (!IsCaseIgnorable(c.value)) return !IsCased(c.value);
  }
  return true;
}

constexpr uint32_t kCapitalSigma = 0x3A3;
constexpr uint32_t kFinalSigma = 0x3C2;

// Appends the code point at `pos` in that case; returns its size in bytes.
Result<size_t> AppendInCase(Runtime& rt, const Text& text, size_t pos, Case to,
                            TextBuilder& builder) {
  const CodePoint c = DecodeAt(text.view(), pos);
  const bool trusted = text.RunAt(pos).trusted;
  if (to == Case::kLower && c.value == kCapitalSigma) {
    HEARTH_ASSIGN_OR_RETURN(const bool final, IsFinalSigma(rt, text.view(), pos, c.size_bytes));
    builder.AppendCodePoint(final ? kFinalSigma : kCapitalSigma + 0x20, trusted);
    return c.size_bytes;
  }
  uint32_t mapped[3];
  const int count = MapCase(c.value, to, mapped);
  for (int i = 0; i < count; ++i) builder.AppendCodePoint(mapped[i], trusted);
  return c.size_bytes;
}

// Every code point in the case that `choose` names for it.
template <typename Choose>
Result<Text> MapText(Runtime& rt, const Text& text, Choose choose) {
  TextBuilder builder(rt);
  for (size_t pos = 0; pos < text.size_bytes() && builder.ok();) {
    const Case to = choose(DecodeAt(text.view(), pos).value, pos);
    HEARTH_ASSIGN_OR_RETURN(const size_t size_bytes, AppendInCase(rt, text, pos, to, builder));
    pos += size_bytes;
  }
  return builder.Finish();
}

size_t SkipSpaces(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    const CodePoint c = DecodeAt(text, pos);
    if (!IsSpace(c.value)) break;
    pos += c.size_bytes;
  }
  return pos;
}

size_t SkipWord(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    const CodePoint c = DecodeAt(text, pos);
    if (IsSpace(c.value)) break;
    pos += c.size_bytes;
  }
  return pos;
}

size_t SkipSpacesBack(std::string_view text, size_t end) {
  while (end > 0) {
    const CodePoint c = DecodeBefore(text, end);
    if (!IsSpace(c.value)) break;
    end -= c.size_bytes;
  }
  return end;
}

size_t SkipWordBack(std::string_view text, size_t end) {
  while (end > 0) {
    const CodePoint c = DecodeBefore(text, end);
    if (IsSpace(c.value)) break;
    end -= c.size_bytes;
  }
  return end;
}

Status AddSlice(Runtime& rt, const Text& text, size_t begin, size_t end, Array& pieces) {
  HEARTH_RETURN_IF_ERROR(rt.Step());
  HEARTH_ASSIGN_OR_RETURN(Value piece, rt.NewString(text.Slice(begin, end)));
  HEARTH_RETURN_IF_ERROR(rt.Allocate(sizeof(Value)));
  pieces.push_back(std::move(piece));
  return {};
}

Result<Array> SplitAtSpaces(Runtime& rt, const Text& text, int64_t limit) {
  Array pieces;
  const std::string_view bytes = text.view();
  size_t pos = SkipSpaces(bytes, 0);
  while (pos < bytes.size()) {
    if (limit >= 0 && static_cast<int64_t>(pieces.size()) == limit) {
      HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, pos, SkipSpacesBack(bytes, bytes.size()), pieces));
      break;
    }
    const size_t end = SkipWord(bytes, pos);
    HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, pos, end, pieces));
    pos = SkipSpaces(bytes, end);
  }
  return pieces;
}

Result<Array> SplitAtSpacesFromRight(Runtime& rt, const Text& text, int64_t limit) {
  Array pieces;
  const std::string_view bytes = text.view();
  size_t end = SkipSpacesBack(bytes, bytes.size());
  while (end > 0) {
    if (limit >= 0 && static_cast<int64_t>(pieces.size()) == limit) {
      HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, SkipSpaces(bytes, 0), end, pieces));
      break;
    }
    const size_t begin = SkipWordBack(bytes, end);
    HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, begin, end, pieces));
    end = SkipSpacesBack(bytes, begin);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

// A bound of a slice, counted from the end if negative, within [low, high].
int64_t Clamp(int64_t bound, int64_t length, int64_t low, int64_t high) {
  if (bound < 0) bound = bound < -length ? low : bound + length;
  return std::clamp(bound, low, high);
}

}  // namespace

Text Strip(const Text& text, const Text* chars, Side side) {
  const std::string_view bytes = text.view();
  size_t begin = 0;
  size_t end = bytes.size();
  while (side != Side::kRight && begin < end) {
    const CodePoint c = DecodeAt(bytes, begin);
    if (!IsStripped(c.value, bytes.substr(begin, c.size_bytes), chars)) break;
    begin += c.size_bytes;
  }
  while (side != Side::kLeft && begin < end) {
    const CodePoint c = DecodeBefore(bytes, end);
    if (!IsStripped(c.value, bytes.substr(end - c.size_bytes, c.size_bytes), chars)) break;
    end -= c.size_bytes;
  }
  return text.Slice(begin, end);
}

Result<Text> ChangeCase(Runtime& rt, const Text& text, Case to) {
  return MapText(rt, text, [to](uint32_t, size_t) { return to; });
}

Result<Text> Capitalize(Runtime& rt, const Text& text) {
  return MapText(rt, text,
                 [](uint32_t, size_t pos) { return pos == 0 ? Case::kTitle : Case::kLower; });
}

Result<Text> TitleWords(Runtime& rt, const Text& text) {
  bool in_word = false;
  return MapText(rt, text, [&in_word](uint32_t c, size_t) {
    const Case to = in_word ? Case::kLower : Case::kTitle;
    in_word = IsCased(c) || IsUpper(c) || IsLower(c) || IsTitlecase(c);
    return to;
  });
}

Result<Text> Replace(Runtime& rt, const Text& text, const Text& old, const Text& replacement,
                     int64_t count) {
  TextBuilder builder(rt);
  const std::string_view bytes = text.view();
  size_t copied = 0;
  size_t pos = 0;
  for (int64_t done = 0; (count < 0 || done < count) && pos <= bytes.size() && builder.ok();
       ++done) {
    HEARTH_RETURN_IF_ERROR(rt.Step());
    const auto found = FindBytes(bytes, old.view(), pos);
    if (!found) break;
    builder.AppendRange(text, copied, *found);
    builder.Append(replacement);
    copied = *found + old.size_bytes();
    pos = copied;
    // An empty string is found before every character and at the end.
    if (old.empty()) pos += pos < bytes.size() ? DecodeAt(bytes, pos).size_bytes : 1;
  }
  builder.AppendRange(text, copied, bytes.size());
  return builder.Finish();
}

Result<Array> Split(Runtime& rt, const Text& text, const Text* separator, int64_t limit) {
  if (separator == nullptr) return SplitAtSpaces(rt, text, limit);
  Array pieces;
  size_t pos = 0;
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const auto found = FindBytes(text.view(), separator->view(), pos);
    if (!found) break;
    HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, pos, *found, pieces));
    pos = *found + separator->size_bytes();
  }
  HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, pos, text.size_bytes(), pieces));
  return pieces;
}

Result<Array> SplitFromRight(Runtime& rt, const Text& text, const Text* separator, int64_t limit) {
  if (separator == nullptr) return SplitAtSpacesFromRight(rt, text, limit);
  Array pieces;
  size_t end = text.size_bytes();
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const auto found = FindLastBytes(text.view().substr(0, end), separator->view());
    if (!found) break;
    HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, *found + separator->size_bytes(), end, pieces));
    end = *found;
  }
  HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, 0, end, pieces));
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Result<Array> SplitLines(Runtime& rt, const Text& text, bool keep_ends) {
  Array lines;
  const std::string_view bytes = text.view();
  size_t begin = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = DecodeAt(bytes, pos);
    const size_t end = pos;
    pos += c.size_bytes;
    if (!IsLineBreak(c.value)) continue;
    if (c.value == '\r' && pos < bytes.size() && bytes[pos] == '\n') ++pos;
    HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, begin, keep_ends ? pos : end, lines));
    begin = pos;
  }
  if (begin < bytes.size()) HEARTH_RETURN_IF_ERROR(AddSlice(rt, text, begin, bytes.size(), lines));
  return lines;
}

Result<Text> Pad(Runtime& rt, const Text& text, int64_t width, const Text& fill, Side text_stays) {
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  const int64_t missing = std::max<int64_t>(0, width - length);
  // center() puts the odd blank on the left if the width is odd.
  const int64_t left = text_stays == Side::kLeft    ? 0
                       : text_stays == Side::kRight ? missing
                                                    : missing / 2 + (missing & width & 1);
  TextBuilder builder(rt);
  builder.AppendRepeated(fill, left);
  builder.Append(text);
  builder.AppendRepeated(fill, missing - left);
  return builder.Finish();
}

SliceIndices ResolveSlice(const SliceBounds& bounds, int64_t length) {
  const bool forward = bounds.step > 0;
  const int64_t low = forward ? 0 : -1;
  const int64_t high = forward ? length : length - 1;
  const int64_t start = bounds.start ? Clamp(*bounds.start, length, low, high)
                        : forward    ? low
                                     : high;
  const int64_t stop = bounds.stop ? Clamp(*bounds.stop, length, low, high) : forward ? high : low;
  SliceIndices indices{start, stop, bounds.step, 0};
  if (forward && start < stop) indices.count = (stop - start - 1) / bounds.step + 1;
  // -(step + 1) cannot overflow, unlike -step.
  if (!forward && stop < start) {
    const uint64_t stride = static_cast<uint64_t>(-(bounds.step + 1)) + 1;
    indices.count = static_cast<int64_t>(static_cast<uint64_t>(start - stop - 1) / stride + 1);
  }
  return indices;
}

Result<Text> SliceText(Runtime& rt, const Text& text, const SliceBounds& bounds) {
  const std::string_view bytes = text.view();
  const SliceIndices indices = ResolveSlice(bounds, static_cast<int64_t>(CountCodePoints(bytes)));
  TextBuilder builder(rt);
  if (indices.count == 0) return builder.Finish();
  size_t pos = ByteOffset(bytes, static_cast<size_t>(indices.first));
  if (indices.step == 1) {
    const size_t size = ByteOffset(bytes.substr(pos), static_cast<size_t>(indices.count));
    builder.AppendRange(text, pos, pos + size);
    return builder.Finish();
  }
  for (int64_t i = 0; i < indices.count && builder.ok(); ++i) {
    if (i > 0) {
      for (int64_t skip = indices.step; skip > 0; --skip) pos += DecodeAt(bytes, pos).size_bytes;
      for (int64_t skip = indices.step; skip < 0; ++skip)
        pos -= DecodeBefore(bytes, pos).size_bytes;
    }
    builder.AppendRange(text, pos, pos + DecodeAt(bytes, pos).size_bytes);
  }
  return builder.Finish();
}

Result<Text> Reverse(Runtime& rt, const Text& text) {
  return SliceText(rt, text, {std::nullopt, std::nullopt, -1});
}

bool AllOf(std::string_view text, bool (*predicate)(uint32_t)) {
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    if (!predicate(c.value)) return false;
    pos += c.size_bytes;
  }
  return !text.empty();
}

namespace {

// Of the two cases, `wanted` occurs, and neither `other` nor a titlecase letter does.
bool IsOneCase(std::string_view text, bool (*wanted)(uint32_t), bool (*other)(uint32_t)) {
  bool found = false;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    if (other(c.value) || IsTitlecase(c.value)) return false;
    found |= wanted(c.value);
    pos += c.size_bytes;
  }
  return found;
}

}  // namespace

bool IsUpperText(std::string_view text) { return IsOneCase(text, IsUpper, IsLower); }
bool IsLowerText(std::string_view text) { return IsOneCase(text, IsLower, IsUpper); }

bool IsTitleText(std::string_view text) {
  bool found = false;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    pos += c.size_bytes;
    if (IsUpper(c.value) || IsTitlecase(c.value)) {
      if (in_word) return false;
      in_word = found = true;
    } else if (IsLower(c.value)) {
      if (!in_word) return false;
      found = true;
    } else {
      in_word = false;
    }
  }
  return found;
}

}  // namespace hearth::jinja
