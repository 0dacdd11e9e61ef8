#include "training/data/packing.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

namespace hearth::forge {
namespace {

// splitmix64 (Steele, Lea, Flood 2014): its output function mixes, its additive step makes a
// stream.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The room left in each bin, as a tree of maxima: the first bin with enough is found in log time.
class RoomTree {
 public:
  RoomTree(size_t num_bins, int64_t capacity)
      : leaves_(std::bit_ceil(num_bins)), room_(2 * leaves_, capacity) {}

  // Requires: some bin has that much.
  size_t Take(int64_t length) {
    size_t node = 1;
    while (node < leaves_) {
      node *= 2;
      if (room_[node] < length) ++node;
    }
    room_[node] -= length;
    const size_t bin = node - leaves_;
    for (node /= 2; node > 0; node /= 2)
      room_[node] = std::max(room_[2 * node], room_[2 * node + 1]);
    return bin;
  }

 private:
  size_t leaves_;
  std::vector<int64_t> room_;
};

}  // namespace

std::vector<std::vector<int64_t>> PackFirstFitDecreasing(std::span<const int32_t> lengths,
                                                         int64_t capacity, int64_t window) {
  std::vector<std::vector<int64_t>> bins;
  const auto count = static_cast<int64_t>(lengths.size());
  for (int64_t begin = 0; begin < count; begin += window) {
    std::vector<int64_t> rows(static_cast<size_t>(std::min(window, count - begin)));
    std::iota(rows.begin(), rows.end(), begin);
    const auto length = [&](int64_t row) { return lengths[static_cast<size_t>(row)]; };
    std::ranges::stable_sort(rows, std::greater(), length);
    // As many bins as rows, so that there is always one with room.
    RoomTree tree(rows.size(), capacity);
    std::vector<std::vector<int64_t>> filled(rows.size());
    size_t used = 0;
    for (const int64_t row : rows) {
      const size_t bin = tree.Take(std::min<int64_t>(length(row), capacity));
      filled[bin].push_back(row);
      used = std::max(used, bin + 1);
    }
    std::move(filled.begin(), filled.begin() + static_cast<int64_t>(used),
              std::back_inserter(bins));
  }
  return bins;
}

std::vector<int64_t> ShuffledOrder(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  uint64_t state = Mix(seed);
  for (size_t i = order.size(); i > 1; --i) {
    state += 0x9e3779b97f4a7c15;
    std::swap(order[i - 1], order[Mix(state) % i]);
  }
  return order;
}

uint64_t HashBytes(std::span<const char> bytes, uint64_t seed) {
  uint64_t hash = Mix(seed ^ 0xcbf29ce484222325);
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;  // FNV-1a's
  }
  return Mix(hash);
}

}  // namespace hearth::forge
