#include "runtime/kernels/dispatch.h"

#include <cstdlib>

#include "runtime/kernels/tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace hearth {
namespace {

struct Candidate {
  const char* name;
  const KernelTable* table;  // null: not part of this build, or this CPU lacks it
};

#if defined(__x86_64__)
// Not among the names that Clang 14 knows.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// Nor is this one.
bool HasAvxVnni() {
  constexpr unsigned kAvxVnniBit = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnniBit) != 0;
}

// The CPU has the tile unit, and Linux lets this process use it: each thread's state grows by 8 KB
// where it does, so it must be asked for, once per process (arch_prctl(2) of Linux 5.16).
bool TilesAllowed() {
  constexpr unsigned kTileBit = 1u << 24, kInt8Bit = 1u << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTileBit) == 0 || (edx & kInt8Bit) == 0) return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

// A table is asked for only where the CPU has its instructions: the function that fills it is
// compiled with them too.
std::vector<Candidate> Candidates() {
  const KernelTable *avx2 = nullptr, *avx_vnni = nullptr, *avx512 = nullptr, *amx = nullptr,
                    *neon = nullptr;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c()) {
    avx2 = &Avx2Kernels();
    if (HasAvxVnni()) avx_vnni = &AvxVnniKernels();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      avx512 = &Avx512Kernels();
      static const bool tiles_allowed = TilesAllowed();
      if (tiles_allowed) amx = &AmxKernels();
    }
  }
#elif defined(__aarch64__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) neon = &NeonKernels();
#endif
  return {{"scalar", &ScalarKernels()}, {"avx2", avx2}, {"avx_vnni", avx_vnni},
          {"avx512", avx512},           {"amx", amx},   {"neon", neon}};
}

// What a core reads while memory answers, and no more than it can have in flight: Sapphire Rapids,
// 16.6 GB/s a core, read Q4_1 at 11.8 GB/s without prefetching, at 15.7 with these distances (six
// columns: 9.2 and 11.9), and lost it all again from 4 KB on, perhaps more lines than its second
// cache can wait for. Zen 5, 35 GB/s a core: 30.8 with them and 33 with the longer ones, six
// columns 22.4 and 29.2.
PrefetchDistance ChooseStripPrefetch() {
#if defined(__x86_64__)
  if (__builtin_cpu_is("amd") && __builtin_cpu_supports("avx512vnni")) return {2048, 8192};
#endif
  return {1024, 3072};
}

const KernelTable* Choose() {
  if (const char* forced = std::getenv("HEARTH_FORCE_ISA"); forced != nullptr && *forced != '\0') {
    if (auto table = FindKernels(forced)) return *table;  // otherwise main has said so and stopped
  }
  return AvailableKernels().back();
}

}  // namespace

PrefetchDistance StripPrefetch() {
  static const PrefetchDistance chosen = ChooseStripPrefetch();
  return chosen;
}

std::vector<const KernelTable*> AvailableKernels() {
  std::vector<const KernelTable*> tables;
  for (const Candidate& candidate : Candidates()) {
    if (candidate.table != nullptr) tables.push_back(candidate.table);
  }
  return tables;
}

Result<const KernelTable*> FindKernels(const std::string& name) {
  std::string known;
  for (const Candidate& candidate : Candidates()) {
    if (name != candidate.name) {
      known += known.empty() ? candidate.name : std::string(", ") + candidate.name;
      continue;
    }
    if (candidate.table == nullptr) {
      return MakeError(ErrorCode::kUnsupported, "this CPU cannot run the " + name + " kernels");
    }
    return candidate.table;
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "unknown instruction set '" + name + "'; known: " + known);
}

Status CheckForcedIsa() {
  const char* forced = std::getenv("HEARTH_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') return {};
  if (auto table = FindKernels(forced); !table) {
    return MakeError(table.error().code,
                     "HEARTH_FORCE_ISA=" + std::string(forced) + ": " + table.error().message);
  }
  return {};
}

const KernelTable& Kernels() {
  static const KernelTable* const table = Choose();
  return *table;
}

size_t KeyBlockBytes(KvStorage storage, int head_dim) {
  const auto elements = static_cast<size_t>(head_dim) * kKvBlockTokens;
  switch (storage) {
    case KvStorage::kF16:
      return elements * 2;
    case KvStorage::kInt8:
    case KvStorage::kInt8Int4:
      return elements + elements / 32 * sizeof(float);
    case KvStorage::kInt4:
      break;
  }
  return elements / 2 + elements / 32 * 2 * sizeof(uint16_t);  // a scale and a minimum for 32
}

size_t ValueBlockBytes(KvStorage storage, int head_dim) {
  return KeyBlockBytes(storage == KvStorage::kInt8Int4 ? KvStorage::kInt4 : storage, head_dim);
}

}  // namespace hearth
