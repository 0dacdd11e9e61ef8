// Filters over sequences as a whole.

#include <algorithm>
#include <memory>

#include "runtime/chat_template/attribute_getter.h"
#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/text_ops.h"

namespace hearth::jinja {
namespace {

// A generator over items that are there already.
Result<Value> Generate(Runtime& rt, Array items, const char* name = "generator") {
  HEARTH_RETURN_IF_ERROR(rt.Allocate(items.size() * sizeof(Value)));
  const auto shared = std::make_shared<const Array>(std::move(items));
  HEARTH_ASSIGN_OR_RETURN(
      Generator * generator,
      rt.New<Generator>(name, [shared, next = size_t{0}](Value* item) mutable -> Result<bool> {
        if (next >= shared->size()) return false;
        *item = (*shared)[next++];
        return true;
      }));
  return Value(generator);
}

Result<Value> LengthFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "length", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(rt, input));
  return Value(length);
}

Result<Value> First(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "first", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, input));
  Value item;
  HEARTH_ASSIGN_OR_RETURN(const bool any, iterator.Next(rt, &item));
  if (any) return item;
  return MakeUndefined(rt, "No first item, sequence was empty.");
}

Result<Value> Last(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "last", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, input));
  if (!iterator.length())
    return rt.Fail("'" + std::string(TypeName(input)) + "' object is not reversible");
  Value item;
  HEARTH_ASSIGN_OR_RETURN(const bool any, iterator.NextBackwards(rt, &item));
  if (any) return item;
  return MakeUndefined(rt, "No last item, sequence was empty.");
}

Result<Value> Join(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "join", arguments, {"d", "attribute"}));
  HEARTH_ASSIGN_OR_RETURN(const Text separator,
                          bound[0] == nullptr ? Result<Text>(Text()) : Str(rt, *bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, bound[1]));
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, input));
  TextBuilder joined(rt);
  for (bool first = true;; first = false) {
    Value item;
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt, &item));
    if (!more) return joined.FinishValue();
    HEARTH_ASSIGN_OR_RETURN(item, getter.Get(rt, std::move(item)));
    if (!first) joined.Append(separator);
    HEARTH_RETURN_IF_ERROR(AppendStr(rt, item, joined));
    HEARTH_RETURN_IF_ERROR(rt.Step());
  }
}

Result<Value> ListFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "list", arguments, {}));
  HEARTH_ASSIGN_OR_RETURN(Array items, Collect(rt, input));
  return rt.NewList(std::move(items));
}

Result<Value> Items(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "items", arguments, {}));
  if (input.is_undefined()) return Generate(rt, {});
  if (input.dict() == nullptr) return rt.Fail("Can only get item pairs from a mapping.");
  HEARTH_ASSIGN_OR_RETURN(View * view, rt.New<View>(input, View::What::kItems));
  HEARTH_ASSIGN_OR_RETURN(Array pairs, Collect(rt, Value(view)));
  return Generate(rt, std::move(pairs));
}

Result<Value> ReverseFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(Bind(rt, "reverse", arguments, {}));
  if (input.string() != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(Text reversed, Reverse(rt, input.text()));
    return rt.NewString(std::move(reversed));
  }
  if (!Iterator::IsIterable(input)) return rt.Fail("argument must be iterable");
  HEARTH_ASSIGN_OR_RETURN(Array items, Collect(rt, input));
  std::ranges::reverse(items);
  return Generate(rt, std::move(items), "list_reverseiterator");
}

Result<Array> KeysOf(Runtime& rt, const Array& items, const AttributeGetter& getter,
                     bool case_sensitive) {
  Array keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(Value key, getter.Key(rt, item, case_sensitive));
    keys.push_back(std::move(key));
  }
  return keys;
}

