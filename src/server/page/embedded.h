#pragma once
// What CMakeLists.txt generates: names and bytes of the page's files. Internal to page/.

#include <span>

namespace hearth {

struct EmbeddedFile {
  const char* name;  // "/index.html"
  const char* begin;
  const char* end;
};

std::span<const EmbeddedFile> EmbeddedFiles();

}  // namespace hearth
