// Filters that call a filter or a test for each item: map, select, reject, selectattr, rejectattr.

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/chat_template/attribute_getter.h"
#include "runtime/chat_template/filters.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/operators.h"

namespace hearth::jinja {
namespace {

// The arguments after the first `count`.
Arguments Rest(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() +
                             static_cast<long>(std::min(count, arguments.positional.size())),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

// A generator that reads `input` as it is read itself.
template <typename Next>
Result<Value> GenerateFrom(Runtime& rt, const Value& input, Next next) {
  HEARTH_ASSIGN_OR_RETURN(Iterator iterator, Iterator::Over(rt, input));
  HEARTH_ASSIGN_OR_RETURN(
      Generator * generator,
      rt.New<Generator>("generator", [iterator = std::move(iterator), next](Value* item) mutable {
        return next(iterator, item);
      }));
  return Value(generator);
}

Result<Value> Map(Runtime& rt, const Value& input, const Arguments& arguments) {
  if (arguments.positional.empty()) {
    const Value* attribute = nullptr;
    std::optional<Value> fallback;
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") {
        attribute = &value;
      } else if (name == "default") {
        fallback = value;
      } else {
        return rt.Fail("Unexpected keyword argument '" + name + "'");
      }
    }
    if (attribute == nullptr) return rt.Fail("map requires a filter argument");
    HEARTH_ASSIGN_OR_RETURN(const AttributeGetter getter, AttributeGetter::Make(rt, attribute));
    return GenerateFrom(rt, input,
                        [&rt, getter, fallback](Iterator& items, Value* item) -> Result<bool> {
                          HEARTH_RETURN_IF_ERROR(rt.Step());
                          HEARTH_ASSIGN_OR_RETURN(const bool more, items.Next(rt, item));
                          if (!more) return false;
                          HEARTH_ASSIGN_OR_RETURN(*item, getter.Get(rt, *item));
                          if (fallback && item->is_undefined()) *item = *fallback;
                          return true;
                        });
  }
  const Value name = arguments.positional[0];
  return GenerateFrom(
      rt, input,
      [&rt, name, rest = Rest(arguments, 1)](Iterator& items, Value* item) -> Result<bool> {
        const Nested nested(rt);
        HEARTH_RETURN_IF_ERROR(nested.Check());
        HEARTH_RETURN_IF_ERROR(rt.Step());
        HEARTH_ASSIGN_OR_RETURN(const bool more, items.Next(rt, item));
        if (!more) return false;
        HEARTH_ASSIGN_OR_RETURN(*item, CallFilter(rt, name, *item, rest));
        return true;
      });
}

// select and its kin. `by_attribute`: the first argument names the attribute that is tested;
// `wanted`: which outcome stays.
Result<Value> SelectOrReject(Runtime& rt, const Value& input, const Arguments& arguments,
                             bool by_attribute, bool wanted) {
  AttributeGetter getter;
  size_t used = 0;
  if (by_attribute) {
    if (arguments.positional.empty()) return rt.Fail("Missing parameter for attribute name");
    HEARTH_ASSIGN_OR_RETURN(getter, AttributeGetter::Make(rt, &arguments.positional[0]));
    used = 1;
  }
  std::optional<Value> test;
  if (arguments.positional.size() > used) test = arguments.positional[used++];
  return GenerateFrom(rt, input,
                      [&rt, getter, test, wanted, rest = Rest(arguments, used)](
                          Iterator& items, Value* item) -> Result<bool> {
                        const Nested nested(rt);
                        HEARTH_RETURN_IF_ERROR(nested.Check());
                        for (;;) {
                          HEARTH_RETURN_IF_ERROR(rt.Step());
                          HEARTH_ASSIGN_OR_RETURN(const bool more, items.Next(rt, item));
                          if (!more) return false;
                          HEARTH_ASSIGN_OR_RETURN(const Value tested, getter.Get(rt, *item));
                          bool holds = false;
                          if (test) {
                            HEARTH_ASSIGN_OR_RETURN(holds, CallTest(rt, *test, tested, rest));
                          } else {
                            holds = Truthy(tested);
                          }
                          if (holds == wanted) return true;
                        }
                      });
}

template <bool by_attribute, bool wanted>
Result<Value> Select(Runtime& rt, const Value& input, const Arguments& arguments) {
  return SelectOrReject(rt, input, arguments, by_attribute, wanted);
}

constexpr Filter kSelectFilters[] = {
    {"map", Map},
    {"select", Select<false, true>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<true, false>},
};

}  // namespace

std::span<const Filter> SelectFilters() { return kSelectFilters; }

}  // namespace hearth::jinja
