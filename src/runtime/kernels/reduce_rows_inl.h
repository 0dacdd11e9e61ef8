// Sums, or maxima, of up to sixteen vectors at once: a tree over all of them has few steps that
// wait for each other, and its end is a vector again. Over the vector V of an ISA's simd.h, for the
// float kernels.

namespace {

// The lane in which ReduceRows leaves what row r comes to.
constexpr int kLaneOfRow[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

template <int kRows, int kDistance, typename Combine>
inline void ReduceStep(V* rows, const Combine& combine) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows / 2; ++i) {
    const V a = rows[2 * i], b = rows[2 * i + 1];
    rows[i] = combine(Blend<kDistance>(a, b), Swap<kDistance>(Blend<kDistance>(b, a)));
  }
  if constexpr (kRows % 2 == 1) {
    const V last = rows[kRows - 1];
    rows[kRows / 2] = combine(last, Swap<kDistance>(last));
  }
}

// Lane kLaneOfRow[r] of the result: the lanes of row r combined, in the order of ReduceAdd's tree.
// The rows are used up.
template <int kRows, typename Combine>
inline V ReduceRows(V (&rows)[kRows], const Combine& combine) {
  constexpr int kHalf = (kRows + 1) / 2, kQuarter = (kHalf + 1) / 2, kEighth = (kQuarter + 1) / 2;
  ReduceStep<kRows, 8>(rows, combine);
  ReduceStep<kHalf, 4>(rows, combine);
  ReduceStep<kQuarter, 2>(rows, combine);
  ReduceStep<kEighth, 1>(rows, combine);
  return rows[0];
}

template <int kRows>
inline V SumRows(V (&rows)[kRows]) {
  return ReduceRows(rows, [](V a, V b) { return Add(a, b); });
}

template <int kRows>
inline V MaxRows(V (&rows)[kRows]) {
  return ReduceRows(rows, [](V a, V b) { return Max(a, b); });
}

}  // namespace