// The keys of 'a,b': one tuple per item.
Result<Array> SortKeys(Runtime& rt, const Array& items, const Value* attribute,
                       bool case_sensitive) {
  if (attribute == nullptr || attribute->string() == nullptr ||
      attribute->text().view().find(',') == std::string_view::npos) {
    HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, attribute));
    return KeysOf(rt, items, getter, case_sensitive);
  }
  const Text comma(",");
  HEARTH_ASSIGN_OR_RETURN(const Array names, Split(rt, attribute->text(), &comma, -1));
  std::vector<AttributeGetter> getters;
  for (const Value& name : names) {
    HEARTH_ASSIGN_OR_RETURN(AttributeGetter getter, AttributeGetter::Make(rt, &name));
    getters.push_back(std::move(getter));
  }
  Array keys;
  for (const Value& item : items) {
    Array key;
    for (const AttributeGetter& getter : getters) {
      HEARTH_ASSIGN_OR_RETURN(Value part, getter.Key(rt, item, case_sensitive));
      key.push_back(std::move(part));
    }
    HEARTH_ASSIGN_OR_RETURN(Value tuple, rt.NewList(std::move(key)));
    keys.push_back(std::move(tuple));
  }
  return keys;
}

Result<Value> Sort(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  HEARTH_ASSIGN_OR_RETURN(const Array keys, SortKeys(rt, items, bound[2], bound.TruthOr(1, false)));
  HEARTH_ASSIGN_OR_RETURN(Array sorted, Sorted(rt, items, keys, bound.TruthOr(0, false)));
  return rt.NewList(std::move(sorted));
}

Result<Value> DictSort(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  if (input.dict() == nullptr)
    return rt.Fail("'" + std::string(TypeName(input)) + "' object has no attribute 'items'");
  HEARTH_ASSIGN_OR_RETURN(const Text* by, bound.TextOrNull(rt, 1));
  if (by != nullptr && by->view() != "key" && by->view() != "value") {
    return rt.Fail("You can only sort by either \"key\" or \"value\"");
  }
  const Value position(by != nullptr && by->view() == "value" ? 1 : 0);
  HEARTH_ASSIGN_OR_RETURN(View * view, rt.New<View>(input, View::What::kItems));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, Value(view)));
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, &position));
  HEARTH_ASSIGN_OR_RETURN(const Array keys, KeysOf(rt, items, getter, bound.TruthOr(0, false)));
  HEARTH_ASSIGN_OR_RETURN(Array sorted, Sorted(rt, items, keys, bound.TruthOr(2, false)));
  return rt.NewList(std::move(sorted));
}

template <CompareOp op>
Result<Value> Extreme(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "min/max", arguments, {"case_sensitive", "attribute"}));
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, bound[1]));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  if (items.empty()) return MakeUndefined(rt, "No aggregated item, sequence was empty.");
  HEARTH_ASSIGN_OR_RETURN(const Array keys, KeysOf(rt, items, getter, bound.TruthOr(0, false)));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool better, Compare(rt, op, keys[i], keys[best]));
    if (better) best = i;
  }
  return items[best];
}

Result<Value> Sum(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "sum", arguments, {"attribute", "start"}));
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, bound[0]));
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, input));
  Value total = bound[1] == nullptr ? Value(0) : *bound[1];
  if (total.string() != nullptr)
    return rt.Fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (;;) {
    Value item;
    HEARTH_ASSIGN_OR_RETURN(const bool more, iterator.Next(rt, &item));
    if (!more) return total;
    HEARTH_ASSIGN_OR_RETURN(item, getter.Get(rt, std::move(item)));
    HEARTH_ASSIGN_OR_RETURN(total, Binary(rt, BinaryOp::kAdd, total, item));
    HEARTH_RETURN_IF_ERROR(rt.Step());
  }
}

Result<Value> Unique(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "unique", arguments, {"case_sensitive", "attribute"}));
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, bound[1]));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  HEARTH_ASSIGN_OR_RETURN(const Array keys, KeysOf(rt, items, getter, bound.TruthOr(0, false)));
  Array seen, unique;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!IsHashable(keys[i]))
      return rt.Fail("unhashable type: '" + std::string(TypeName(keys[i])) + "'");
    bool known = false;
    for (size_t j = 0; j < seen.size() && !known; ++j) {
      HEARTH_RETURN_IF_ERROR(rt.Step());
      HEARTH_ASSIGN_OR_RETURN(known, Equal(rt, keys[i], seen[j]));
    }
    if (known) continue;
    seen.push_back(keys[i]);
    unique.push_back(items[i]);
  }
  return Generate(rt, std::move(unique));
}

