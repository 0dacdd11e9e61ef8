#include "runtime/chat_template/markup.h"

namespace hearth::jinja {
namespace {

std::string_view Entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '\'':
      return "&#39;";
    case '"':
      return "&#34;";
    default:
      return {};
  }
}

}  // namespace

void AppendEscapedUnless(bool safe, const Text& text, TextBuilder& builder) {
  size_t copied = 0;
  for (size_t pos = 0; !safe && pos < text.size_bytes() && builder.ok(); ++pos) {
    const std::string_view entity = Entity(text.view()[pos]);
    if (entity.empty()) continue;
    builder.AppendRange(text, copied, pos);
    builder.Append(entity, text.RunAt(pos).trusted);
    copied = pos + 1;
  }
  builder.AppendRange(text, copied, text.size_bytes());
}

}  // namespace hearth::jinja
