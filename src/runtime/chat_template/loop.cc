#include "runtime/chat_template/loop.h"

#include "runtime/chat_template/operators.h"

namespace hearth::jinja {

Result<bool> Loop::Peek(Runtime& rt) {
  if (next_) return true;
  Value item;
  HEARTH_ASSIGN_OR_RETURN(const bool more, items_.Next(rt, &item));
  if (more) next_ = std::move(item);
  return more;
}

Result<bool> Loop::Advance(Runtime& rt, Value* item) {
  HEARTH_ASSIGN_OR_RETURN(const bool more, Peek(rt));
  if (!more) return false;
  ++index0_;
  previous_ = std::move(current_);
  current_ = std::move(*next_);
  next_.reset();
  *item = current_;
  return true;
}

Result<int64_t> Loop::Length(Runtime& rt) {
  if (length_) return *length_;
  length_ = items_.length();
  if (length_) return *length_;
  // A generator has to be read to its end to be counted.
  Array rest;
  Value item;
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool more, items_.Next(rt, &item));
    if (!more) break;
    rest.push_back(std::move(item));
  }
  length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (next_ ? 1 : 0);
  HEARTH_ASSIGN_OR_RETURN(const Value list, rt.NewList(std::move(rest)));
  HEARTH_ASSIGN_OR_RETURN(items_, Iterator::Over(rt, list));
  return *length_;
}

Result<std::optional<Value>> Loop::Attribute(Runtime& rt, std::string_view name) {
  if (name == "index") return Value(index0_ + 1);
  if (name == "index0") return Value(index0_);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") {
    HEARTH_ASSIGN_OR_RETURN(const bool more, Peek(rt));
    return Value(!more);
  }
  if (name == "length") {
    HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(rt));
    return Value(length);
  }
  if (name == "revindex" || name == "revindex0") {
    HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(rt));
    return Value(length - index0_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "previtem") {
    if (index0_ > 0) return previous_;
    return MakeUndefined(rt, "there is no previous item");
  }
  if (name == "nextitem") {
    HEARTH_ASSIGN_OR_RETURN(const bool more, Peek(rt));
    if (more) return *next_;
    return MakeUndefined(rt, "there is no next item");
  }
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "depth0") return Value(depth0_);
  return std::optional<Value>();
}

Result<Value> Loop::Cycle(Runtime& rt, const Arguments& arguments) const {
  if (arguments.positional.empty()) return rt.Fail("no items for cycling given");
  const auto index = static_cast<size_t>(index0_ < 0 ? 0 : index0_);
  return arguments.positional[index % arguments.positional.size()];
}

Result<Value> Loop::Changed(Runtime& rt, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(Value value, rt.NewList(arguments.positional, List::Kind::kTuple));
  if (last_changed_) {
    HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(rt, *last_changed_, value));
    if (same) return Value(false);
  }
  last_changed_ = std::move(value);
  return Value(true);
}

}  // namespace hearth::jinja