Result<Value> GroupBy(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "groupby", arguments,
                                                  {"attribute", "default", "case_sensitive"}, 1));
  const bool case_sensitive = bound.TruthOr(2, false);
  HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  // [key to compare, key to show, item], sorted by the first.
  Array entries, keys;
  const AttributeGetter itself;
  for (const Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(Value shown, getter.Get(rt, item));
    if (shown.is_undefined() && bound[1] != nullptr) shown = *bound[1];
    HEARTH_ASSIGN_OR_RETURN(Value key, itself.Key(rt, shown, case_sensitive));
    keys.push_back(key);
    HEARTH_ASSIGN_OR_RETURN(Value entry, rt.NewList({std::move(key), std::move(shown), item}));
    entries.push_back(std::move(entry));
  }
  HEARTH_ASSIGN_OR_RETURN(const Array sorted, Sorted(rt, entries, keys, false));
  Array groups;
  for (size_t begin = 0; begin < sorted.size();) {
    const Array& first = sorted[begin].list()->items;
    Array members;
    size_t end = begin;
    for (; end < sorted.size(); ++end) {
      const Array& entry = sorted[end].list()->items;
      HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, entry[0], first[0]));
      if (!same) break;
      members.push_back(entry[2]);
    }
    HEARTH_ASSIGN_OR_RETURN(Value list, rt.NewList(std::move(members)));
    HEARTH_ASSIGN_OR_RETURN(Value group,
                            rt.NewList({first[1], std::move(list)}, List::Kind::kGroup));
    groups.push_back(std::move(group));
    begin = end;
  }
  return rt.NewList(std::move(groups));
}

Result<Value> Batch(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "batch", arguments, {"linecount", "fill_with"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t size, bound.IntegerOr(rt, 0, 0));
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  Array batches, batch;
  for (const Value& item : items) {
    if (static_cast<int64_t>(batch.size()) == size) {
      HEARTH_ASSIGN_OR_RETURN(Value list, rt.NewList(std::exchange(batch, {})));
      batches.push_back(std::move(list));
    }
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (bound[1] != nullptr && !bound[1]->is_none()) {
      while (static_cast<int64_t>(batch.size()) < size) {
        HEARTH_RETURN_IF_ERROR(rt.Allocate(sizeof(Value)));
        batch.push_back(*bound[1]);
      }
    }
    HEARTH_ASSIGN_OR_RETURN(Value list, rt.NewList(std::move(batch)));
    batches.push_back(std::move(list));
  }
  return Generate(rt, std::move(batches));
}

Result<Value> SliceFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "slice", arguments, {"slices", "fill_with"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t num_slices, bound.IntegerOr(rt, 0, 0));
  if (num_slices == 0) return rt.Fail("integer division or modulo by zero");
  HEARTH_ASSIGN_OR_RETURN(const Array items, Collect(rt, input));
  const auto length = static_cast<int64_t>(items.size());
  const int64_t per_slice = length / num_slices, with_extra = length % num_slices;
  Array slices;
  int64_t offset = 0;
  for (int64_t slice = 0; slice < num_slices; ++slice) {
    HEARTH_RETURN_IF_ERROR(rt.Step());
    const int64_t start = offset + slice * per_slice;
    if (slice < with_extra) ++offset;
    const int64_t end = offset + (slice + 1) * per_slice;
    Array part(items.begin() + start, items.begin() + end);
    if (bound[1] != nullptr && !bound[1]->is_none() && slice >= with_extra)
      part.push_back(*bound[1]);
    HEARTH_ASSIGN_OR_RETURN(Value list, rt.NewList(std::move(part)));
    slices.push_back(std::move(list));
  }
  return Generate(rt, std::move(slices));
}

constexpr Filter kSequenceFilters[] = {
    {"batch", Batch},
    {"count", LengthFilter},
    {"dictsort", DictSort},
    {"first", First},
    {"groupby", GroupBy},
    {"items", Items},
    {"join", Join},
    {"last", Last},
    {"length", LengthFilter},
    {"list", ListFilter},
    {"max", Extreme<CompareOp::kGreater>},
    {"min", Extreme<CompareOp::kLess>},
    {"reverse", ReverseFilter},
    {"slice", SliceFilter},
    {"sort", Sort},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

std::span<const Filter> SequenceFilters() { return kSequenceFilters; }

}  // namespace hearth::jinja
