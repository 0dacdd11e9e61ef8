#include "runtime/chat_template/objects.h"

#include <algorithm>

namespace hearth::jinja {
namespace {

// len(range(start, stop, step)), at most INT64_MAX.
int64_t RangeLength(int64_t start, int64_t stop, int64_t step) {
  const bool up = step > 0;
  if (up ? start >= stop : start <= stop) return 0;
  const uint64_t distance = up ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                               : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = up ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t length = (distance - 1) / stride + 1;
  return static_cast<int64_t>(std::min<uint64_t>(length, INT64_MAX));
}

}  // namespace

Range::Range(int64_t start, int64_t stop, int64_t step)
    : HeapObject(Kind::kRange),
      start_(start),
      stop_(stop),
      step_(step),
      length_(RangeLength(start, stop, step)) {}

const Value* Namespace::Find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key.text().view() == name) return &value;
  }
  return nullptr;
}

void Namespace::Set(std::string_view name, Value value) {
  for (auto& [key, current] : attributes) {
    if (key.text().view() == name) {
      current = std::move(value);
      return;
    }
  }
  attributes.emplace_back(Value(std::string(name)), std::move(value));
}

std::string_view TypeName(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.boolean() != nullptr) return "bool";
  if (value.integer() != nullptr) return "int";
  if (value.real() != nullptr) return "float";
  if (const String* string = value.string()) return string->markup ? "Markup" : "str";
  if (const List* list = value.list()) {
    return list->kind == List::Kind::kList    ? "list"
           : list->kind == List::Kind::kTuple ? "tuple"
                                              : "_GroupTuple";
  }
  if (value.dict() != nullptr) return "dict";
  switch (value.object()->kind()) {
    case HeapObject::Kind::kRange:
      return "range";
    case HeapObject::Kind::kView:
      switch (AsView(value)->what) {
        case View::What::kKeys:
          return "dict_keys";
        case View::What::kValues:
          return "dict_values";
        case View::What::kItems:
          return "dict_items";
      }
      break;
    case HeapObject::Kind::kGenerator:
      return AsGenerator(value)->name;
    case HeapObject::Kind::kMethod:
      return "builtin_function_or_method";
    case HeapObject::Kind::kFunction:
      return "function";
    case HeapObject::Kind::kNamespace:
      return "TemplateNamespace";
    case HeapObject::Kind::kLoop:
      return "LoopContext";
    case HeapObject::Kind::kMacro:
      return "Macro";
    case HeapObject::Kind::kCycler:
      return "Cycler";
    case HeapObject::Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

bool IsCallable(const Value& value) {
  if (value.is_undefined()) return true;  // calling it says that it is undefined
  const HeapObject* object = value.object();
  if (object == nullptr) return false;
  switch (object->kind()) {
    case HeapObject::Kind::kMethod:
    case HeapObject::Kind::kFunction:
    case HeapObject::Kind::kMacro:
    case HeapObject::Kind::kLoop:
    case HeapObject::Kind::kJoiner:
      return true;
    default:
      return false;
  }
}

Result<Value> MakeUndefined(Runtime& rt, std::string reason) {
  HEARTH_RETURN_IF_ERROR(rt.Allocate(reason.size()));
  return Value(Undefined{std::make_shared<const std::string>(std::move(reason))});
}

tl::unexpected<Error> UndefinedError(const Runtime& rt, const Value& value) {
  const auto& undefined = std::get<Undefined>(value.data());
  return rt.Fail(undefined.reason == nullptr ? "a value is undefined" : *undefined.reason);
}

}  // namespace hearth::jinja
