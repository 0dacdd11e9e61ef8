// The kernels of every instruction set this machine runs, on one core.
//
//   cmake --preset release -DHEARTH_BENCHMARKS=ON
//   cmake --build --preset release --target kernels_bench
//   build/release/kernels_bench --benchmark_filter='few/.*/avx2/memory'
//
// few/FORMAT/ISA/cache|memory/COLUMNS  strips as they lie in a model, unpacked in registers: decode
//                                      and verify
// unpack/FORMAT/ISA                    a strip into a panel, bytes of the strip
// many/FORMAT/ISA/COLUMNS              kMaxPanels panels times tiles: prefill
// attention/KV/ISA/SHAPE/HEAD_DIM/CONTEXT  one KV head, from memory. one: one query; group: one
//                                      token of kGroup heads; verify: six tokens of them; prefill:
//                                      the context's last 64 tokens of them
// store_kv/KV/ISA/HEAD_DIM             a token's K and V into its block
// close_keys/ISA/HEAD_DIM              a block's keys from f16 to int4
// quantize, rms_norm, layer_norm, silu_mul, rope (with /ISA): rows of 2,048 floats, rope heads of
// 64 read/ISA/cache|memory, peak/ISA      what the machine gives: bytes read, int8 multiply-adds in
//                                      registers
//
// Columns of the output: bytes_per_second of weights, KV (counted once, however often it is read)
// or of what else is read and written; GMAC/s of multiply-adds; %read, the bytes as a share of
// read/ISA/memory; %peak, the multiply-adds as a share of peak/ISA (those of floats cannot exceed a
// quarter or so). "cache" is a buffer that stays in L2, "memory" one that is read in turn and, but
// on machines with hundreds of megabytes of cache, does not.

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
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

// What the machine gives one core, measured once.
struct Limits {
  double bytes_per_second;
  double multiply_adds_per_second;
};

