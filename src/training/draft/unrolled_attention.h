#pragma once
// The attention of a draft head's later steps. At step j a head has guessed j tokens behind an
// anchor p, the last place whose states the base has computed. Its query sees the keys of all
// places up to p, made from the base's states, and the j keys that it made itself on the way. Rows
// are anchors, so both parts are simple: over the first kind attention is causal as ever (row p
// sees rows up to p), and of the second kind row p sees its own alone.
// Threads: one at a time.

#include "training/model/layers.h"

namespace hearth::forge {

// q [rows, heads, dim]; base_keys and base_values [rows, kv_heads, dim]; own_keys and own_values
// [rows, steps, kv_heads, dim] -> as q. All of one type; takes part in autograd.
Tensor UnrolledAttention(const Tensor& q, const Tensor& base_keys, const Tensor& base_values,
                         const Tensor& own_keys, const Tensor& own_values,
                         const SegmentLayout& segments);

}  // namespace hearth::forge
