// Products of many columns by the tile unit (AMX-INT8). One tdpbssd is 16 columns x 16 rows x 32
// inputs: activations are its A operand as they lie in a tile of ActBlocks (a column's 32 codes are
// a row of A), a block of the panel is its B operand as it lies (four inputs of 16 rows a line).
// What it leaves is one vector of 16 rows per column, scaled in the order that kernels.h
// prescribes.
//
// The sums go through memory, for there is no other way out of a tile. So three things run at once,
// on different blocks: the tile unit multiplies, the sums of the block before are stored, and the
// block three before that is scaled. While tiles are in flight the second of the two 512-bit float
// units of a Sapphire Rapids core stands idle (measured: 64 FMAs take 19 ns, else 9.4), so float
// operations are what limits us, and one of them is saved: see Scaled.
//
// Panels are taken in chunks that stay in the L1 cache while all tiles pass by; between chunks the
// accumulators rest in a buffer of their own, for columns of `out` lie apart.

#include "runtime/kernels/amx/matmul.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/prefetch_inl.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::ActBlock;
using hearth::PanelBlock;
using hearth::amx::kTileColumns;

constexpr int kMaxChunkBlocks = 32;  // 24 KB of panel
constexpr int kBatchTiles = 16;      // whose accumulators rest between chunks: 16 KB
constexpr int kSumSlots = 4;         // blocks whose sums are in memory
constexpr int kAhead = kSumSlots - 1;

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// Tiles 0, 1, 6 and 7 take sums, 2 and 3 activations, 4 and 5 codes.
constexpr TileConfig ConfigFor(uint16_t inputs) {
  const auto groups = static_cast<uint8_t>(inputs / 4);
  return {
      1, 0, {}, {64, 64, inputs, inputs, 64, 64, 64, 64}, {16, 16, 16, 16, groups, groups, 16, 16}};
}
constexpr TileConfig kConfig32 = ConfigFor(32), kConfig16 = ConfigFor(16);

// Where the blocks of a chunk lie: first its blocks of the first tile, then of the next one.
struct Chunk {
  const PanelBlock* panel;
  int num_blocks;
  const ActBlock* tiles;  // at the chunk's first block
  size_t tile_stride;     // ActBlocks from a tile to the next
  int num_tiles;
};

// Walks through a chunk in the order of the products.
class Walk {
 public:
  explicit Walk(const Chunk& chunk)
      : chunk_(chunk), left_(chunk.num_blocks * chunk.num_tiles), x_(chunk.tiles) {}
  bool done() const { return left_ == 0; }
  bool odd() const { return odd_; }
  const PanelBlock& weights() const { return chunk_.panel[block_]; }
  const ActBlock* x() const { return x_; }
  void Next() {
    --left_;
    odd_ = !odd_;
    x_ += kTileColumns;
    if (++block_ == chunk_.num_blocks) {
      block_ = 0;
      x_ += chunk_.tile_stride - static_cast<size_t>(chunk_.num_blocks) * kTileColumns;
    }
  }

 private:
  const Chunk& chunk_;
  int left_;
  int block_ = 0;
  bool odd_ = false;
  const ActBlock* x_;
};

// Sums of one block: [half][column][row].
template <bool kHalves>
struct alignas(64) Sums {
  int32_t v[kHalves ? 2 : 1][kTileColumns][16];
};

template <bool kHalves>
inline void Multiply(const Walk& at) {
  const ActBlock* x = at.x();
  const PanelBlock& w = at.weights();
  constexpr int kStride = sizeof(ActBlock);
  // Activations and codes of odd blocks have tiles of their own too, so that loading them does not
  // wait for the product before.
  if (!at.odd()) {
    _tile_loadd(2, x->q, kStride);
    _tile_loadd(4, w.codes[0], 64);
    _tile_zero(0);
    _tile_dpbssd(0, 2, 4);
    if constexpr (kHalves) {
      _tile_loadd(3, x->q + 16, kStride);
      _tile_loadd(5, w.codes[4], 64);
      _tile_zero(6);
      _tile_dpbssd(6, 3, 5);
    }
  } else {
    _tile_loadd(3, x->q, kStride);
    _tile_loadd(5, w.codes[0], 64);
    _tile_zero(1);
    _tile_dpbssd(1, 3, 5);
    if constexpr (kHalves) {
      _tile_loadd(2, x->q + 16, kStride);
      _tile_loadd(4, w.codes[4], 64);
      _tile_zero(7);
      _tile_dpbssd(7, 2, 4);
    }
  }
}

