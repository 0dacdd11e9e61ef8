#pragma once
// Matrix products of a weight matrix in strips with a batch of token columns, run by a whole team
// of threads.
// Threads: all workers of a team call RunMatmuls or RunGated together; everything else is
// immutable.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/kernels/kernels.h"
#include "runtime/quant/tensor_type.h"

namespace hearth {

// A weight matrix in the kernels' layout (quant/strip.h). Does not own its bytes.
struct Matrix {
  TensorType type = TensorType::kF32;
  const std::byte* strips = nullptr;
  int num_rows = 0;     // N, outputs
  int num_columns = 0;  // K, inputs
  size_t strip_bytes = 0;

  int num_strips() const { return (num_rows + 15) / 16; }
  int padded_rows() const { return num_strips() * 16; }
  bool is_float() const {
    return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
  }
};

// The inputs of a product for a batch of M tokens: floats [M][row_stride], and the same quantised
// where integer products want it. Quantised columns stand in tiles, see kernels.h.
class Activations {
 public:
  // Reserves room. integer: integer products will read them; keeps_floats: float products will
  // (float weights, or the float reference path), or the caller wants `row`.
  void Reserve(int max_tokens, int max_inputs, bool integer, bool keeps_floats = true);
  void Shape(int num_tokens, int num_inputs) {
    num_tokens_ = num_tokens;
    num_inputs_ = num_inputs;
    tile_columns_ = few() ? kFewColumns : Kernels().tile_columns;
  }

  int num_tokens() const { return num_tokens_; }
  int num_inputs() const { return num_inputs_; }
  // Requires keeps_floats().
  float* row(int token) { return floats_.data() + static_cast<size_t>(token) * num_inputs_; }
  const float* row(int token) const {
    return floats_.data() + static_cast<size_t>(token) * num_inputs_;
  }

  // Quantises x as inputs [first, first + count) of a token, both multiples of 32. No-op where no
  // integer product will read it.
  void Quantize(int token, int first, int count, const float* x);
  // The token's row. Requires keeps_floats().
  void Quantize(int token, int first, int count) {
    Quantize(token, first, count, row(token) + first);
  }
  void Quantize(int token) { Quantize(token, 0, num_inputs_); }
  // Quantises inputs [32 * block, 32 * block + 32) of tokens that stand in one tile, x[count][32].
  // Requires integer().
  void QuantizeColumns(int first_token, int count, int block, const float* x);

  bool integer() const { return integer_; }
  bool keeps_floats() const { return keeps_floats_; }
  // Integer products take them in tiles of kFewColumns.
  bool few() const { return num_tokens_ <= Kernels().most_few_columns; }
  // Of a full tile.
  int tile_columns() const { return tile_columns_; }
  int num_tiles() const { return (num_tokens_ + tile_columns_ - 1) / tile_columns_; }
  const ActBlock* tile(int index) const {
    return blocks_.data() + static_cast<size_t>(index) * tile_columns_ * num_inputs_ / 32;
  }

 private:
  // Of a token; stride: from a block of its to the next.
  ActBlock* BlockOf(int token, int block, int* stride);

  int num_tokens_ = 0;
  int num_inputs_ = 0;
  bool integer_ = true, keeps_floats_ = true;
  int tile_columns_ = Kernels().tile_columns;
  std::vector<float> floats_;
  std::vector<ActBlock> blocks_;
};

struct MatmulJob {
  const Matrix* weights;
  float* out;         // [num_tokens][out_stride]
  size_t out_stride;  // at least weights->padded_rows()
};

// The first half of a gated FFN: out = activate(gate row, up row), quantised where `out` is. What
// gate and up give is used at once by the worker that made it, and never whole in memory.
struct GatedJob {
  const Matrix* gate;  // [num_rows][num_columns], num_rows a multiple of 32
  const Matrix* up;    // of the same shape
  // silu_mul or gelu_mul of a KernelTable
  void (*activate)(const float* gate, const float* up, int n, float* out) noexcept;
  Activations* out;  // shaped as num_tokens, num_rows
};

// Per-worker memory: unpacked strips, and what RunGated makes of gate and up.
class MatmulScratch {
 public:
  // Requires: max_inputs is the largest num_columns of any matrix it will meet; max_gated_rows and
  // max_tokens are the most rows and tokens of a RunGated.
  MatmulScratch(int num_workers, int max_inputs, int max_gated_rows = 0, int max_tokens = 0);
  // Room for kMaxPanels panels.
  PanelBlock* panels(int worker) { return panels_[worker].data(); }
  float* gate(int worker) { return gated_[worker].data(); }
  float* up(int worker) { return gated_[worker].data() + gated_floats_; }

 private:
  std::vector<std::vector<PanelBlock>> panels_;
  size_t gated_floats_ = 0;
  std::vector<std::vector<float>> gated_;
};

// Runs the products of one stage: every job multiplies the same activations. No barrier inside; the
// caller puts one after.
void RunMatmuls(Worker& worker, std::span<const MatmulJob> jobs, const Activations& x,
                MatmulScratch& scratch);
// Likewise.
void RunGated(Worker& worker, const GatedJob& job, const Activations& x, MatmulScratch& scratch);

}  // namespace hearth
