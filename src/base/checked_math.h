#pragma once
// Sizes that come from files are added and multiplied here, so that an overflow is an error and not
// a small number.

#include <concepts>
#include <optional>

namespace hearth {

template <std::unsigned_integral T>
std::optional<T> CheckedAdd(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::unsigned_integral T>
std::optional<T> CheckedMul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

}  // namespace hearth
