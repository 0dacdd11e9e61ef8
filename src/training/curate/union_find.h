#pragma once
// Which rows belong together, joined pair by pair. Four bytes a row. Threads: one at a time, but
// Root may be asked from many while nobody joins.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace hearth::forge {

class UnionFind {
 public:
  explicit UnionFind(uint32_t count) : parents_(count) {
    std::iota(parents_.begin(), parents_.end(), 0U);
  }

  // The lowest member of the row's cluster.
  uint32_t Root(uint32_t row) const {
    while (parents_[row] != row) row = parents_[row];
    return row;
  }

  // False when they were together already.
  bool Join(uint32_t a, uint32_t b) {
    a = Shorten(a);
    b = Shorten(b);
    if (a == b) return false;
    // The lower becomes the root: the result does not depend on the order of joins.
    parents_[std::max(a, b)] = std::min(a, b);
    return true;
  }

 private:
  uint32_t Shorten(uint32_t row) {
    while (parents_[row] != row) {
      parents_[row] = parents_[parents_[row]];
      row = parents_[row];
    }
    return row;
  }

  std::vector<uint32_t> parents_;
};

}  // namespace hearth::forge
