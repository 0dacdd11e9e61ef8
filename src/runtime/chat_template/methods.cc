#include "runtime/chat_template/methods.h"

#include <cmath>

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {
namespace {

Result<Value> DictGet(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "get", arguments, {"key", "default"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Value* found, Find(rt, *self.dict(), *bound[0]));
  if (found != nullptr) return *found;
  return bound[1] == nullptr ? Value(None{}) : *bound[1];
}

Result<Value> MakeView(Runtime& rt, const Value& self, const Arguments& arguments,
                       View::What what) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "dict view", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(View * view, rt.New<View>(self, what));
  return Value(view);
}

Result<Value> DictItems(Runtime& rt, const Value& self, const Arguments& arguments) {
  return MakeView(rt, self, arguments, View::What::kItems);
}
Result<Value> DictKeys(Runtime& rt, const Value& self, const Arguments& arguments) {
  return MakeView(rt, self, arguments, View::What::kKeys);
}
Result<Value> DictValues(Runtime& rt, const Value& self, const Arguments& arguments) {
  return MakeView(rt, self, arguments, View::What::kValues);
}

// Nothing can change a list or a dict, so a copy is the same.
Result<Value> Copy(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "copy", arguments, {}));
  return self;
}

Result<Value> ListCount(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "count", arguments, {"value"}, 1));
  int64_t count = 0;
  for (const Value& item : self.list()->items) {
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, item, *bound[0]));
    count += same ? 1 : 0;
  }
  return Value(count);
}

Result<Value> ListIndex(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "index", arguments, {"value", "start", "stop"}, 1));
  const Array& items = self.list()->items;
  SliceBounds range;
  HEARTH_ASSIGN_OR_RETURN(range.start, bound.IntegerOr(rt, 1, 0));
  HEARTH_ASSIGN_OR_RETURN(range.stop, bound.IntegerOr(rt, 2, INT64_MAX));
  const SliceIndices indices = ResolveSlice(range, static_cast<int64_t>(items.size()));
  for (int64_t i = indices.first; i < indices.first + indices.count; ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, items[static_cast<size_t>(i)], *bound[0]));
    if (same) return Value(i);
  }
  return rt.Fail("the value is not in the " + std::string(TypeName(self)));
}

Result<Value> FloatIsInteger(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "is_integer", arguments, {}));
  return Value(std::isfinite(*self.real()) && *self.real() == std::floor(*self.real()));
}

Result<Value> LoopCycle(Runtime& rt, const Value& self, const Arguments& arguments) {
  return AsLoop(self)->Cycle(rt, arguments);
}
Result<Value> LoopChanged(Runtime& rt, const Value& self, const Arguments& arguments) {
  return AsLoop(self)->Changed(rt, arguments);
}

Result<Value> CyclerNext(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "next", arguments, {}));
  Cycler* cycler = AsCycler(self);
  const Value& current = cycler->items[cycler->position];
  cycler->position = (cycler->position + 1) % cycler->items.size();
  return current;
}

Result<Value> CyclerReset(Runtime& rt, const Value& self, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "reset", arguments, {}));
  AsCycler(self)->position = 0;
  return Value(None{});
}

constexpr MethodEntry kDictMethods[] = {
    {"clear", nullptr, true},
    {"copy", Copy},
    {"fromkeys"},
    {"get", DictGet},
    {"items", DictItems},
    {"keys", DictKeys},
    {"pop", nullptr, true},
    {"popitem", nullptr, true},
    {"setdefault", nullptr, true},
    {"update", nullptr, true},
    {"values", DictValues},
};
constexpr MethodEntry kListMethods[] = {
    {"append", nullptr, true},  {"clear", nullptr, true},  {"copy", Copy},
    {"count", ListCount},       {"extend", nullptr, true}, {"index", ListIndex},
    {"insert", nullptr, true},  {"pop", nullptr, true},    {"remove", nullptr, true},
    {"reverse", nullptr, true}, {"sort", nullptr, true},
};
constexpr MethodEntry kTupleMethods[] = {{"count", ListCount}, {"index", ListIndex}};
constexpr MethodEntry kIntMethods[] = {
    {"as_integer_ratio"}, {"bit_count"},  {"bit_length"},
    {"conjugate"},        {"from_bytes"}, {"to_bytes"},
};
constexpr MethodEntry kFloatMethods[] = {
    {"as_integer_ratio"}, {"conjugate"}, {"fromhex"}, {"hex"}, {"is_integer", FloatIsInteger},
};
constexpr MethodEntry kLoopMethods[] = {{"changed", LoopChanged}, {"cycle", LoopCycle}};
constexpr MethodEntry kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};

std::span<const MethodEntry> MethodsOf(const Value& value) {
  if (value.string() != nullptr) return StringMethods();
  if (value.dict() != nullptr) return kDictMethods;
  if (const List* list = value.list()) {
    if (list->kind == List::Kind::kList) return kListMethods;
    return kTupleMethods;
  }
  if (value.integer() != nullptr || value.boolean() != nullptr) return kIntMethods;
  if (value.real() != nullptr) return kFloatMethods;
  if (AsLoop(value) != nullptr) return kLoopMethods;
  if (AsCycler(value) != nullptr) return kCyclerMethods;
  return {};
}

}  // namespace

const MethodEntry* FindMethod(const Value& value, std::string_view name) {
  for (const MethodEntry& method : MethodsOf(value)) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace hearth::jinja
