#include "training/recipe/html.h"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <iterator>

namespace hearth::forge {

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= ' ' || c == '\n' || c == '\t') escaped += c;
    }
  }
  return escaped;
}

std::string NumberText(double value) {
  if (!std::isfinite(value)) return "no number";
  char buffer[64];
  const double size = std::abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-5)) {
    std::snprintf(buffer, sizeof buffer, "%.3e", value);
    return buffer;
  }
  if (size < 10000) {
    std::snprintf(buffer, sizeof buffer, "%.5g", value);
    // %g falls back to an exponent below 1e-4.
    if (std::string_view(buffer).find('e') != std::string_view::npos)
      std::snprintf(buffer, sizeof buffer, "%.8f", value);
    return buffer;
  }
  std::snprintf(buffer, sizeof buffer, "%.0f", value);
  std::string digits = buffer;
  const size_t first = digits[0] == '-' ? 1 : 0;
  for (size_t place = digits.size(); place > first + 3;) {
    place -= 3;
    digits.insert(place, ",");
  }
  return digits;
}

std::string DurationText(double seconds) {
  char buffer[64];
  if (seconds < 60) {
    std::snprintf(buffer, sizeof buffer, "%.*f s", seconds < 10 ? 1 : 0, seconds);
  } else if (seconds < 3600) {
    std::snprintf(buffer, sizeof buffer, "%d min %d s", static_cast<int>(seconds) / 60,
                  static_cast<int>(seconds) % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%lld h %d min", static_cast<long long>(seconds / 3600),
                  static_cast<int>(std::fmod(seconds, 3600)) / 60);
  }
  return buffer;
}

std::string BytesText(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto size = static_cast<double>(bytes);
  size_t unit = 0;
  for (; size >= 1024 && unit < std::size(kUnits) - 1; ++unit) size /= 1024;
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", size, kUnits[unit]);
  return buffer;
}

std::string TimeText(double unix_seconds) {
  if (unix_seconds <= 0) return "";
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm utc{};
  gmtime_r(&time, &utc);
  char buffer[40];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M UTC", &utc);
  return buffer;
}

}  // namespace hearth::forge
