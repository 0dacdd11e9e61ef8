#include "runtime/chat_template/operators.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/chat_template/find.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/loop.h"
#include "runtime/chat_template/objects.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

tl::unexpected<Error> CannotOrder(const Runtime& rt, CompareOp op, const Value& left,
                                  const Value& right) {
  const char* symbol = op == CompareOp::kLess        ? "<"
                       : op == CompareOp::kLessEqual ? "<="
                       : op == CompareOp::kGreater   ? ">"
                                                     : ">=";
  return rt.Fail("'" + std::string(symbol) + "' not supported between instances of '" +
                 std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

// -1, 0 or 1, or 2 if a NaN makes them unordered. An int and a float are compared exactly, as
// Python does.
int CompareNumbers(const Number& a, const Number& b) {
  if (!a.is_float && !b.is_float) return a.integer < b.integer ? -1 : a.integer > b.integer;
  if (a.is_float && b.is_float) {
    if (std::isnan(a.real) || std::isnan(b.real)) return 2;
    return a.real < b.real ? -1 : a.real > b.real;
  }
  if (a.is_float) {
    const int swapped = CompareNumbers(b, a);
    return swapped == 2 ? 2 : -swapped;
  }
  if (std::isnan(b.real)) return 2;
  if (b.real >= 0x1p63) return -1;
  if (b.real < -0x1p63) return 1;
  const double whole = std::trunc(b.real);
  const auto truncated = static_cast<int64_t>(whole);
  if (a.integer != truncated) return a.integer < truncated ? -1 : 1;
  return b.real > whole ? -1 : b.real < whole;
}

bool Decide(CompareOp op, int order) {
  switch (op) {
    case CompareOp::kLess:
      return order == -1;
    case CompareOp::kLessEqual:
      return order == -1 || order == 0;
    case CompareOp::kGreater:
      return order == 1;
    default:
      return order == 1 || order == 0;
  }
}

Result<bool> Order(Runtime& rt, CompareOp op, const Value& left, const Value& right) {
  if (left.is_undefined()) return UndefinedError(rt, left);
  if (right.is_undefined()) return UndefinedError(rt, right);
  const auto a = AsNumber(left);
  const auto b = AsNumber(right);
  if (a && b) return Decide(op, CompareNumbers(*a, *b));
  if (left.string() != nullptr && right.string() != nullptr) {
    const auto x = left.text().view();
    const auto y = right.text().view();
    HEARTH_RETURN_IF_ERROR(rt.Work(std::min(x.size(), y.size())));
    const int order = x.compare(y);
    return Decide(op, order < 0 ? -1 : order > 0);
  }
  const List* x = left.list();
  const List* y = right.list();
  if (x != nullptr && y != nullptr &&
      (x->kind == List::Kind::kList) == (y->kind == List::Kind::kList)) {
    const size_t shared = std::min(x->items.size(), y->items.size());
    for (size_t i = 0; i < shared; ++i) {
      HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, x->items[i], y->items[i]));
      if (!same) return Order(rt, op, x->items[i], y->items[i]);
    }
    const size_t m = x->items.size();
    const size_t n = y->items.size();
    return Decide(op, m < n ? -1 : m > n);
  }
  return CannotOrder(rt, op, left, right);
}

Result<bool> EqualLists(Runtime& rt, const List& a, const List& b) {
  if ((a.kind == List::Kind::kList) != (b.kind == List::Kind::kList)) return false;
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, a.items[i], b.items[i]));
    if (!same) return false;
  }
  return true;
}

Result<bool> EqualDicts(Runtime& rt, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    HEARTH_ASSIGN_OR_RETURN(const Value* other, Find(rt, b, key));
    if (other == nullptr) return false;
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, value, *other));
    if (!same) return false;
  }
  return true;
}

bool EqualRanges(const Range& a, const Range& b) {
  if (a.length() != b.length()) return false;
  if (a.length() == 0) return true;
  return a.start() == b.start() && (a.length() == 1 || a.step() == b.step());
}

// Merges two sorted neighbours, [begin, middle) and [middle, end), of `order` through `scratch`.
Status Merge(Runtime& rt, const Array& keys, bool reverse, size_t begin, size_t middle, size_t end,
             std::vector<size_t>& order, std::vector<size_t>& scratch) {
  size_t left = begin;
  size_t right = middle;
  for (size_t out = begin; out < end; ++out) {
    bool take_right = left == middle;
    if (!take_right && right < end) {
      // The right one goes first only if it is strictly smaller (larger when reversed): that keeps
      // equals in place.
      const Value& a = keys[order[reverse ? left : right]];
      const Value& b = keys[order[reverse ? right : left]];
      HEARTH_ASSIGN_OR_RETURN(take_right, Compare(rt, CompareOp::kLess, a, b));
    }
    scratch[out] = take_right ? order[right++] : order[left++];
  }
  return {};
}

}  // namespace

std::optional<Number> AsNumber(const Value& value) {
  if (const auto* boolean = value.boolean()) return Number{false, *boolean, *boolean ? 1.0 : 0.0};
  if (const auto* integer = value.integer()) {
    return Number{false, *integer, static_cast<double>(*integer)};
  }
  if (const auto* real = value.real()) return Number{true, 0, *real};
  return std::nullopt;
}

bool Truthy(const Value& value) {
  if (const auto number = AsNumber(value)) return number->real != 0;
  if (const String* string = value.string()) return !string->text.empty();
  if (const List* list = value.list()) return !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  if (const Range* range = AsRange(value)) return range->length() > 0;
  if (const View* view = AsView(value)) return !view->dict().entries.empty();
  return value.object() != nullptr;
}

