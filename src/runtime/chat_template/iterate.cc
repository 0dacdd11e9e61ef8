#include "runtime/chat_template/iterate.h"

#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {

bool Iterator::IsIterable(const Value& value) {
  if (value.is_undefined() || value.string() != nullptr || value.list() != nullptr ||
      value.dict() != nullptr) {
    return true;
  }
  const HeapObject* object = value.object();
  if (object == nullptr) return false;
  switch (object->kind()) {
    case HeapObject::Kind::kRange:
    case HeapObject::Kind::kView:
    case HeapObject::Kind::kGenerator:
    case HeapObject::Kind::kLoop:
      return true;
    default:
      return false;
  }
}

Result<Iterator> Iterator::Over(Runtime& rt, const Value& source) {
  if (!IsIterable(source)) {
    return rt.Fail("'" + std::string(TypeName(source)) + "' object is not iterable");
  }
  return Iterator(source);
}

std::optional<int64_t> Iterator::length() const {
  if (source_.is_undefined()) return 0;
  if (source_.string() != nullptr) {
    return static_cast<int64_t>(CountCodePoints(source_.text().view()));
  }
  if (const List* list = source_.list()) return static_cast<int64_t>(list->items.size());
  if (const Dict* dict = source_.dict()) return static_cast<int64_t>(dict->entries.size());
  if (const Range* range = AsRange(source_)) return range->length();
  if (const View* view = AsView(source_)) return static_cast<int64_t>(view->dict().entries.size());
  return std::nullopt;
}

Result<Value> Iterator::At(Runtime& rt, int64_t index) const {
  const auto i = static_cast<size_t>(index);
  if (const List* list = source_.list()) return list->items[i];
  if (const Dict* dict = source_.dict()) return dict->entries[i].first;
  if (const Range* range = AsRange(source_)) return Value(range->at(index));
  const View* view = AsView(source_);
  const auto& [key, value] = view->dict().entries[i];
  switch (view->what) {
    case View::What::kKeys:
      return key;
    case View::What::kValues:
      return value;
    case View::What::kItems:
      break;
  }
  return rt.NewList({key, value}, List::Kind::kTuple);
}

Result<bool> Iterator::Next(Runtime& rt, Value* item) {
  HEARTH_RETURN_IF_ERROR(rt.Step());
  if (source_.is_undefined()) return false;
  if (source_.string() != nullptr) {
    const Text& text = source_.text();
    const auto pos = static_cast<size_t>(position_);
    if (pos >= text.size_bytes()) return false;
    const size_t end = pos + DecodeAt(text.view(), pos).size_bytes;
    position_ = static_cast<int64_t>(end);
    HEARTH_ASSIGN_OR_RETURN(*item, rt.NewString(text.Slice(pos, end), source_.string()->markup));
    return true;
  }
  if (const Generator* generator = AsGenerator(source_)) {
    const Nested nested(rt);
    HEARTH_RETURN_IF_ERROR(nested.Check());
    return generator->next(item);
  }
  if (Loop* loop = AsLoop(source_)) {
    // Python's LoopContext iterates over pairs of the item and itself.
    Value current;
    HEARTH_ASSIGN_OR_RETURN(const bool more, loop->Advance(rt, &current));
    if (!more) return false;
    HEARTH_ASSIGN_OR_RETURN(*item, rt.NewList({current, source_}, List::Kind::kTuple));
    return true;
  }
  if (position_ >= *length()) return false;
  HEARTH_ASSIGN_OR_RETURN(*item, At(rt, position_));
  ++position_;
  return true;
}

Result<bool> Iterator::NextBackwards(Runtime& rt, Value* item) {
  HEARTH_RETURN_IF_ERROR(rt.Step());
  if (source_.is_undefined()) return false;
  if (source_.string() != nullptr) {
    const Text& text = source_.text();
    const size_t end = text.size_bytes() - static_cast<size_t>(position_);
    if (end == 0) return false;
    const size_t begin = end - DecodeBefore(text.view(), end).size_bytes;
    position_ = static_cast<int64_t>(text.size_bytes() - begin);
    HEARTH_ASSIGN_OR_RETURN(*item, rt.NewString(text.Slice(begin, end), source_.string()->markup));
    return true;
  }
  const int64_t index = *length() - 1 - position_;
  if (index < 0) return false;
  HEARTH_ASSIGN_OR_RETURN(*item, At(rt, index));
  ++position_;
  return true;
}

Result<Array> Collect(Runtime& rt, const Value& source) {
  if (const List* list = source.list()) {
    HEARTH_RETURN_IF_ERROR(rt.Allocate(list->items.size() * sizeof(Value)));
    HEARTH_RETURN_IF_ERROR(rt.Work(list->items.size() * sizeof(Value)));
    return list->items;
  }
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, source));
  Array items;
  Value item;
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt, &item));
    if (!more) return items;
    HEARTH_RETURN_IF_ERROR(rt.Allocate(sizeof(Value)));
    items.push_back(std::move(item));
  }
}

}  // namespace hearth::jinja
