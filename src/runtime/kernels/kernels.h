#pragma once
// The hot loops, one table of plain functions per instruction set. Kernels know pointers and
// counts, no models; they trust their callers and are noexcept. Dispatch happens once per
// operation, never inside a loop.
//
// Every function is specified down to the order of its float operations, so that all instruction
// sets give the same bits and a column's result depends neither on what is computed beside it nor
// on the kernel shape (few columns, many columns). `fma(a, b, c)` below means one rounding.
//
// Integer products, per output row and column, over blocks of 32 inputs in order, starting from acc
// = 0:
//   one scale per 32  (Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL Q4_K Q5_K):
//       isum = sum over 32 of (code - offset) * q            exact, int32
//       acc  = fma(scale * float(isum), d, acc)
//       acc  = fma(min, s, acc)                              types with a min: Q4_1 Q5_1 Q4_K Q5_K
//   one scale per 16  (Q2_K Q3_K Q6_K):
//       t    = fma(scale1, float(isum1), scale0 * float(isum0))
//       acc  = fma(t, d, acc)
//       acc  = fma(min0, s0, acc); acc = fma(min1, s1, acc)   Q2_K
// with scale and min as the formats define them (Q4_K: scale = d * float(sc), min = -(dmin *
// float(m)); Q4_1: scale = d, min = m), d, s, s0, s1 of the column's ActBlock. Float products, over
// inputs k in order: acc[k % 4] = fma(x[k], w[k], acc[k % 4]); result (acc0 + acc1) + (acc2 +
// acc3).
//
// Threads: pure functions over their arguments.

#include <cstddef>
#include <cstdint>

#include "runtime/quant/strip.h"

