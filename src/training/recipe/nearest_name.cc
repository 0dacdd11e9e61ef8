#include "training/recipe/nearest_name.h"

#include <algorithm>
#include <array>
#include <limits>

namespace hearth::forge {
namespace {

constexpr size_t kMaxBytes = 64;

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  a = a.substr(0, kMaxBytes);
  b = b.substr(0, kMaxBytes);
  std::array<std::array<int, kMaxBytes + 1>, kMaxBytes + 1> distance;
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = static_cast<int>(i + j);
        continue;
      }
      const int replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

std::string NearestName(std::string_view name, std::span<const std::string> names) {
  std::string best;
  int best_distance = std::numeric_limits<int>::max();
  for (const std::string& known : names) {
    const int distance = EditDistance(name, known);
    if (distance < best_distance) {
      best_distance = distance;
      best = known;
    }
  }
  const int longer = static_cast<int>(std::max(name.size(), best.size()));
  if (best_distance <= std::max(1, longer / 3) && best_distance < longer) return best;
  // "rank" for lora_rank, "lr" not for everything with these letters.
  constexpr size_t kShortest = 4;
  for (const std::string& known : names) {
    if (name.size() >= kShortest && known.find(name) != std::string::npos) return known;
    if (known.size() >= kShortest && name.find(known) != std::string_view::npos) return known;
  }
  return "";
}

std::string NearestHint(std::string_view name, std::span<const std::string> names) {
  const std::string nearest = NearestName(name, names);
  return nearest.empty() ? "" : "; the nearest is " + nearest;
}

}  // namespace hearth::forge
