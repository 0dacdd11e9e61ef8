#pragma once
// Which rows share a batch. Threads: pure functions.

#include <cstdint>
#include <span>
#include <vector>

namespace hearth::forge {

// Rows of these lengths into bins of `capacity`: within each window of `window` neighbouring rows,
// the longest first, each into the first bin that has room (first-fit-decreasing: at most 11/9 of
// the fewest bins that could do, plus one). A row longer than `capacity` gets a bin of its own.
// Bins hold indices into `lengths`; every row is in exactly one. O(n log n).
std::vector<std::vector<int64_t>> PackFirstFitDecreasing(std::span<const int32_t> lengths,
                                                         int64_t capacity, int64_t window);

// A permutation of 0 to count - 1, the same for the same seed everywhere (the standard library's
// shuffle is not).
std::vector<int64_t> ShuffledOrder(int64_t count, uint64_t seed);

// 64 well-mixed bits of the bytes; the same everywhere.
uint64_t HashBytes(std::span<const char> bytes, uint64_t seed = 0);

}  // namespace hearth::forge
