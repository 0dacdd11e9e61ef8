#include "runtime/chat_template/filters.h"

#include "runtime/chat_template/attributes.h"
#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/methods.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/tojson.h"

namespace hearth::jinja {
namespace {

Result<Value> Default(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "default", arguments, {"default_value", "boolean"}));
  if (input.is_undefined() || (bound.TruthOr(1, false) && !Truthy(input))) {
    return bound[0] == nullptr ? Value("") : *bound[0];
  }
  return input;
}

Result<Value> ToJsonFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(
      const Bound bound,
      Bind(rt, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.TruthOr(0, false);
  style.sort_keys = bound.TruthOr(3, false);
  if (const Value* indent = bound[1]; indent != nullptr && !indent->is_none()) {
    if (indent->string() != nullptr) {
      style.indent = indent->text();
    } else {
      HEARTH_ASSIGN_OR_RETURN(const int64_t width, bound.IntegerOr(rt, 1, 0));
      TextBuilder blanks(rt);
      blanks.AppendRepeated(Text(" "), width);
      HEARTH_ASSIGN_OR_RETURN(style.indent, blanks.Finish());
    }
  }
  if (const Value* separators = bound[2]; separators != nullptr && !separators->is_none()) {
    const List* pair = separators->list();
    if (pair == nullptr || pair->items.size() != 2 || pair->items[0].string() == nullptr ||
        pair->items[1].string() == nullptr) {
      return rt.Fail("tojson() separators must be a pair of strings");
    }
    style.item_separator = pair->items[0].text();
    style.key_separator = pair->items[1].text();
  }
  return ToJson(rt, input, style);
}

// `x|attr('name')`: like x.name, but items of a dict do not count.
Result<Value> Attr(Runtime& rt, const Value& input, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "attr", arguments, {"name"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* name, bound.TextOrNull(rt, 0));
  if (name == nullptr) return rt.Fail("attribute name must be string, not 'NoneType'");
  if (input.dict() != nullptr && FindMethod(input, name->view()) == nullptr) {
    return MakeUndefined(rt, "'dict object' has no attribute '" + name->str() + "'");
  }
  return GetAttribute(rt, input, name->view());
}

constexpr Filter kGeneralFilters[] = {
    {"attr", Attr}, {"d", Default}, {"default", Default},
    {"pprint"},     {"random"},     {"tojson", ToJsonFilter},
};

size_t InputBytes(const Value& value) {
  if (const String* string = value.string()) return string->text.size_bytes();
  if (const List* list = value.list()) return list->items.size() * sizeof(Value);
  if (const Dict* dict = value.dict()) return dict->entries.size() * 2 * sizeof(Value);
  return 0;
}

}  // namespace

Status ChargeInputs(Runtime& rt, const Value& input, const Arguments& arguments) {
  size_t bytes = InputBytes(input);
  for (const Value& value : arguments.positional) bytes += InputBytes(value);
  for (const auto& [name, value] : arguments.named) bytes += InputBytes(value);
  return rt.Work(bytes);
}

const Filter* FindFilter(std::string_view name) {
  for (const std::span<const Filter> table :
       {std::span<const Filter>(kGeneralFilters), TextFilters(), SequenceFilters(), SelectFilters(),
        NumberFilters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

Result<Value> CallFilter(Runtime& rt, const Value& name, const Value& input,
                         const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Text shown, Repr(rt, name));
  const Filter* filter = name.string() == nullptr ? nullptr : FindFilter(name.text().view());
  if (filter == nullptr) return rt.Fail("No filter named " + shown.str() + ".");
  if (filter->fn == nullptr) return rt.Unsupported("the filter " + shown.str());
  HEARTH_RETURN_IF_ERROR(ChargeInputs(rt, input, arguments));
  return filter->fn(rt, input, arguments);
}

Result<bool> CallTest(Runtime& rt, const Value& name, const Value& input,
                      const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Text shown, Repr(rt, name));
  const Test* test = name.string() == nullptr ? nullptr : FindTest(name.text().view());
  if (test == nullptr) return rt.Fail("No test named " + shown.str() + ".");
  HEARTH_RETURN_IF_ERROR(ChargeInputs(rt, input, arguments));
  return test->fn(rt, input, arguments);
}

}  // namespace hearth::jinja
