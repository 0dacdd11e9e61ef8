#pragma once
// Matrix products of a weight matrix in strips with a batch of token columns, run by a whole team
// of threads.
// Threads: all workers of a team call RunMatmuls together; everything else is immutable.

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
  // Reserves room; keep_float: float products (float weights or the float reference path) will read
  // the rows.
  void Reserve(int max_tokens, int max_inputs, bool integer);
  void Shape(int num_tokens, int num_inputs) {
    num_tokens_ = num_tokens;
    num_inputs_ = num_inputs;
    tile_columns_ = few() ? kFewColumns : Kernels().tile_columns;
  }

  int num_tokens() const { return num_tokens_; }
  int num_inputs() const { return num_inputs_; }
  float* row(int token) { return floats_.data() + static_cast<size_t>(token) * num_inputs_; }
  const float* row(int token) const {
    return floats_.data() + static_cast<size_t>(token) * num_inputs_;
  }

  // Quantises inputs [first, first + count) of a token's row, both multiples of 32. No-op where no
  // integer product will read it.
  void Quantize(int token, int first, int count);
  void Quantize(int token) { Quantize(token, 0, num_inputs_); }

  bool integer() const { return integer_; }
  // Integer products take them in tiles of kFewColumns.
  bool few() const { return num_tokens_ <= Kernels().most_few_columns; }
  // Of a full tile.
  int tile_columns() const { return tile_columns_; }
  int num_tiles() const { return (num_tokens_ + tile_columns_ - 1) / tile_columns_; }
  const ActBlock* tile(int index) const {
    return blocks_.data() + static_cast<size_t>(index) * tile_columns_ * num_inputs_ / 32;
  }

 private:
  int num_tokens_ = 0;
  int num_inputs_ = 0;
  bool integer_ = true;
  int tile_columns_ = Kernels().tile_columns;
  std::vector<float> floats_;
  std::vector<ActBlock> blocks_;
};

struct MatmulJob {
  const Matrix* weights;
  float* out;         // [num_tokens][out_stride]
  size_t out_stride;  // at least weights->padded_rows()
};

// Per-worker memory for unpacked strips.
class MatmulScratch {
 public:
  // Requires: max_inputs is the largest num_columns of any matrix it will meet.
  MatmulScratch(int num_workers, int max_inputs);
  // Room for kMaxPanels panels.
  PanelBlock* panels(int worker) { return panels_[worker].data(); }

 private:
  std::vector<std::vector<PanelBlock>> panels_;
};

// Runs the products of one stage: every job multiplies the same activations. No barrier inside; the
// caller puts one after.
void RunMatmuls(Worker& worker, std::span<const MatmulJob> jobs, const Activations& x,
                MatmulScratch& scratch);

}  // namespace hearth
