// Integer products of every format and instruction set this machine runs, on one core.
//
//   cmake --preset release -DHEARTH_BENCHMARKS=ON && cmake --build --preset release --target
//   kernels_bench build/release/kernels_bench --benchmark_filter='few/.*/avx2/memory'
//
// few/FORMAT/ISA/cache|memory/COLUMNS  strips as they lie in a model, unpacked in registers: decode
// and verify unpack/FORMAT/ISA                    a strip into a panel, bytes of the strip
// many/FORMAT/ISA/COLUMNS              a panel times tiles: prefill
// read/ISA/cache|memory, peak/ISA      what the machine gives: bytes read, int8 multiply-adds in
// registers
//
// Columns of the output: bytes_per_second of weights, GMAC/s of multiply-adds. "cache" is a buffer
// that stays in L2, "memory" one that is read in turn and, but on machines with hundreds of
// megabytes of cache, does not.

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "runtime/kernels/dispatch.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

constexpr int kNumInputs = 2048;
constexpr int kNumBlocks = kNumInputs / 32;
constexpr size_t kCacheBytes = size_t{1} << 20;
constexpr size_t kMemoryBytes = size_t{512} << 20;

// On huge pages, as the images of models are.
class Buffer {
 public:
  explicit Buffer(size_t size)
      : bytes_(static_cast<std::byte*>(::operator new(size, kAlign))), size_(size) {
    madvise(bytes_.get(), size, MADV_HUGEPAGE);  // a wish
  }
  std::byte* data() { return bytes_.get(); }
  size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlign{size_t{2} << 20};
  struct Delete {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlign); }
  };
  std::unique_ptr<std::byte, Delete> bytes_;
  size_t size_;
};

// One for all benchmarks of a size: what is in it is the caller's.
Buffer& SharedBuffer(bool in_cache) {
  static Buffer cache(kCacheBytes), memory(kMemoryBytes);
  return in_cache ? cache : memory;
}

std::vector<float> RandomFloats(size_t count) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(rng);
  return values;
}

std::vector<std::byte> RandomStrip(TensorType type) {
  std::vector<std::byte> rows(16 * RowBytes(type, kNumInputs)), strip(StripBytes(type, kNumInputs));
  QuantizeRow(type, RandomFloats(size_t{16} * kNumInputs), rows);
  PackStrip(type, rows, 16, kNumInputs, strip);
  return strip;
}

// One tile, or full tiles one after another.
std::vector<ActBlock> RandomTiles(int num_columns, int tile_columns) {
  std::vector<ActBlock> tiles(static_cast<size_t>(num_columns) * kNumBlocks);
  const std::vector<float> x = RandomFloats(static_cast<size_t>(num_columns) * kNumInputs);
  for (int column = 0; column < num_columns; ++column) {
    const int first = column / tile_columns * tile_columns;
    Kernels().quantize(&x[static_cast<size_t>(column) * kNumInputs], kNumBlocks,
                       &tiles[static_cast<size_t>(first) * kNumBlocks + column - first],
                       std::min(tile_columns, num_columns - first));
  }
  return tiles;
}

