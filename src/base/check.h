#pragma once
// Assertions for our own bugs: they print the expression and the place, then abort. Never reachable
// from input.

namespace hearth {

[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace hearth

#define HEARTH_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::hearth::CheckFailed(#condition, __FILE__, __LINE__))

// Like HEARTH_CHECK, but only in builds without NDEBUG.
#ifdef NDEBUG
#define HEARTH_DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define HEARTH_DCHECK(condition) HEARTH_CHECK(condition)
#endif