template <bool kHalves>
inline void StoreSums(bool odd, Sums<kHalves>& sums) {
  if (!odd) {
    _tile_stored(0, sums.v[0], 64);
    if constexpr (kHalves) _tile_stored(6, sums.v[1], 64);
  } else {
    _tile_stored(1, sums.v[0], 64);
    if constexpr (kHalves) _tile_stored(7, sums.v[1], 64);
  }
}

// 1.5 * 2^23: as bits of a float, kMagic + sum is the float 1.5 * 2^23 + sum for |sum| < 2^22, and
// a block's sum is at most 32 * 128 * 127.
constexpr int32_t kMagicBits = 0x4b400000;
constexpr float kMagic = 12582912.0f;

// scale * float(sum), rounded once. A conversion and a product are two float operations; adding
// kMagicBits is an integer one, and the fma takes away scale * kMagic, which is exact: a scale has
// 11 significant bits, or in K-quants at most 19. Not so where it is no finite number.
template <bool kFinite>
inline __m512 Scaled(__m512 scale, __m512 scale_magic, __m512i sum) {
  if constexpr (kFinite) {
    const __m512i bits = _mm512_add_epi32(sum, _mm512_set1_epi32(kMagicBits));
    return _mm512_fmsub_ps(scale, _mm512_castsi512_ps(bits), scale_magic);
  } else {
    return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum));
  }
}

// Adds one block to the accumulators of 16 columns.
template <bool kHalves, bool kMin, bool kFinite>
inline void AddBlock(const PanelBlock& w, const ActBlock* x, const Sums<kHalves>& sums,
                     __m512 acc[kTileColumns]) {
  const __m512 scale0 = _mm512_load_ps(w.scale[0]);
  const __m512 magic0 = _mm512_mul_ps(scale0, _mm512_set1_ps(kMagic));
  const __m512 scale1 = kHalves ? _mm512_load_ps(w.scale[1]) : scale0;
  const __m512 min0 = kMin ? _mm512_load_ps(w.min[0]) : scale0;
  const __m512 min1 = kMin && kHalves ? _mm512_load_ps(w.min[1]) : scale0;
#pragma GCC unroll 16
  for (int c = 0; c < kTileColumns; ++c) {
    __m512 t = Scaled<kFinite>(scale0, magic0, _mm512_load_si512(sums.v[0][c]));
    if constexpr (kHalves) {
      t = _mm512_fmadd_ps(scale1, _mm512_cvtepi32_ps(_mm512_load_si512(sums.v[1][c])), t);
    }
    acc[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(x[c].d), acc[c]);
    if constexpr (kMin) {
      acc[c] = _mm512_fmadd_ps(min0, _mm512_set1_ps(kHalves ? x[c].s0 : x[c].s), acc[c]);
      if constexpr (kHalves) acc[c] = _mm512_fmadd_ps(min1, _mm512_set1_ps(x[c].s1), acc[c]);
    }
  }
}

// Where a chunk's accumulators come from and go to, [column][stride].
struct Accumulators {
  const float* from;  // null: they start at 0
  size_t from_stride;
  float* to;
  size_t to_stride;
};