Result<int64_t> Length(Runtime& rt, const Value& value) {
  if (value.is_undefined()) return 0;
  if (const String* string = value.string()) {
    HEARTH_RETURN_IF_ERROR(rt.Work(string->text.size_bytes()));
    return static_cast<int64_t>(CountCodePoints(string->text.view()));
  }
  if (Loop* loop = AsLoop(value)) return loop->Length(rt);
  if (Iterator::IsIterable(value)) {
    HEARTH_ASSIGN_OR_RETURN(const Iterator iterator, Iterator::Over(rt, value));
    if (const auto length = iterator.length()) return *length;
  }
  return rt.Fail("object of type '" + std::string(TypeName(value)) + "' has no len()");
}

Result<bool> Equal(Runtime& rt, const Value& left, const Value& right) {
  HEARTH_RETURN_IF_ERROR(rt.Step());
  const auto a = AsNumber(left);
  const auto b = AsNumber(right);
  if (a && b) return CompareNumbers(*a, *b) == 0;
  if (left.data().index() != right.data().index()) return false;
  if (left.is_undefined() || left.is_none()) return true;
  if (left.string() != nullptr) {
    const auto x = left.text().view();
    const auto y = right.text().view();
    if (x.size() != y.size()) return false;
    HEARTH_RETURN_IF_ERROR(rt.Work(x.size()));
    return x == y;
  }
  if (left.list() != nullptr) return EqualLists(rt, *left.list(), *right.list());
  if (left.dict() != nullptr) return EqualDicts(rt, *left.dict(), *right.dict());
  const Range* x = AsRange(left);
  const Range* y = AsRange(right);
  if (x != nullptr && y != nullptr) return EqualRanges(*x, *y);
  return left.object() == right.object();
}

Result<bool> Compare(Runtime& rt, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEqual:
      return Equal(rt, left, right);
    case CompareOp::kNotEqual: {
      HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, left, right));
      return !same;
    }
    case CompareOp::kIn:
      return Contains(rt, right, left);
    case CompareOp::kNotIn: {
      HEARTH_ASSIGN_OR_RETURN(const bool found, Contains(rt, right, left));
      return !found;
    }
    default:
      return Order(rt, op, left, right);
  }
}

Result<bool> Contains(Runtime& rt, const Value& container, const Value& item) {
  if (const String* string = container.string()) {
    if (item.string() == nullptr) {
      return rt.Fail("'in <string>' requires string as left operand, not " +
                     std::string(TypeName(item)));
    }
    HEARTH_RETURN_IF_ERROR(rt.Work(string->text.size_bytes() + item.text().size_bytes()));
    return FindBytes(string->text.view(), item.text().view(), 0).has_value();
  }
  if (const Dict* dict = container.dict()) {
    HEARTH_ASSIGN_OR_RETURN(const Value* found, Find(rt, *dict, item));
    return found != nullptr;
  }
  if (container.list() == nullptr && container.object() == nullptr && !container.is_undefined()) {
    return rt.Fail("argument of type '" + std::string(TypeName(container)) + "' is not iterable");
  }
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, container));
  Value candidate;
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt, &candidate));
    if (!more) return false;
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, candidate, item));
    if (same) return true;
  }
}

bool IsHashable(const Value& value) {
  if (value.dict() != nullptr || AsView(value) != nullptr) return false;
  const List* list = value.list();
  if (list == nullptr) return true;
  if (list->kind == List::Kind::kList) return false;
  for (const Value& item : list->items) {
    if (!IsHashable(item)) return false;
  }
  return true;
}

Result<const Value*> Find(Runtime& rt, const Dict& dict, const Value& key) {
  if (!IsHashable(key)) {
    return rt.Fail("unhashable type: '" + std::string(TypeName(key)) + "'");
  }
  // Dicts of a conversation are small; the work of a large one is accounted for.
  HEARTH_RETURN_IF_ERROR(rt.Work(dict.entries.size() * sizeof(Value)));
  const String* text = key.string();
  for (const auto& [candidate, value] : dict.entries) {
    if (text != nullptr) {
      if (candidate.string() != nullptr && candidate.text() == text->text) return &value;
      continue;
    }
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, candidate, key));
    if (same) return &value;
  }
  return nullptr;
}

Status Insert(Runtime& rt, std::vector<std::pair<Value, Value>>& entries, const Value& key,
              Value value) {
  if (!IsHashable(key)) {
    return rt.Fail("unhashable type: '" + std::string(TypeName(key)) + "'");
  }
  HEARTH_RETURN_IF_ERROR(rt.Work(entries.size() * sizeof(Value)));
  for (auto& [candidate, current] : entries) {
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, candidate, key));
    if (same) {
      current = std::move(value);
      return {};
    }
  }
  HEARTH_RETURN_IF_ERROR(rt.Allocate(2 * sizeof(Value)));
  entries.emplace_back(key, std::move(value));
  return {};
}

Result<Array> Sorted(Runtime& rt, const Array& items, const Array& keys, bool reverse) {
  // A merge sort of our own: comparing can fail, and NaN is not ordered, both of which
  // std::stable_sort may not see.
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<size_t> scratch(items.size());
  HEARTH_RETURN_IF_ERROR(rt.Allocate(items.size() * (2 * sizeof(size_t) + sizeof(Value))));
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, items.size());
      const size_t end = std::min(begin + 2 * width, items.size());
      HEARTH_RETURN_IF_ERROR(Merge(rt, keys, reverse, begin, middle, end, order, scratch));
    }
    std::swap(order, scratch);
  }
  Array sorted;
  sorted.reserve(items.size());
  for (size_t index : order) sorted.push_back(items[index]);
  return sorted;
}

}  // namespace hearth::jinja
