#pragma once
// Jinja's filters and tests by name.

#include <span>
#include <string_view>

#include "runtime/chat_template/objects.h"

namespace hearth::jinja {

using FilterFn = Result<Value> (*)(Runtime& rt, const Value& input, const Arguments& arguments);
struct Filter {
  std::string_view name;
  FilterFn fn = nullptr;  // null: Jinja has it, we do not
};
// The filter of that name, or null.
const Filter* FindFilter(std::string_view name);

using TestFn = Result<bool> (*)(Runtime& rt, const Value& input, const Arguments& arguments);
struct Test {
  std::string_view name;
  TestFn fn = nullptr;
};
const Test* FindTest(std::string_view name);

// Calls what is named at run time, as map('upper') does.
Result<Value> CallFilter(Runtime& rt, const Value& name, const Value& input,
                         const Arguments& arguments);
Result<bool> CallTest(Runtime& rt, const Value& name, const Value& input,
                      const Arguments& arguments);

// Accounts for looking at all the bytes and items that a filter, test or method is given.
Status ChargeInputs(Runtime& rt, const Value& input, const Arguments& arguments);

// The tables that FindFilter looks into, one per file.
std::span<const Filter> TextFilters();      // filters_text.cc
std::span<const Filter> SequenceFilters();  // filters_sequence.cc
std::span<const Filter> SelectFilters();    // filters_select.cc
std::span<const Filter> NumberFilters();    // filters_number.cc

}  // namespace hearth::jinja