namespace hearth {

// 32 activations of one column, quantised: exactly one cache line.
// q = round_to_even(x / d), d = max|x| / 127; q = 0 where max|x| <= 1e-30. A block with a NaN or an
// infinity has q = 0 and d NaN, so that what is computed from it is NaN too.
struct alignas(64) ActBlock {
  int8_t q[32];
  float d;          // scale
  float s;          // d * float(sum of q)
  float s0, s1;     // d * float(sum of the first, of the second 16)
  int32_t neg_sum;  // -(sum of q): start value for codes with an offset
  int32_t neg_sum0, neg_sum1;
  int32_t unused;
};
static_assert(sizeof(ActBlock) == 64);

// Activation columns are kept in tiles: the blocks of the tile's columns interleaved,
// [num_blocks][num_columns]. A full tile has KernelTable::tile_columns columns, or kFewColumns
// where `few` is to take it; all tiles of a matrix but the last are full.
inline constexpr int kTileColumns = 12;  // of the tables that compute with vectors
inline constexpr int kMaxTileColumns = 16;
// Of a tile whose product unpacks the weights in registers as they stream by (decode, verify);
// larger ones unpack them once into a panel.
inline constexpr int kFewColumns = 8;

// Strips that a product of many columns takes at once: an activation that is loaded is multiplied
// with the rows of both.
inline constexpr int kMaxPanels = 2;

// A strip unpacked: what the many-column kernels multiply. Each table reads only what its own
// unpack wrote (amx subtracts the offset from the codes).
using PanelBlock = StripBlock;

// Memory that is read next, to be asked for while a product runs. A hint: nothing is read from it.
struct Upcoming {
  const std::byte* bytes = nullptr;
  size_t size = 0;
};

// How far ahead of their use the weights of few columns are asked for, in bytes: into the first
// cache, and into the second.
struct PrefetchDistance {
  int near, far;
};
PrefetchDistance StripPrefetch();

struct MatmulKernels {
  // One strip times one tile of 1 to kFewColumns columns. out[column * out_stride + row], 16 rows.
  void (*few)(const std::byte* strip, int num_blocks, const ActBlock* tile, int num_columns,
              float* out, size_t out_stride) noexcept;
  void (*unpack)(const std::byte* strip, int num_blocks, PanelBlock* panel) noexcept;
  // The same product from one to kMaxPanels unpacked strips (the panels one after another, the
  // rows of the second behind those of the first) and any number of columns, in tiles one after
  // another.
  void (*many)(const PanelBlock* panels, int num_panels, int num_blocks, const ActBlock* tiles,
               int num_columns, float* out, size_t out_stride, Upcoming upcoming) noexcept;
};

// Formats in the order of KernelTable::matmul.
enum class StripFormat : int {
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIQ4_NL,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kCount,
};
inline constexpr int kNumStripFormats = static_cast<int>(StripFormat::kCount);

// How the K and V of a layer are kept.
enum class KvStorage : int {
  kF16,
  kInt8,
  kInt8Int4,  // K as kInt8, V as kInt4
  kInt4,
};

// Tokens in a KV block; K and V of one block, layer and KV head are stored as
//   f16:  K [head_dim][64] half, V [64][head_dim] half
//   int8: K [head_dim / 2][64][2] int8, then K scales [head_dim / 32][64] float;
//         V [32][head_dim][2] int8, then V scales [head_dim / 32][64] float
//   int4: K [head_dim / 2][32][2] bytes, then scales [2][head_dim] and minima [2][head_dim], half:
//         the bytes of entry i of a pair of channels hold the codes of tokens i (low nibble) and
//         32 + i; scale and minimum are those of a channel and 32 tokens
//         V [32][head_dim / 32][16][2] bytes, then scales [head_dim / 32][64] and minima, half: the
//         bytes of entry i of 32 channels hold channels i (low nibble) and 16 + i. Before they are
//         coded, the values of a head are turned by a Hadamard matrix, and what is summed of them
//         is turned back at the end.
// K is channel-major so that one vector holds one channel of 16 tokens and scores need no
// horizontal sums. Where two numbers stand together ([2]: of K two channels, of V two tokens), the
// integer products take both at once.
//
// The int4 code of a key depends on 32 tokens, so it cannot be made before they are all there. The
// keys of a block that is being filled are therefore kept as f16 beside the cache ("open"), and
// coded once the block is full (close_keys). A token always sees its own block's keys as f16 and
// earlier blocks' as int4, whoever computes it and when.
inline constexpr int kKvBlockTokens = 64;

// One query tile of attention: `num_queries` vectors that share a KV head (the head group of one or
// several tokens).
struct AttentionTile {
  KvStorage storage;
  int head_dim;                 // a multiple of 32, at most 256
  int num_queries;              // at most kMaxTileQueries
  const float* const* queries;  // [num_queries][head_dim], already scaled
  const int* first;             // [num_queries] first visible position (sliding windows), absolute
  const int* end;               // [num_queries] one past the last visible position
  const std::byte* const* k_blocks;  // indexed by position / 64; null where no query looks
  const std::byte* const* v_blocks;
  float softcap;        // 0: none; otherwise score = softcap * tanh(score / softcap)
  int open_block = -1;  // kInt4: k_blocks holds f16 keys for this block
};
inline constexpr int kMaxTileQueries = 16;
inline constexpr int kMaxHeadDim = 256;
// A long context is attended to in splits of this many tokens at absolute positions, whose states
// are folded in order; the splits can be worked on side by side, and the result does not depend on
// whether they were.
inline constexpr int kAttentionSplitTokens = 512;
inline constexpr int kAttentionSplitBlocks = kAttentionSplitTokens / kKvBlockTokens;

// Where the queries of a tile stand after some blocks. total == 0: the query saw nothing there.
struct AttentionState {
  float maximum[kMaxTileQueries];                       // of the scores
  float total[kMaxTileQueries];                         // sum of e^(score - maximum)
  alignas(64) float sum[kMaxTileQueries][kMaxHeadDim];  // sum of e^(score - maximum) * value
};

struct KernelTable {
  const char* name;  // "scalar", "avx2", "avx_vnni", "avx512", "amx", "neon"
  int tile_columns;  // of a full tile of activations
  // The tiles that one strip after another is multiplied with should be no more bytes than this:
  // what the cache holds out of which they can be read as fast as they are used.
  size_t tile_group_bytes;
  // Products of at most so many columns are faster in tiles of kFewColumns, one after another by
  // `few`, than by unpacking for `many`. At least kFewColumns.
  int most_few_columns;

