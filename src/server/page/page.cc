#include "server/page/page.h"

#include <cstdint>
#include <cstdio>
#include <vector>

#include "server/page/embedded.h"

namespace hearth {
namespace {

struct ContentType {
  std::string_view extension;
  std::string_view type;
};

constexpr ContentType kContentTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".woff2", "font/woff2"},
};

std::string_view ContentTypeOf(std::string_view name) {
  for (const ContentType& entry : kContentTypes) {
    if (name.ends_with(entry.extension)) return entry.type;
  }
  return "application/octet-stream";
}

// FNV-1a: tells builds apart, guards nothing.
std::string EtagOf(std::string_view bytes) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  char text[24];
  std::snprintf(text, sizeof(text), "\"%016llx\"", static_cast<unsigned long long>(hash));
  return text;
}

std::vector<PageFile> Load() {
  std::vector<PageFile> files;
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    const std::string_view bytes(file.begin, static_cast<size_t>(file.end - file.begin));
    const std::string_view path = file.name == std::string_view("/index.html") ? "/" : file.name;
    files.push_back({path, ContentTypeOf(file.name), bytes, EtagOf(bytes)});
  }
  return files;
}

}  // namespace

std::span<const PageFile> PageFiles() {
  static const std::vector<PageFile> files = Load();
  return files;
}

}  // namespace hearth
