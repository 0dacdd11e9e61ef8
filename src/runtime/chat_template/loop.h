#pragma once
// The `loop` variable inside {% for %}.

#include <optional>

#include "runtime/chat_template/iterate.h"
#include "runtime/chat_template/objects.h"

namespace hearth::jinja {

class Loop : public HeapObject {
 public:
  // depth0: how many recursive calls of the loop stand around it.
  explicit Loop(Iterator items, int depth0 = 0)
      : HeapObject(Kind::kLoop), items_(std::move(items)), depth0_(depth0) {}

  // Steps to the next item and writes it, or returns false at the end.
  Result<bool> Advance(Runtime& rt, Value* item);

  // loop.first, loop.length, ...; nullopt for a name that loops do not have. Looking ahead draws
  // from a generator.
  Result<std::optional<Value>> Attribute(Runtime& rt, std::string_view name);
  Result<int64_t> Length(Runtime& rt);
  int64_t index0() const { return index0_; }

  // loop.cycle(...) and loop.changed(...)
  Result<Value> Cycle(Runtime& rt, const Arguments& arguments) const;
  Result<Value> Changed(Runtime& rt, const Arguments& arguments);

 private:
  // Whether there is another item, which is then in next_.
  Result<bool> Peek(Runtime& rt);

  Iterator items_;
  int depth0_;
  int64_t index0_ = -1;
  std::optional<Value> next_;
  Value current_, previous_;
  std::optional<int64_t> length_;
  std::optional<Value> last_changed_;
};

inline Loop* AsLoop(const Value& value) { return As<Loop>(value, HeapObject::Kind::kLoop); }

}  // namespace hearth::jinja
