#pragma once
// A fixture with a folder of its own, for tests that convert model folders.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace hearth::testing {

inline const std::string kConvertGoldens = "tests/golden/convert/";

inline std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class ScratchFolderTest : public ::testing::Test {
 protected:
  ScratchFolderTest() : scratch_(::testing::TempDir() + "kit_" + std::to_string(getpid()) + "/") {
    std::filesystem::create_directories(scratch_);
  }
  ~ScratchFolderTest() override { std::filesystem::remove_all(scratch_); }

  // A copy of a golden checkpoint's folder, to be changed.
  std::string CopyGolden(const std::string& name) const {
    std::filesystem::copy(kConvertGoldens + name, scratch_ + name,
                          std::filesystem::copy_options::recursive);
    return scratch_ + name;
  }

  const std::string scratch_;
};

}  // namespace hearth::testing
