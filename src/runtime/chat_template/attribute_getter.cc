#include "runtime/chat_template/attribute_getter.h"

#include "runtime/chat_template/attributes.h"
#include "runtime/chat_template/number.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {

Result<AttributeGetter> AttributeGetter::Make(Runtime& rt, const Value* attribute) {
  AttributeGetter getter;
  if (attribute == nullptr || attribute->is_none() || attribute->is_undefined()) return getter;
  if (attribute->integer() != nullptr) {
    getter.parts_.push_back(*attribute);
    return getter;
  }
  if (attribute->string() == nullptr) return rt.Fail("an attribute must be a string or an integer");
  const std::string_view text = attribute->text().view();
  HEARTH_RETURN_IF_ERROR(rt.Allocate(text.size() * sizeof(Value)));
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const bool digits = AllOf(part, IsDecimal);
    const auto index = digits ? ParseInt(part, 10) : std::nullopt;
    getter.parts_.push_back(index && !index->overflow ? Value(index->value)
                                                      : Value(std::string(part)));
    begin = end + 1;
  }
  return getter;
}

Result<Value> AttributeGetter::Get(Runtime& rt, Value item) const {
  for (const Value& part : parts_) {
    HEARTH_ASSIGN_OR_RETURN(item, GetItem(rt, item, part));
  }
  return item;
}

Result<Value> AttributeGetter::Key(Runtime& rt, const Value& item, bool case_sensitive) const {
  HEARTH_ASSIGN_OR_RETURN(Value key, Get(rt, item));
  if (case_sensitive || key.string() == nullptr) return key;
  HEARTH_ASSIGN_OR_RETURN(Text lower, ChangeCase(rt, key.text(), Case::kLower));
  return rt.NewString(std::move(lower));
}

}  // namespace hearth::jinja
