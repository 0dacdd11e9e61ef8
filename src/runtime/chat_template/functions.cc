#include "runtime/chat_template/functions.h"

#include "runtime/chat_template/bind.h"
#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/strftime.h"

namespace hearth::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // the sandbox's own

Result<Value> RangeFunction(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "range", arguments, {"start", "stop", "step"}, 1));
  int64_t start = 0, stop = 0;
  if (bound[1] == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(stop, bound.IntegerOr(rt, 0, 0));
  } else {
    HEARTH_ASSIGN_OR_RETURN(start, bound.IntegerOr(rt, 0, 0));
    HEARTH_ASSIGN_OR_RETURN(stop, bound.IntegerOr(rt, 1, 0));
  }
  HEARTH_ASSIGN_OR_RETURN(const int64_t step, bound.IntegerOr(rt, 2, 1));
  if (step == 0) return rt.Fail("range() arg 3 must not be zero");
  HEARTH_ASSIGN_OR_RETURN(Range * range, rt.New<Range>(start, stop, step));
  if (range->length() > kMaxRange) {
    return rt.Exhausted("Range too big. The sandbox blocks ranges larger than " +
                        std::to_string(kMaxRange) + ".");
  }
  return Value(range);
}

// dict(mapping or pairs, key=value, ...)
Result<std::vector<std::pair<Value, Value>>> DictEntries(Runtime& rt, std::string_view function,
                                                         const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) {
    return rt.Fail(std::string(function) + " expected at most 1 argument, got " +
                   std::to_string(arguments.positional.size()));
  }
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const Dict* dict = source.dict()) {
      HEARTH_RETURN_IF_ERROR(rt.Work(dict->entries.size() * 2 * sizeof(Value)));
      entries = dict->entries;
    } else {
      HEARTH_ASSIGN_OR_RETURN(const Array pairs, Collect(rt, source));
      for (const Value& pair : pairs) {
        HEARTH_ASSIGN_OR_RETURN(const Array two, Collect(rt, pair));
        if (two.size() != 2) {
          return rt.Fail("dictionary update sequence element has length " +
                         std::to_string(two.size()) + "; 2 is required");
        }
        HEARTH_RETURN_IF_ERROR(Insert(rt, entries, two[0], two[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.named)
    HEARTH_RETURN_IF_ERROR(Insert(rt, entries, Value(name), value));
  return entries;
}

Result<Value> DictFunction(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(auto entries, DictEntries(rt, "dict", arguments));
  return rt.NewDict(std::move(entries));
}

Result<Value> NamespaceFunction(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(auto entries, DictEntries(rt, "namespace", arguments));
  HEARTH_ASSIGN_OR_RETURN(Namespace * names, rt.New<Namespace>());
  for (auto& [key, value] : entries) {
    if (key.string() == nullptr) return rt.Fail("namespace attributes must be named by strings");
    HEARTH_RETURN_IF_ERROR(rt.Work(names->attributes.size() * sizeof(Value)));
    names->Set(key.text().view(), value);
  }
  return Value(names);
}

Result<Value> CyclerFunction(Runtime& rt, const Arguments& arguments) {
  if (arguments.positional.empty()) return rt.Fail("at least one item has to be provided");
  HEARTH_ASSIGN_OR_RETURN(Cycler * cycler, rt.New<Cycler>(arguments.positional));
  return Value(cycler);
}

Result<Value> JoinerFunction(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "joiner", arguments, {"sep"}));
  HEARTH_ASSIGN_OR_RETURN(Joiner * joiner,
                          rt.New<Joiner>(bound[0] == nullptr ? Value(", ") : *bound[0]));
  return Value(joiner);
}

Result<Value> RaiseException(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound,
                          Bind(rt, "raise_exception", arguments, {"message"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text message, Str(rt, *bound[0]));
  return MakeError(ErrorCode::kInvalidArgument, message.str());
}

Result<Value> StrftimeNow(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Bound bound, Bind(rt, "strftime_now", arguments, {"format"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* format, bound.TextOrNull(rt, 0));
  if (format == nullptr) return rt.Fail("strftime_now() wants a string");
  HEARTH_RETURN_IF_ERROR(rt.Work(format->size_bytes()));
  return rt.NewString(Text(Strftime(format->view(), rt.Now())));
}

constexpr GlobalFunction kFunctions[] = {
    {"range", RangeFunction},         {"dict", DictFunction},
    {"namespace", NamespaceFunction}, {"cycler", CyclerFunction},
    {"joiner", JoinerFunction},       {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},    {"lipsum"},
};

}  // namespace

const GlobalFunction* FindFunction(std::string_view name) {
  for (const GlobalFunction& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

}  // namespace hearth::jinja
