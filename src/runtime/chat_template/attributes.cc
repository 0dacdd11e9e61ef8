#include "runtime/chat_template/attributes.h"

#include <optional>

#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/macro.h"
#include "runtime/chat_template/methods.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {
namespace {

// How Jinja calls the owner in "... has no attribute ...".
std::string OwnerName(const Value& value) {
  if (value.is_none()) return "None";
  return std::string(TypeName(value)) + " object";
}

Result<Value> NoSuch(Runtime& rt, const Value& value, const Value& key) {
  if (key.string() != nullptr) {
    return MakeUndefined(rt,
                         "'" + OwnerName(value) + "' has no attribute '" + key.text().str() + "'");
  }
  HEARTH_ASSIGN_OR_RETURN(const Text shown, Repr(rt, key));
  return MakeUndefined(rt, OwnerName(value) + " has no element " + shown.str());
}

Result<Value> Unsafe(Runtime& rt, const Value& value, std::string_view name) {
  return MakeUndefined(rt, "access to attribute '" + std::string(name) + "' of '" +
                               std::string(TypeName(value)) + "' object is unsafe.");
}

// getattr(value, name): nullopt if there is no such attribute.
Result<std::optional<Value>> Attribute(Runtime& rt, const Value& value, std::string_view name) {
  if (const Namespace* names = AsNamespace(value)) {
    HEARTH_RETURN_IF_ERROR(rt.Work(names->attributes.size() * sizeof(Value)));
    const Value* found = names->Find(name);
    if (found == nullptr) return std::optional<Value>();
    return *found;
  }
  // Python's internals: every object has some, and the sandbox shows none.
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) {
    return Unsafe(rt, value, name);
  }
  if (const MethodEntry* method = FindMethod(value, name)) {
    if (method->changes_its_object) return Unsafe(rt, value, name);
    HEARTH_ASSIGN_OR_RETURN(Method * bound, rt.New<Method>(value, method->name, method->fn));
    return Value(bound);
  }
  if (Loop* loop = AsLoop(value)) return loop->Attribute(rt, name);
  if (const Macro* macro = AsMacro(value)) return macro->Attribute(rt, name);
  if (const Cycler* cycler = AsCycler(value); cycler != nullptr && name == "current") {
    return cycler->items[cycler->position];
  }
  if (const List* list = value.list(); list != nullptr && list->kind == List::Kind::kGroup) {
    if (name == "grouper") return list->items[0];
    if (name == "list") return list->items[1];
  }
  return std::optional<Value>();
}

// The item of a sequence of that length, as Python counts; nullopt if out of range.
std::optional<int64_t> Index(int64_t index, int64_t length) {
  if (index < 0) index += length;
  if (index < 0 || index >= length) return std::nullopt;
  return index;
}

// value[key]: nullopt where Python raises TypeError or LookupError.
Result<std::optional<Value>> Item(Runtime& rt, const Value& value, const Value& key) {
  const std::optional<Value> nothing;
  if (const Dict* dict = value.dict()) {
    if (!IsHashable(key)) return nothing;
    HEARTH_ASSIGN_OR_RETURN(const Value* found, Find(rt, *dict, key));
    if (found == nullptr) return nothing;
    return *found;
  }
  const auto number = AsNumber(key);
  if (!number || number->is_float) return nothing;
  if (const List* list = value.list()) {
    const auto index = Index(number->integer, static_cast<int64_t>(list->items.size()));
    if (!index) return nothing;
    return list->items[static_cast<size_t>(*index)];
  }
  if (const String* string = value.string()) {
    HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(rt, value));
    const auto index = Index(number->integer, length);
    if (!index) return nothing;
    const std::string_view bytes = string->text.view();
    const size_t begin = ByteOffset(bytes, static_cast<size_t>(*index));
    return rt.NewString(string->text.Slice(begin, begin + DecodeAt(bytes, begin).size_bytes),
                        string->markup);
  }
  if (const Range* range = AsRange(value)) {
    const auto index = Index(number->integer, range->length());
    if (!index) return nothing;
    return Value(range->at(*index));
  }
  return nothing;
}

