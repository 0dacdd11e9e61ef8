#include "runtime/ops/matmul.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

// Activations of one pass over a strip should stay in the L2 cache: a tile group of at most this
// many bytes.
constexpr size_t kTileGroupBytes = 1 << 20;

// A product of few tiles is over so soon that reading the next strip shows; with more of them the
// memory has time enough.
constexpr int kMostTilesToReadAhead = 4;

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
                  int first_tile, int end_tile, Upcoming upcoming, PanelBlock* panel) {
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
               job.out_stride, upcoming);
}

// Of all jobs' strips the one at `index`: its job and its number there.
std::pair<const MatmulJob*, int64_t> FindStrip(std::span<const MatmulJob> jobs, int64_t index) {
  const MatmulJob* job = jobs.data();
  while (index >= job->weights->num_strips()) index -= (job++)->weights->num_strips();
  return {job, index};
}

Upcoming BytesOf(const Matrix& w, int64_t strip) {
  return {w.strips + static_cast<size_t>(strip) * w.strip_bytes, w.strip_bytes};
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
  const int tiles_per_group =
      std::clamp(static_cast<int>(kTileGroupBytes / tile_bytes), 1, x.num_tiles());
  const int num_groups = (x.num_tiles() + tiles_per_group - 1) / tiles_per_group;
  const bool reads_ahead = x.num_tokens() > kFewColumns && tiles_per_group <= kMostTilesToReadAhead;
  PanelBlock* panel = scratch.panel(worker.index());
  const int64_t items = total_strips * num_groups;
  const int64_t chunk =
      std::max<int64_t>(1, items / (static_cast<int64_t>(worker.count()) * kChunksPerWorker));

  worker.ForEach(items, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      // groups outermost: activations stay, strips stream by
      const int group = static_cast<int>(item / total_strips);
      const auto [job, strip] = FindStrip(jobs, item % total_strips);
      const int first_row = static_cast<int>(strip) * kStripRows;
      const Matrix& w = *job->weights;
      if (w.is_float() || !x.integer()) {
        if (group == 0) FloatStrip(*job, BytesOf(w, strip).bytes, first_row, x, panel);
        continue;
      }
      Upcoming upcoming;
      if (item + 1 < end && reads_ahead) {
        const auto [next_job, next_strip] = FindStrip(jobs, (item + 1) % total_strips);
        upcoming = BytesOf(*next_job->weights, next_strip);
      }
      IntegerStrip(*job, BytesOf(w, strip).bytes, first_row, x, group * tiles_per_group,
                   std::min((group + 1) * tiles_per_group, x.num_tiles()), upcoming, panel);
    }
  });
}

}  // namespace hearth
