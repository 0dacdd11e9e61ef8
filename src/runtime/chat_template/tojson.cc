#include "runtime/chat_template/tojson.h"

#include <cmath>
#include <cstdio>

#include "runtime/chat_template/number.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

std::string UnicodeEscape(uint32_t unit) {
  char escape[16];
  std::snprintf(escape, sizeof(escape), "\\u%04x", unit);
  return escape;
}

// The escape of one code point inside a JSON string, or nothing if it stands for itself.
std::string EscapeFor(uint32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      break;
  }
  if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) return UnicodeEscape(c);
  if (!ensure_ascii || c < 0x7F) return "";
  return UnicodeEscape(0xD800 + ((c - 0x10000) >> 10)) + UnicodeEscape(0xDC00 + (c & 0x3FF));
}

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatRepr(value);
}

class Writer {
 public:
  Writer(Runtime& rt, const JsonStyle& style)
      : rt_(rt),
        style_(style),
        item_separator_(style.item_separator.value_or(Text(style.indent ? "," : ", "))),
        key_separator_(style.key_separator.value_or(Text(": "))),
        builder_(rt) {}

  Status Write(const Value& value, int level);
  Result<Value> Finish() { return builder_.FinishValue(); }

 private:
  void WriteString(const Text& text);
  Status WriteKey(const Value& key);
  Status WriteList(const Array& items, int level);
  Status WriteDict(const Dict& dict, int level);
  // To the next line, indented.
  void Break(int level) {
    if (!style_.indent) return;
    builder_.Append("\n");
    builder_.AppendRepeated(*style_.indent, level);
  }

  Runtime& rt_;
  const JsonStyle& style_;
  const Text item_separator_, key_separator_;
  TextBuilder builder_;
};

void Writer::WriteString(const Text& text) {
  const std::string_view bytes = text.view();
  builder_.Append("\"");
  size_t copied = 0;
  for (size_t pos = 0; pos < bytes.size() && builder_.ok();) {
    const CodePoint c = DecodeAt(bytes, pos);
    if (const std::string escape = EscapeFor(c.value, style_.ensure_ascii); !escape.empty()) {
      builder_.AppendRange(text, copied, pos);
      builder_.Append(escape, text.RunAt(pos).trusted);
      copied = pos + c.size_bytes;
    }
    pos += c.size_bytes;
  }
  builder_.AppendRange(text, copied, bytes.size());
  builder_.Append("\"");
}

Status Writer::WriteKey(const Value& key) {
  if (const String* string = key.string()) {
    WriteString(string->text);
  } else if (const double* real = key.real()) {
    WriteString(JsonFloat(*real));
  } else if (const bool* boolean = key.boolean()) {
    WriteString(std::string(*boolean ? "true" : "false"));
  } else if (const int64_t* integer = key.integer()) {
    WriteString(std::to_string(*integer));
  } else if (key.is_none()) {
    WriteString(std::string("null"));
  } else {
    return rt_.Fail("keys must be str, int, float, bool or None, not " +
                    std::string(TypeName(key)));
  }
  return {};
}

Status Writer::WriteList(const Array& items, int level) {
  if (items.empty()) {
    builder_.Append("[]");
    return {};
  }
  builder_.Append("[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) builder_.Append(item_separator_);
    Break(level + 1);
    HEARTH_RETURN_IF_ERROR(Write(items[i], level + 1));
  }
  Break(level);
  builder_.Append("]");
  return {};
}

Status Writer::WriteDict(const Dict& dict, int level) {
  if (dict.entries.empty()) {
    builder_.Append("{}");
    return {};
  }
  Array keys, values;
  for (const auto& [key, value] : dict.entries) {
    keys.push_back(key);
    values.push_back(value);
  }
  if (style_.sort_keys) {
    HEARTH_ASSIGN_OR_RETURN(values, Sorted(rt_, values, keys, false));
    HEARTH_ASSIGN_OR_RETURN(keys, Sorted(rt_, keys, keys, false));
  }
  builder_.Append("{");
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) builder_.Append(item_separator_);
    Break(level + 1);
    HEARTH_RETURN_IF_ERROR(WriteKey(keys[i]));
    builder_.Append(key_separator_);
    HEARTH_RETURN_IF_ERROR(Write(values[i], level + 1));
  }
  Break(level);
  builder_.Append("}");
  return {};
}

Status Writer::Write(const Value& value, int level) {
  HEARTH_RETURN_IF_ERROR(rt_.Step());
  if (const String* string = value.string()) {
    HEARTH_RETURN_IF_ERROR(rt_.Work(string->text.size_bytes()));
    WriteString(string->text);
  } else if (value.is_none()) {
    builder_.Append("null");
  } else if (const bool* boolean = value.boolean()) {
    builder_.Append(*boolean ? "true" : "false");
  } else if (const int64_t* integer = value.integer()) {
    builder_.Append(std::to_string(*integer));
  } else if (const double* real = value.real()) {
    builder_.Append(JsonFloat(*real));
  } else if (const List* list = value.list()) {
    HEARTH_RETURN_IF_ERROR(WriteList(list->items, level));
  } else if (const Dict* dict = value.dict()) {
    HEARTH_RETURN_IF_ERROR(WriteDict(*dict, level));
  } else {
    return rt_.Fail("Object of type " + std::string(TypeName(value)) + " is not JSON serializable");
  }
  return {};
}

}  // namespace

Result<Value> ToJson(Runtime& rt, const Value& value, const JsonStyle& style) {
  Writer writer(rt, style);
  HEARTH_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Finish();
}

}  // namespace hearth::jinja
