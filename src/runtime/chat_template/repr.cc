#include "runtime/chat_template/repr.h"

#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/macro.h"
#include "runtime/chat_template/number.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

std::string Hex(uint32_t value, size_t width) {
  const std::string digits = FormatUnsigned(value, 16);
  return std::string(width > digits.size() ? width - digits.size() : 0, '0') + digits;
}

// The escape of one code point inside quotes, or nothing if it stands for itself.
std::string EscapeFor(uint32_t c, char quote, bool ascii) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c == static_cast<unsigned char>(quote)) return std::string("\\") + quote;
  if (IsPrintable(c) && !(ascii && c >= 0x80)) return "";
  if (c < 0x100) return "\\x" + Hex(c, 2);
  if (c < 0x10000) return "\\u" + Hex(c, 4);
  return "\\U" + Hex(c, 8);
}

Status AppendItems(Runtime& rt, const Array& items, TextBuilder& builder) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) builder.Append(", ");
    HEARTH_RETURN_IF_ERROR(AppendRepr(rt, items[i], builder));
  }
  return {};
}

Status AppendEntries(Runtime& rt, const std::vector<std::pair<Value, Value>>& entries,
                     TextBuilder& builder) {
  builder.Append("{");
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) builder.Append(", ");
    HEARTH_RETURN_IF_ERROR(AppendRepr(rt, entries[i].first, builder));
    builder.Append(": ");
    HEARTH_RETURN_IF_ERROR(AppendRepr(rt, entries[i].second, builder));
  }
  builder.Append("}");
  return {};
}

Status AppendView(Runtime& rt, const View& view, TextBuilder& builder) {
  builder.Append(TypeName(Value(const_cast<View*>(&view))));
  builder.Append("([");
  bool first = true;
  for (const auto& [key, value] : view.dict().entries) {
    if (!first) builder.Append(", ");
    first = false;
    const bool pair = view.what == View::What::kItems;
    if (pair) builder.Append("(");
    if (view.what != View::What::kValues) HEARTH_RETURN_IF_ERROR(AppendRepr(rt, key, builder));
    if (pair) builder.Append(", ");
    if (view.what != View::What::kKeys) HEARTH_RETURN_IF_ERROR(AppendRepr(rt, value, builder));
    if (pair) builder.Append(")");
  }
  builder.Append("])");
  return {};
}

Status AppendObject(Runtime& rt, const Value& value, TextBuilder& builder) {
  if (const Range* range = AsRange(value)) {
    builder.Append("range(" + std::to_string(range->start()) + ", " +
                   std::to_string(range->stop()));
    if (range->step() != 1) builder.Append(", " + std::to_string(range->step()));
    builder.Append(")");
    return {};
  }
  if (const View* view = AsView(value)) return AppendView(rt, *view, builder);
  if (const Namespace* names = AsNamespace(value)) {
    builder.Append("<Namespace ");
    HEARTH_RETURN_IF_ERROR(AppendEntries(rt, names->attributes, builder));
    builder.Append(">");
    return {};
  }
  if (Loop* loop = AsLoop(value)) {
    HEARTH_ASSIGN_OR_RETURN(const int64_t length, loop->Length(rt));
    builder.Append("<LoopContext " + std::to_string(loop->index0() + 1) + "/" +
                   std::to_string(length) + ">");
    return {};
  }
  if (const Macro* macro = AsMacro(value)) {
    builder.Append(macro->name.empty() ? "<Macro anonymous>" : "<Macro '" + macro->name + "'>");
    return {};
  }
  // Python adds the address here, which nobody can rely on.
  builder.Append("<");
  builder.Append(TypeName(value));
  builder.Append(AsGenerator(value) != nullptr ? " object>" : ">");
  return {};
}

}  // namespace

void AppendStringRepr(const Text& text, bool ascii, TextBuilder& builder) {
  const std::string_view bytes = text.view();
  const bool double_quotes =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  builder.Append(std::string_view(&quote, 1));
  size_t copied = 0;
  for (size_t pos = 0; pos < bytes.size() && builder.ok();) {
    const CodePoint c = DecodeAt(bytes, pos);
    if (const std::string escape = EscapeFor(c.value, quote, ascii); !escape.empty()) {
      builder.AppendRange(text, copied, pos);
      builder.Append(escape, text.RunAt(pos).trusted);
      copied = pos + c.size_bytes;
    }
    pos += c.size_bytes;
  }
  builder.AppendRange(text, copied, bytes.size());
  builder.Append(std::string_view(&quote, 1));
}

Status AppendRepr(Runtime& rt, const Value& value, TextBuilder& builder) {
  HEARTH_RETURN_IF_ERROR(rt.Step());
  const Nested nested(rt);
  HEARTH_RETURN_IF_ERROR(nested.Check());
  if (value.is_undefined()) {
    builder.Append("Undefined");
  } else if (value.is_none()) {
    builder.Append("None");
  } else if (const bool* boolean = value.boolean()) {
    builder.Append(*boolean ? "True" : "False");
  } else if (const int64_t* integer = value.integer()) {
    builder.Append(std::to_string(*integer));
  } else if (const double* real = value.real()) {
    builder.Append(FloatRepr(*real));
  } else if (const String* string = value.string()) {
    HEARTH_RETURN_IF_ERROR(rt.Work(string->text.size_bytes()));
    if (string->markup) builder.Append("Markup(");
    AppendStringRepr(string->text, false, builder);
    if (string->markup) builder.Append(")");
  } else if (const List* list = value.list()) {
    const bool tuple = list->kind != List::Kind::kList;
    builder.Append(tuple ? "(" : "[");
    HEARTH_RETURN_IF_ERROR(AppendItems(rt, list->items, builder));
    builder.Append(!tuple ? "]" : list->items.size() == 1 ? ",)" : ")");
  } else if (const Dict* dict = value.dict()) {
    HEARTH_RETURN_IF_ERROR(AppendEntries(rt, dict->entries, builder));
  } else {
    HEARTH_RETURN_IF_ERROR(AppendObject(rt, value, builder));
  }
  return {};
}

Status AppendStr(Runtime& rt, const Value& value, TextBuilder& builder) {
  if (value.is_undefined()) return {};
  if (const String* string = value.string()) {
    builder.Append(string->text);
    return {};
  }
  return AppendRepr(rt, value, builder);
}

Result<Text> Str(Runtime& rt, const Value& value) {
  if (value.string() != nullptr) return value.text();
  TextBuilder builder(rt);
  HEARTH_RETURN_IF_ERROR(AppendStr(rt, value, builder));
  return builder.Finish();
}

Result<Text> Repr(Runtime& rt, const Value& value) {
  TextBuilder builder(rt);
  HEARTH_RETURN_IF_ERROR(AppendRepr(rt, value, builder));
  return builder.Finish();
}

}  // namespace hearth::jinja