// Calls run() until `seconds` are over, and three times at least; the fastest call's seconds.
template <typename Run>
double FastestRun(double seconds, const Run& run) {
  using Clock = std::chrono::steady_clock;
  double fastest = 1e9;
  const Clock::time_point start = Clock::now();
  for (int calls = 0;
       calls < 3 || std::chrono::duration<double>(Clock::now() - start).count() < seconds;
       ++calls) {
    const Clock::time_point begin = Clock::now();
    run();
    fastest = std::min(fastest, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return fastest;
}

const Limits& LimitsOf(const KernelTable& table) {
  static std::map<const KernelTable*, Limits> known;
  const auto [it, is_new] = known.try_emplace(&table);
  if (!is_new) return it->second;
  constexpr double kSeconds = 0.3;
  constexpr int kChunkFloats = 1 << 24;
  Buffer& buffer = SharedBuffer(false);
  std::memset(buffer.data(), 0, buffer.size());
  const auto* floats = reinterpret_cast<const float*>(buffer.data());
  const size_t num_chunks = buffer.size() / sizeof(float) / kChunkFloats;
  size_t next = 0;
  const double read_seconds = FastestRun(kSeconds, [&] {
    const float* chunk = floats + next++ % num_chunks * kChunkFloats;
    benchmark::DoNotOptimize(table.dot(chunk, chunk, kChunkFloats));
  });
  int64_t done = 0;
  const double peak_seconds = FastestRun(kSeconds, [&] { done = table.int8_peak(100'000); });
  it->second = {kChunkFloats * sizeof(float) / read_seconds,
                static_cast<double>(done) / peak_seconds};
  return it->second;
}

// The columns of the output. 0: has none.
void Count(benchmark::State& state, const KernelTable& table, double bytes, double multiply_adds) {
  const auto rate = [](double per_iteration) {
    return benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
  };
  const Limits& limits = LimitsOf(table);
  if (bytes > 0) {
    state.SetBytesProcessed(static_cast<int64_t>(static_cast<double>(state.iterations()) * bytes));
    state.counters["%read"] = rate(100 * bytes / limits.bytes_per_second);
  }
  if (multiply_adds > 0) {
    state.counters["GMAC/s"] = rate(multiply_adds * 1e-9);
    state.counters["%peak"] = rate(100 * multiply_adds / limits.multiply_adds_per_second);
  }
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
  Count(state, table, static_cast<double>(strip.size()), 16.0 * kNumInputs * num_columns);
}

void Unpack(benchmark::State& state, const KernelTable& table, StripFormat format) {
  const std::vector<std::byte> strip = RandomStrip(TensorTypeOf(format));
  std::vector<PanelBlock> panel(kNumBlocks);
  for (auto _ : state) {
    table.matmul[static_cast<int>(format)].unpack(strip.data(), kNumBlocks, panel.data());
    benchmark::DoNotOptimize(panel.data());
  }
  Count(state, table, static_cast<double>(strip.size()), 0);
}

void Many(benchmark::State& state, const KernelTable& table, StripFormat format) {
  const auto num_columns = static_cast<int>(state.range(0));
  const MatmulKernels& kernels = table.matmul[static_cast<int>(format)];
  constexpr int kRows = 16 * kMaxPanels;
  std::vector<PanelBlock> panels(kNumBlocks * kMaxPanels);
  for (int p = 0; p < kMaxPanels; ++p) {
    kernels.unpack(RandomStrip(TensorTypeOf(format)).data(), kNumBlocks, &panels[p * kNumBlocks]);
  }
  const std::vector<ActBlock> tile = RandomTiles(num_columns, table.tile_columns);
  std::vector<float> out(static_cast<size_t>(num_columns) * kRows);
  for (auto _ : state) {
    kernels.many(panels.data(), kMaxPanels, kNumBlocks, tile.data(), num_columns, out.data(), kRows,
                 {});
    benchmark::DoNotOptimize(out.data());
  }
  Count(state, table, 0, double{kRows} * kNumInputs * num_columns);
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
  Count(state, table, kChunkFloats * sizeof(float), 0);
}

void Peak(benchmark::State& state, const KernelTable& table) {
  int64_t done = 0;
  for (auto _ : state) done = table.int8_peak(100'000);
  Count(state, table, 0, static_cast<double>(done));
}

// Attention.

constexpr int kGroup = 6;  // query heads of a KV head, as in Coder-1.5B
constexpr size_t kKvBytes = size_t{128} << 20;

struct KvType {
  const char* name;
  KvStorage storage;
};
constexpr KvType kKvTypes[] = {
    {"f16", KvStorage::kF16}, {"int8", KvStorage::kInt8}, {"int4", KvStorage::kInt4}};

struct AttentionShape {
  const char* name;
  int num_tokens, group;
};
constexpr AttentionShape kAttentionShapes[] = {
    {"one", 1, 1}, {"group", 1, kGroup}, {"verify", 6, kGroup}, {"prefill", 64, kGroup}};

// One block of one head: keys, then values. int4: `open_keys` gets the block's keys as f16.
std::vector<std::byte> RandomKvBlock(KvStorage storage, int head_dim,
                                     std::vector<std::byte>& open_keys) {
  const KernelTable& table = Kernels();
  const size_t key_bytes = KeyBlockBytes(storage, head_dim);
  std::vector<std::byte> block(key_bytes + ValueBlockBytes(storage, head_dim));
  open_keys.resize(KeyBlockBytes(KvStorage::kF16, head_dim));
  const std::vector<float> x = RandomFloats(static_cast<size_t>(kKvBlockTokens) * head_dim);
  const bool opens = storage == KvStorage::kInt4;
  for (int slot = 0; slot < kKvBlockTokens; ++slot) {
    const float* token = &x[static_cast<size_t>(slot) * head_dim];
    table.store_kv(storage, token, token, head_dim, slot, opens ? open_keys.data() : block.data(),
                   block.data() + key_bytes);
  }
  if (opens) table.close_keys(open_keys.data(), head_dim, block.data());
  return block;
}

// The tokens at the end of a context, in tiles as the decoder makes them, split after split. One
// iteration is one KV head; the next one's lies elsewhere in memory.
void Attention(benchmark::State& state, const KernelTable& table, KvStorage storage,
               AttentionShape shape, int head_dim, int context) {
  std::vector<std::byte> open_keys;
  const std::vector<std::byte> block = RandomKvBlock(storage, head_dim, open_keys);
  const size_t key_bytes = KeyBlockBytes(storage, head_dim);
  Buffer& buffer = SharedBuffer(false);
  const int num_blocks = context / kKvBlockTokens;
  const size_t head_bytes = block.size() * num_blocks;
  const size_t num_heads = kKvBytes / head_bytes;
  for (size_t b = 0; b < num_heads * num_blocks; ++b)
    std::memcpy(buffer.data() + b * block.size(), block.data(), block.size());

  const int num_queries = shape.num_tokens * shape.group;
  std::vector<float> queries = RandomFloats(static_cast<size_t>(num_queries) * head_dim);
  for (float& q : queries) q *= 0.125f;
  std::vector<float> out(queries.size());
  std::vector<const float*> q;
  std::vector<float*> o;
  std::vector<int> first(num_queries, 0), end;
  double multiply_adds = 0;
  for (int i = 0; i < num_queries; ++i) {
    q.push_back(&queries[static_cast<size_t>(i) * head_dim]);
    o.push_back(&out[static_cast<size_t>(i) * head_dim]);
    end.push_back(context - shape.num_tokens + i / shape.group + 1);
    multiply_adds += 2.0 * end.back() * head_dim;
  }
  const int tile_queries = std::max(1, kMaxTileQueries / shape.group) * shape.group;
  std::vector<const std::byte*> k_blocks(num_blocks), v_blocks(num_blocks);
  const auto attention_state = std::make_unique<AttentionState>();
  const auto later = std::make_unique<AttentionState>();
  size_t next = 0;
  for (auto _ : state) {
    const std::byte* head = buffer.data() + next * head_bytes;
    for (int b = 0; b < num_blocks; ++b) {
      k_blocks[b] = head + b * block.size();
      v_blocks[b] = k_blocks[b] + key_bytes;
    }
    AttentionTile tile{storage,         head_dim,        0,   nullptr, nullptr, nullptr,
                       k_blocks.data(), v_blocks.data(), 0.0f};
    if (storage == KvStorage::kInt4) {
      tile.open_block = num_blocks - 1;
      k_blocks.back() = open_keys.data();
    }
    for (int i = 0; i < num_queries; i += tile_queries) {
      tile.num_queries = std::min(tile_queries, num_queries - i);
      tile.queries = &q[i];
      tile.first = &first[i];
      tile.end = &end[i];
      for (int split = 0; split < num_blocks; split += kAttentionSplitBlocks) {
        table.attention(tile, split, std::min(num_blocks, split + kAttentionSplitBlocks),
                        split == 0 ? *attention_state : *later);
        if (split > 0) table.attention_fold(*attention_state, *later, tile.num_queries, head_dim);
      }
      table.attention_finish(storage, *attention_state, tile.num_queries, head_dim, &o[i]);
    }
    benchmark::DoNotOptimize(out.data());
    next = next + 1 == num_heads ? 0 : next + 1;
  }
  Count(state, table, static_cast<double>(head_bytes), multiply_adds);
}

void StoreKv(benchmark::State& state, const KernelTable& table, KvStorage storage, int head_dim) {
  std::vector<std::byte> keys(KeyBlockBytes(KvStorage::kF16, head_dim)),
      values(ValueBlockBytes(KvStorage::kF16, head_dim));
  const std::vector<float> x = RandomFloats(head_dim);
  int slot = 0;
  for (auto _ : state) {
    table.store_kv(storage, x.data(), x.data(), head_dim, slot, keys.data(), values.data());
    benchmark::ClobberMemory();
    slot = (slot + 1) % kKvBlockTokens;
  }
  Count(state, table, 2.0 * sizeof(float) * head_dim, 0);
}

void CloseKeys(benchmark::State& state, const KernelTable& table, int head_dim) {
  std::vector<std::byte> open_keys;
  std::vector<std::byte> block = RandomKvBlock(KvStorage::kInt4, head_dim, open_keys);
  for (auto _ : state) {
    table.close_keys(open_keys.data(), head_dim, block.data());
    benchmark::ClobberMemory();
  }
  Count(state, table, static_cast<double>(open_keys.size()), 0);
}

// A row of kNumInputs floats through one of the small kernels, in cache. run(x, weight, out)
template <typename Run>
void Row(benchmark::State& state, const KernelTable& table, double bytes, double multiply_adds,
         const Run& run) {
  std::vector<float> x = RandomFloats(kNumInputs), weight = RandomFloats(kNumInputs),
                     out(kNumInputs);
  for (auto _ : state) {
    run(x.data(), weight.data(), out.data());
    benchmark::ClobberMemory();
  }
  Count(state, table, bytes * kNumInputs, multiply_adds * kNumInputs);
}

// With the bytes read and written, and the multiply-adds, of one number of the row.
template <typename Run>
void RegisterRow(const KernelTable* table, const char* name, double bytes, double multiply_adds,
                 Run run) {
  benchmark::RegisterBenchmark(
      (std::string(name) + "/" + table->name).c_str(),
      [=](benchmark::State& state) { Row(state, *table, bytes, multiply_adds, run); });
}

void RegisterRows(const KernelTable* table) {
  RegisterRow(table, "quantize", 6, 1, [=](const float* x, const float*, float*) {
    static std::vector<ActBlock> blocks(kNumBlocks);
    table->quantize(x, kNumBlocks, blocks.data(), 1);
  });
  RegisterRow(table, "rms_norm", 12, 3, [=](const float* x, const float* weight, float* out) {
    table->rms_norm(x, weight, 1e-5f, kNumInputs, out);
  });
  RegisterRow(table, "layer_norm", 16, 4, [=](const float* x, const float* weight, float* out) {
    table->layer_norm(x, weight, weight, 1e-5f, kNumInputs, out);
  });
  RegisterRow(table, "silu_mul", 12, 0, [=](const float* x, const float* weight, float* out) {
    table->silu_mul(x, weight, kNumInputs, out);
  });
  RegisterRow(table, "rope", 8, 2, [=](float* x, const float*, float*) {
    constexpr int kHeadDim = 64;
    static const std::vector<float> cos_sin = [] {
      std::vector<float> turn(2 * kHeadDim, 0.6f);
      std::fill_n(turn.begin(), kHeadDim, 0.8f);
      std::fill_n(turn.begin() + kHeadDim, kHeadDim / 2, -0.6f);
      return turn;
    }();
    for (int head = 0; head < kNumInputs; head += kHeadDim)
      table->rope(x + head, cos_sin.data(), kHeadDim, false);
  });
}

void RegisterAttention(const KernelTable* table) {
  for (const KvType& type : kKvTypes) {
    for (const int head_dim : {64, 128}) {
      const std::string isa = std::string(type.name) + "/" + table->name;
      const auto storage = type.storage;
      for (const AttentionShape& shape : kAttentionShapes) {
        for (const int context : {512, 8192}) {
          const std::string name = "attention/" + isa + "/" + shape.name + "/" +
                                   std::to_string(head_dim) + "/" + std::to_string(context);
          benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            Attention(state, *table, storage, shape, head_dim, context);
          });
        }
      }
      benchmark::RegisterBenchmark(
          ("store_kv/" + isa + "/" + std::to_string(head_dim)).c_str(),
          [=](benchmark::State& state) { StoreKv(state, *table, storage, head_dim); });
    }
  }
  for (const int head_dim : {64, 128}) {
    const std::string name =
        std::string("close_keys/") + table->name + "/" + std::to_string(head_dim);
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State& state) { CloseKeys(state, *table, head_dim); });
  }
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
    RegisterRows(table);
    RegisterAttention(table);
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
