#include "server/openai/log_line.h"

#include <cstdio>

namespace hearth::openai {

std::string FormatLogLine(const http::Summary& summary) {
  std::string path;
  for (const char c : std::string_view(summary.path).substr(0, 200))
    path += c > 0x20 && c < 0x7f ? c : '?';
  char numbers[96];
  std::snprintf(numbers, sizeof(numbers), " %d %.1f ms %lld bytes", summary.status,
                summary.duration_ms, summary.bytes_sent);
  std::string line = summary.method.empty() ? "?" : summary.method.substr(0, 32);
  line += " " + (path.empty() ? "?" : path) + numbers + " from " + summary.peer;
  if (!summary.notes.empty()) line += " " + summary.notes;
  if (summary.client_gone) line += " client_left";
  return line;
}

bool IsRoutine(const http::Summary& summary) {
  if (summary.status >= 400) return false;
  const std::string& path = summary.path;
  return path == "/health" || path == "/v1/health" || path == "/ready" || path == "/metrics" ||
         path == "/api/status" || path == "/" || path.starts_with("/assets/") ||
         path == "/favicon.svg" || path == "/theme.js";
}

}  // namespace hearth::openai