void CountMultiplyAdds(benchmark::State& state, double per_iteration) {
  state.counters["GMAC/s"] =
      benchmark::Counter(per_iteration * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void Few(benchmark::State& state, const KernelTable& table, StripFormat format, bool in_cache) {
  const auto num_columns = static_cast<int>(state.range(0));
  const std::vector<std::byte> strip = RandomStrip(TensorTypeOf(format));
  const std::vector<ActBlock> tile = RandomTiles(num_columns, num_columns);
  Buffer& weights = SharedBuffer(in_cache);
  const size_t num_strips = weights.size() / strip.size();
  for (size_t i = 0; i < num_strips; ++i)
    std::memcpy(weights.data() + i * strip.size(), strip.data(), strip.size());
  std::vector<float> out(static_cast<size_t>(num_columns) * 16);
  const auto few = table.matmul[static_cast<int>(format)].few;
  size_t next = 0;
  for (auto _ : state) {
    few(weights.data() + next * strip.size(), kNumBlocks, tile.data(), num_columns, out.data(), 16);
    benchmark::DoNotOptimize(out.data());
    next = next + 1 == num_strips ? 0 : next + 1;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(strip.size()));
  CountMultiplyAdds(state, 16.0 * kNumInputs * num_columns);
}

void Unpack(benchmark::State& state, const KernelTable& table, StripFormat format) {
  const std::vector<std::byte> strip = RandomStrip(TensorTypeOf(format));
  std::vector<PanelBlock> panel(kNumBlocks);
  for (auto _ : state) {
    table.matmul[static_cast<int>(format)].unpack(strip.data(), kNumBlocks, panel.data());
    benchmark::DoNotOptimize(panel.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(strip.size()));
}

void Many(benchmark::State& state, const KernelTable& table, StripFormat format) {
  const auto num_columns = static_cast<int>(state.range(0));
  const MatmulKernels& kernels = table.matmul[static_cast<int>(format)];
  std::vector<PanelBlock> panel(kNumBlocks);
  kernels.unpack(RandomStrip(TensorTypeOf(format)).data(), kNumBlocks, panel.data());
  const std::vector<ActBlock> tile = RandomTiles(num_columns, table.tile_columns);
  std::vector<float> out(static_cast<size_t>(num_columns) * 16);
  for (auto _ : state) {
    kernels.many(panel.data(), kNumBlocks, tile.data(), num_columns, out.data(), 16);
    benchmark::DoNotOptimize(out.data());
  }
  CountMultiplyAdds(state, 16.0 * kNumInputs * num_columns);
}

void Read(benchmark::State& state, const KernelTable& table, bool in_cache) {
  constexpr int kChunkFloats = 1 << 13;
  Buffer& buffer = SharedBuffer(in_cache);
  std::memset(buffer.data(), 0, buffer.size());  // zeros, and every page its own
  const auto* floats = reinterpret_cast<const float*>(buffer.data());
  const size_t num_chunks = buffer.size() / sizeof(float) / kChunkFloats;
  size_t next = 0;
  for (auto _ : state) {
    const float* chunk = floats + next * kChunkFloats;
    benchmark::DoNotOptimize(table.dot(chunk, chunk, kChunkFloats));
    next = next + 1 == num_chunks ? 0 : next + 1;
  }
  state.SetBytesProcessed(state.iterations() * kChunkFloats * static_cast<int64_t>(sizeof(float)));
}

void Peak(benchmark::State& state, const KernelTable& table) {
  int64_t done = 0;
  for (auto _ : state) done = table.int8_peak(100'000);
  CountMultiplyAdds(state, static_cast<double>(done));
}

void RegisterAll() {
  for (const KernelTable* table : AvailableKernels()) {
    const std::string isa = table->name;
    for (const bool in_cache : {true, false}) {
      const std::string name = "read/" + isa + (in_cache ? "/cache" : "/memory");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [=](benchmark::State& state) { Read(state, *table, in_cache); });
    }
    benchmark::RegisterBenchmark(("peak/" + isa).c_str(),
                                 [=](benchmark::State& state) { Peak(state, *table); });
    for (int f = 0; f < kNumStripFormats; ++f) {
      const auto format = static_cast<StripFormat>(f);
      const std::string what = std::string(InfoOf(TensorTypeOf(format)).name) + "/" + isa;
      for (const bool in_cache : {true, false}) {
        const std::string name = "few/" + what + (in_cache ? "/cache" : "/memory");
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          Few(state, *table, format, in_cache);
        })->DenseRange(1, kFewColumns);
      }
      benchmark::RegisterBenchmark(("unpack/" + what).c_str(),
                                   [=](benchmark::State& state) { Unpack(state, *table, format); });
      benchmark::RegisterBenchmark(("many/" + what).c_str(),
                                   [=](benchmark::State& state) { Many(state, *table, format); })
          ->Arg(table->tile_columns)
          ->Arg(8 * table->tile_columns)
          ->Arg(32 * table->tile_columns);
    }
  }
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  hearth::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