template <bool kHalves, bool kMin, bool kFinite>
void ChunkOfTiles(const Chunk& chunk, Accumulators at, Ahead& ahead) {
  Sums<kHalves> sums[kSumSlots];
  Walk multiplied(chunk), scaled(chunk);
  // The product runs one block ahead of the store, the store kAhead blocks ahead of the scaling.
  int num_stored = 0;
  const int total = chunk.num_blocks * chunk.num_tiles;
  const auto step = [&] {
    if (!multiplied.done()) {
      Multiply<kHalves>(multiplied);
      multiplied.Next();
    }
  };
  const auto store = [&] {
    if (num_stored < total) {
      StoreSums<kHalves>((num_stored & 1) != 0, sums[num_stored % kSumSlots]);
      ++num_stored;
    }
  };
  step();
  for (int i = 0; i < kAhead; ++i) {
    step();
    store();
  }
  int slot = 0;
  for (int tile = 0; tile < chunk.num_tiles; ++tile) {
    // What is written at the end of the tile lies in the L3 cache or farther: a store that waits
    // for its line holds up all stores behind it, those of the tiles too. Both ends, for columns
    // need not be aligned.
    for (int c = 0; c < kTileColumns; ++c) {
      PrefetchToWrite(at.to + c * at.to_stride);
      PrefetchToWrite(at.to + c * at.to_stride + 15);
    }
    __m512 acc[kTileColumns];
#pragma GCC unroll 16
    for (int c = 0; c < kTileColumns; ++c) acc[c] = _mm512_setzero_ps();
    if (at.from != nullptr) {
#pragma GCC unroll 16
      for (int c = 0; c < kTileColumns; ++c) acc[c] = _mm512_loadu_ps(at.from + c * at.from_stride);
      at.from += kTileColumns * at.from_stride;
    }
    for (int block = 0; block < chunk.num_blocks; ++block) {
      step();
      store();
      ahead.Step();
      AddBlock<kHalves, kMin, kFinite>(scaled.weights(), scaled.x(), sums[slot], acc);
      scaled.Next();
      slot = (slot + 1) % kSumSlots;
    }
#pragma GCC unroll 16
    for (int c = 0; c < kTileColumns; ++c) _mm512_storeu_ps(at.to + c * at.to_stride, acc[c]);
    at.to += kTileColumns * at.to_stride;
  }
}

// Of those that Scaled multiplies with.
bool AllScalesFinite(const PanelBlock* panel, int num_blocks) {
  constexpr int kInfinityOrNaN = 0x99;
  __mmask16 found = 0;
  for (int b = 0; b < num_blocks; ++b)
    found |= _mm512_fpclass_ps_mask(_mm512_load_ps(panel[b].scale[0]), kInfinityOrNaN);
  return found == 0;
}

template <bool kHalves, bool kMin>
void RunChunk(const Chunk& chunk, const Accumulators& at, Ahead& ahead) {
  if (AllScalesFinite(chunk.panel, chunk.num_blocks)) {
    ChunkOfTiles<kHalves, kMin, true>(chunk, at, ahead);
  } else {
    ChunkOfTiles<kHalves, kMin, false>(chunk, at, ahead);
  }
}

// Full tiles, at most kBatchTiles where the panel has several chunks.
template <bool kHalves, bool kMin>
void FullTiles(const PanelBlock* panel, int num_blocks, int chunk_blocks, const ActBlock* tiles,
               int num_tiles, float* out, size_t out_stride, Ahead& ahead) {
  alignas(64) float between[kBatchTiles * kTileColumns * 16];
  for (int begin = 0; begin < num_blocks; begin += chunk_blocks) {
    const int left = num_blocks - begin;
    const bool last = left <= chunk_blocks;
    RunChunk<kHalves, kMin>(
        {panel + begin, last ? left : chunk_blocks,
         tiles + static_cast<size_t>(begin) * kTileColumns,
         static_cast<size_t>(num_blocks) * kTileColumns, num_tiles},
        {begin == 0 ? nullptr : between, 16, last ? out : between, last ? out_stride : 16}, ahead);
  }
}