// A bound of a slice: none or an integer.
bool IsBound(const Value& value) {
  const auto number = AsNumber(value);
  return value.is_none() || (number && !number->is_float);
}
// Requires: IsBound(value).
std::optional<int64_t> Bound(const Value& value) {
  const auto number = AsNumber(value);
  return number ? std::optional(number->integer) : std::nullopt;
}

Result<Value> SliceRange(Runtime& rt, const Range& range, const SliceIndices& indices) {
  int64_t first = 0, stop = 0, step = 0;
  if (__builtin_mul_overflow(indices.first, range.step(), &first) ||
      __builtin_add_overflow(first, range.start(), &first) ||
      __builtin_mul_overflow(indices.stop, range.step(), &stop) ||
      __builtin_add_overflow(stop, range.start(), &stop) ||
      __builtin_mul_overflow(indices.step, range.step(), &step)) {
    return rt.Exhausted("an integer does not fit 64 bits");
  }
  HEARTH_ASSIGN_OR_RETURN(Range * slice, rt.New<Range>(first, stop, step));
  return Value(slice);
}

}  // namespace

Result<Value> GetAttribute(Runtime& rt, const Value& value, std::string_view name) {
  if (value.is_undefined()) return UndefinedError(rt, value);
  HEARTH_ASSIGN_OR_RETURN(std::optional<Value> attribute, Attribute(rt, value, name));
  if (attribute) return *std::move(attribute);
  const Value key{std::string(name)};
  HEARTH_ASSIGN_OR_RETURN(std::optional<Value> item, Item(rt, value, key));
  if (item) return *std::move(item);
  return NoSuch(rt, value, key);
}

Result<Value> GetItem(Runtime& rt, const Value& value, const Value& key) {
  if (value.is_undefined()) return UndefinedError(rt, value);
  HEARTH_ASSIGN_OR_RETURN(std::optional<Value> item, Item(rt, value, key));
  if (item) return *std::move(item);
  if (key.string() != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(std::optional<Value> attribute,
                            Attribute(rt, value, key.text().view()));
    if (attribute) return *std::move(attribute);
  }
  return NoSuch(rt, value, key);
}

Result<Value> GetSlice(Runtime& rt, const Value& value, const Value& start, const Value& stop,
                       const Value& step) {
  if (value.is_undefined()) return UndefinedError(rt, value);
  const List* list = value.list();
  const Range* range = AsRange(value);
  // What Python answers with a TypeError is undefined to Jinja.
  const bool sliceable = list != nullptr || range != nullptr || value.string() != nullptr;
  if (!sliceable || !IsBound(start) || !IsBound(stop) || !IsBound(step)) {
    return MakeUndefined(rt, OwnerName(value) + " has no such slice");
  }
  SliceBounds bounds;
  bounds.start = Bound(start);
  bounds.stop = Bound(stop);
  bounds.step = Bound(step).value_or(1);
  if (bounds.step == 0) return rt.Fail("slice step cannot be zero");
  if (const String* string = value.string()) {
    HEARTH_RETURN_IF_ERROR(rt.Work(string->text.size_bytes()));
    HEARTH_ASSIGN_OR_RETURN(Text text, SliceText(rt, string->text, bounds));
    return Value::Of(String{std::move(text), string->markup});
  }
  if (range != nullptr) {
    return SliceRange(rt, *range, ResolveSlice(bounds, range->length()));
  }
  const SliceIndices indices = ResolveSlice(bounds, static_cast<int64_t>(list->items.size()));
  HEARTH_RETURN_IF_ERROR(rt.Work(static_cast<size_t>(indices.count) * sizeof(Value)));
  Array items;
  items.reserve(static_cast<size_t>(indices.count));
  for (int64_t i = 0; i < indices.count; ++i) {
    items.push_back(list->items[static_cast<size_t>(indices.first + i * indices.step)]);
  }
  return rt.NewList(std::move(items),
                    list->kind == List::Kind::kList ? List::Kind::kList : List::Kind::kTuple);
}

}  // namespace hearth::jinja
