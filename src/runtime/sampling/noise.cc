#include "runtime/sampling/noise.h"

#include "runtime/sampling/portable_math.h"
#include "runtime/sampling/sampler.h"

namespace hearth {

// Each number is mixed in with its own odd constant, so that (seed 1, position 0) and (seed 0,
// position 1) have nothing in common.
NoiseStream::NoiseStream(uint64_t seed, uint32_t choice, uint64_t position)
    : key_(Mix(Mix(Mix(seed + 0x8cb92ba72f3d8dd7u) + uint64_t{choice} * 0xd6e8feb86659fd93u) +
               position * 0xa0761d6478bd642fu)) {}

double NoiseStream::Gumbel(uint64_t bits) { return -PortableLog(-PortableLog(Uniform(bits))); }

double NoiseUniform(uint64_t seed, uint32_t choice, uint64_t position, uint32_t token_id) {
  return NoiseStream::Uniform(NoiseStream(seed, choice, position).Bits(token_id));
}

}  // namespace hearth