// The last columns, filled up to a tile with zero ones whose results are thrown away.
template <bool kHalves, bool kMin>
void PartialTile(const PanelBlock* panel, int num_blocks, int chunk_blocks, const ActBlock* tile,
                 int num_columns, float* out, size_t out_stride, Ahead& ahead) {
  ActBlock x[kMaxChunkBlocks * kTileColumns];
  alignas(64) float results[kTileColumns * 16];
  for (int begin = 0; begin < num_blocks; begin += chunk_blocks) {
    const int size = num_blocks - begin < chunk_blocks ? num_blocks - begin : chunk_blocks;
    for (int b = 0; b < size; ++b) {
      ActBlock* to = x + b * kTileColumns;
      memcpy(to, tile + static_cast<size_t>(begin + b) * num_columns,
             sizeof(ActBlock) * num_columns);
      memset(static_cast<void*>(to + num_columns), 0,
             sizeof(ActBlock) * (kTileColumns - num_columns));
    }
    asm volatile("" : : "r"(x) : "memory");  // tile loads do not tell the compiler what they read
    RunChunk<kHalves, kMin>({panel + begin, size, x, 0, 1},
                            {begin == 0 ? nullptr : results, 16, results, 16}, ahead);
  }
  for (int c = 0; c < num_columns; ++c)
    _mm512_storeu_ps(out + c * out_stride, _mm512_load_ps(results + c * 16));
}

template <bool kHalves, bool kMin>
void OnePanel(const PanelBlock* panel, int num_blocks, const ActBlock* tiles, int num_columns,
              float* out, size_t out_stride, Ahead& ahead) {
  const int num_tiles = num_columns / kTileColumns, rest = num_columns % kTileColumns;
  const int num_chunks = (num_blocks + kMaxChunkBlocks - 1) / kMaxChunkBlocks;
  const int chunk_blocks = (num_blocks + num_chunks - 1) / num_chunks;
  const int batch = num_chunks == 1 ? num_tiles : kBatchTiles;
  for (int first = 0; first < num_tiles; first += batch) {
    const size_t column = static_cast<size_t>(first) * kTileColumns;
    FullTiles<kHalves, kMin>(panel, num_blocks, chunk_blocks, tiles + column * num_blocks,
                             num_tiles - first < batch ? num_tiles - first : batch,
                             out + column * out_stride, out_stride, ahead);
  }
  if (rest > 0) {
    const size_t column = static_cast<size_t>(num_tiles) * kTileColumns;
    PartialTile<kHalves, kMin>(panel, num_blocks, chunk_blocks, tiles + column * num_blocks, rest,
                               out + column * out_stride, out_stride, ahead);
  }
}

template <bool kHalves, bool kMin>
void ManyColumns(const PanelBlock* panels, int num_panels, int num_blocks, const ActBlock* tiles,
                 int num_columns, float* out, size_t out_stride,
                 hearth::Upcoming upcoming) noexcept {
  const int num_tiles = (num_columns + kTileColumns - 1) / kTileColumns;
  Ahead ahead(upcoming.bytes, upcoming.size, int64_t{num_panels} * num_blocks * num_tiles);
  // Costs 60 ns together with the release, which spares the kernel the tiles at a switch of
  // threads.
  _tile_loadconfig(kHalves ? &kConfig16 : &kConfig32);
  for (int p = 0; p < num_panels; ++p) {
    OnePanel<kHalves, kMin>(panels + static_cast<size_t>(p) * num_blocks, num_blocks, tiles,
                            num_columns, out + hearth::kStripRows * p, out_stride, ahead);
  }
  _tile_release();
}

template <int kFormat>
void FillMany(hearth::KernelTable& table) {
  if constexpr (kFormat < hearth::kNumStripFormats) {
    constexpr hearth::FormatTraits kTraits =
        hearth::TraitsOf(static_cast<hearth::StripFormat>(kFormat));
    table.matmul[kFormat].many = ManyColumns<kTraits.scale_per_16, kTraits.has_min>;
    FillMany<kFormat + 1>(table);
  }
}

}  // namespace

namespace hearth::amx {
void SetMany(KernelTable& table) { FillMany<0>(table); }

}  // namespace hearth::amx
