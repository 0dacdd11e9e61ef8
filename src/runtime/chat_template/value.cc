#include "runtime/chat_template/value.h"

#include <algorithm>

namespace hearth::jinja {

Value::Value(Text text) { *this = Of(String{std::move(text)}); }

Value::Value(Array array) { *this = Of(List{std::move(array)}); }

Value::Value(const Object& object) {
  Dict dict;
  dict.entries.reserve(object.size());
  for (const auto& [key, value] : object) dict.entries.emplace_back(Input(key), value);
  *this = Of(std::move(dict));
}

Value Value::Of(String string) {
  Value value;
  value.data_ = std::make_shared<const String>(std::move(string));
  return value;
}

Value Value::Of(List list) {
  list.depth = 1;
  for (const Value& item : list.items) list.depth = std::max(list.depth, item.depth() + 1);
  Value value;
  value.data_ = std::make_shared<const List>(std::move(list));
  return value;
}

Value Value::Of(Dict dict) {
  dict.depth = 1;
  for (const auto& [key, item] : dict.entries) {
    dict.depth = std::max({dict.depth, key.depth() + 1, item.depth() + 1});
  }
  Value value;
  value.data_ = std::make_shared<const Dict>(std::move(dict));
  return value;
}

const Text& Value::text() const { return string()->text; }

int Value::depth() const {
  if (const List* value = list()) return value->depth;
  if (const Dict* value = dict()) return value->depth;
  return 0;
}

}  // namespace hearth::jinja
