#include "runtime/ops/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

// Activations of one pass over a strip should stay in the L2 cache: a tile group of at most this
// many bytes.
constexpr size_t kTileGroupBytes = 1 << 20;

// Chunks small enough that a worker which was held up does not keep the others waiting.
constexpr int kChunksPerWorker = 8;

void DequantizeStripToPanel(const Matrix& w, const std::byte* strip, float* panel) {
  const auto count = static_cast<size_t>(w.num_columns) * kStripRows;
  switch (w.type) {
    case TensorType::kF16:
      Kernels().unpack_f16(strip, count, panel);
      return;
    case TensorType::kBF16:
      Kernels().unpack_bf16(strip, count, panel);
      return;
    default:
      break;
  }
  std::vector<float> row_values(w.num_columns);
  for (int row = 0; row < kStripRows; ++row) {
    DequantizeStripRow(w.type, {strip, w.strip_bytes}, row, row_values);
    for (int k = 0; k < w.num_columns; ++k)
      panel[static_cast<size_t>(k) * kStripRows + row] = row_values[k];
  }
}

void FloatStrip(const MatmulJob& job, const std::byte* strip, int first_row, const Activations& x,
                PanelBlock* scratch) {
  const Matrix& w = *job.weights;
  const auto* panel = reinterpret_cast<const float*>(strip);
  if (w.type != TensorType::kF32) {
    auto* unpacked = reinterpret_cast<float*>(scratch);
    DequantizeStripToPanel(w, strip, unpacked);
    panel = unpacked;
  }
  Kernels().float_matmul(panel, w.num_columns, x.row(0), x.num_inputs(), x.num_tokens(),
                         job.out + first_row, job.out_stride);
}

void IntegerStrip(const MatmulJob& job, const std::byte* strip, int first_row, const Activations& x,
                  int first_tile, int end_tile, PanelBlock* panel) {
  const Matrix& w = *job.weights;
  const MatmulKernels& kernels = Kernels().matmul[static_cast<int>(StripFormatOf(w.type))];
  const int num_blocks = w.num_columns / 32;
  if (x.num_tokens() <= kFewColumns) {
    kernels.few(strip, num_blocks, x.tile(0), x.num_tokens(), job.out + first_row, job.out_stride);
    return;
  }
  kernels.unpack(strip, num_blocks, panel);
  const int first_column = first_tile * x.tile_columns();
  kernels.many(panel, num_blocks, x.tile(first_tile),
               std::min(end_tile * x.tile_columns(), x.num_tokens()) - first_column,
               job.out + static_cast<size_t>(first_column) * job.out_stride + first_row,
               job.out_stride);
}

}  // namespace

void Activations::Reserve(int max_tokens, int max_inputs, bool integer) {
  integer_ = integer;
  floats_.resize(static_cast<size_t>(max_tokens) * max_inputs);
  if (integer) blocks_.resize(static_cast<size_t>(max_tokens) * max_inputs / 32);
}

void Activations::Quantize(int token, int first, int count) {
  if (!integer_) return;
  const int column = token % tile_columns_, first_of_tile = token - column;
  const int columns = std::min(tile_columns_, num_tokens_ - first_of_tile);
  ActBlock* out = blocks_.data() + static_cast<size_t>(first_of_tile) * num_inputs_ / 32 +
                  static_cast<size_t>(first / 32) * columns + column;
  Kernels().quantize(row(token) + first, count / 32, out, columns);
}

MatmulScratch::MatmulScratch(int num_workers, int max_inputs) : panels_(num_workers) {
  // The float path needs 64 bytes per input, the integer path sizeof(PanelBlock) = 768 per 32
  // inputs: 24.
  const size_t bytes = static_cast<size_t>(max_inputs) * kStripRows * sizeof(float);
  for (auto& panel : panels_) panel.resize((bytes + sizeof(PanelBlock) - 1) / sizeof(PanelBlock));
}

void RunMatmuls(Worker& worker, std::span<const MatmulJob> jobs, const Activations& x,
                MatmulScratch& scratch) {
  if (x.num_tokens() == 0) return;
  int64_t total_strips = 0;
  for (const MatmulJob& job : jobs) {
    HEARTH_DCHECK(job.weights->num_columns == x.num_inputs());
    total_strips += job.weights->num_strips();
  }
  const size_t tile_bytes =
      static_cast<size_t>(x.tile_columns()) * x.num_inputs() / 32 * sizeof(ActBlock);
  const int tiles_per_group = std::max<int>(1, static_cast<int>(kTileGroupBytes / tile_bytes));
  const int num_groups = (x.num_tiles() + tiles_per_group - 1) / tiles_per_group;
  PanelBlock* panel = scratch.panel(worker.index());
  const int64_t items = total_strips * num_groups;
  const int64_t chunk =
      std::max<int64_t>(1, items / (static_cast<int64_t>(worker.count()) * kChunksPerWorker));

  worker.ForEach(items, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      // groups outermost: activations stay, strips stream by
      const int group = static_cast<int>(item / total_strips);
      int64_t index = item % total_strips;
      const MatmulJob* job = jobs.data();
      while (index >= job->weights->num_strips()) index -= (job++)->weights->num_strips();
      const Matrix& w = *job->weights;
      const std::byte* strip = w.strips + static_cast<size_t>(index) * w.strip_bytes;
      const int first_row = static_cast<int>(index) * kStripRows;
      if (w.is_float() || !x.integer()) {
        if (group == 0) FloatStrip(*job, strip, first_row, x, panel);
      } else {
        IntegerStrip(*job, strip, first_row, x, group * tiles_per_group,
                     std::min((group + 1) * tiles_per_group, x.num_tiles()), panel);
      }
    }
  });
}

}  // namespace hearth