  MatmulKernels matmul[kNumStripFormats];

  // Unpacks a strip to floats [num_columns][16], the floats DequantizeRow gives.
  void (*unpack_f16)(const std::byte* strip, size_t count,
                     float* out) noexcept;  // count = num_columns * 16
  void (*unpack_bf16)(const std::byte* strip, size_t count, float* out) noexcept;
  // A float panel [num_inputs][16] times float columns x[column * x_stride + input].
  void (*float_matmul)(const float* panel, int num_inputs, const float* x, size_t x_stride,
                       int num_columns, float* out, size_t out_stride) noexcept;

  // Quantises `num_blocks` * 32 floats; block b goes to out[b * stride].
  void (*quantize)(const float* x, int num_blocks, ActBlock* out, size_t stride) noexcept;

  // out = x / sqrt(mean(x^2) + eps) * weight. n is a multiple of 16. In place is fine.
  void (*rms_norm)(const float* x, const float* weight, float eps, int n, float* out) noexcept;
  // out = (x - mean) / sqrt(variance + eps) * weight + bias
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int n,
                     float* out) noexcept;
  void (*add)(float* x, const float* y, int n) noexcept;  // x += y
  void (*scale)(float* x, float factor, int n) noexcept;  // x *= factor
  void (*silu_mul)(const float* gate, const float* up, int n,
                   float* out) noexcept;  // silu(gate) * up
  void (*gelu_mul)(const float* gate, const float* up, int n,
                   float* out) noexcept;   // gelu_tanh(gate) * up
  void (*gelu)(float* x, int n) noexcept;  // exact gelu (erf), in place
  // Rotates the first `rope_dim` channels of a head: x[i] = fma(x[i], cos[i], x[other] * sin[i]),
  // `cos_sin` holds cos[rope_dim], sin[rope_dim], the sine of a pair's first channel negative.
  // Interleaved: pairs are (2i, 2i + 1); otherwise (i, i + rope_dim / 2).
  void (*rope)(float* head, const float* cos_sin, int rope_dim, bool interleaved) noexcept;
  // Softmax attention of a tile over blocks [first_block, last_block), online, in order of
  // position, into a new state.
  void (*attention)(const AttentionTile& tile, int first_block, int last_block,
                    AttentionState& state) noexcept;
  // Adds what a later split of the same tile gave.
  void (*attention_fold)(AttentionState& state, const AttentionState& later, int num_queries,
                         int head_dim) noexcept;
  // out[query][head_dim] = sum / total
  void (*attention_finish)(KvStorage storage, const AttentionState& state, int num_queries,
                           int head_dim, float* const* out) noexcept;
  // Writes one token's K and V of one head into its block; kInt4: K into the open block's f16 keys.
  void (*store_kv)(KvStorage storage, const float* k, const float* v, int head_dim, int slot,
                   std::byte* k_block, std::byte* v_block) noexcept;
  // kInt4: codes the keys of a full block of one head from their f16 form.
  void (*close_keys)(const std::byte* open_keys, int head_dim, std::byte* k_block) noexcept;
  // sum of x[i] * y[i]
  float (*dot)(const float* x, const float* y, int n) noexcept;
  // sum of e^(x[i] - maximum), 256 terms at a time in float, those sums in double
  double (*sum_exp)(const float* x, int n, float maximum) noexcept;
  // For measuring only: `rounds` rounds of independent int8 dot products that never leave the
  // registers, the most this instruction set does on one core (amx: the most its vectors do, for
  // every product of a block passes through them). Returns the number of multiply-adds
  // done.
  int64_t (*int8_peak)(int64_t rounds) noexcept;
};

// The best table this CPU runs, chosen once. HEARTH_FORCE_ISA (scalar, avx2, avx_vnni, avx512, amx,
// neon)
// overrides it.
const KernelTable& Kernels();

// Bytes of K, and of V, of one block of one head.
size_t KeyBlockBytes(KvStorage storage, int head_dim);
size_t ValueBlockBytes(KvStorage storage, int head_dim);

}  // namespace hearth
