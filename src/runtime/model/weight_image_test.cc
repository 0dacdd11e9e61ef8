// The cache of re-laid weights: made once and reused, and never believed when something about it is
// wrong. Whatever happened to the folder, the matrices are those of the model file.

#include "runtime/model/weight_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::string ReadBytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteBytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::vector<const GgufTensor*> MatricesOf(const GgufFile& file) {
  std::vector<const GgufTensor*> matrices;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.shape.size() == 2) matrices.push_back(&tensor);
  }
  return matrices;
}

// The strips of all matrices, one behind the other.
std::string Strips(const WeightImage& image, size_t num_matrices) {
  std::string bytes;
  for (size_t i = 0; i < num_matrices; ++i) {
    const Matrix& matrix = image.matrix(i);
    bytes.append(reinterpret_cast<const char*>(matrix.strips),
                 matrix.strip_bytes * static_cast<size_t>(matrix.num_strips()));
  }
  return bytes;
}

class WeightImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "weight_image_test_" + std::to_string(getpid());
    fs::create_directories(folder_);
    WriteModel(1);
  }
  void TearDown() override {
    std::error_code ignored;  // where there is none
    fs::permissions(cache_dir(), fs::perms::owner_all, ignored);
    fs::remove_all(folder_);
  }

  std::string cache_dir() const { return folder_ + "/cache"; }
  std::string model_path() const { return folder_ + "/model.gguf"; }

  void WriteModel(uint64_t seed) {
    testing::TinyModelOptions model;
    model.seed = seed;
    ASSERT_TRUE(testing::WriteTinyModel(model_path(), model));
  }

  struct Opened {
    std::string strips, path, why_in_memory;
    bool made = false;  // the weights were re-laid
  };
  Opened Open(bool use_disk = true) {
    const auto file = GgufFile::Open(model_path());
    EXPECT_TRUE(file) << file.error().message;
    const std::vector<const GgufTensor*> matrices = MatricesOf(*file);
    ThreadPool pool(2);
    Opened opened;
    const auto image = WeightImage::Open(
        *file, matrices, pool, {cache_dir(), use_disk, [&](double) { opened.made = true; }});
    EXPECT_TRUE(image) << image.error().message;
    if (!image) return opened;
    opened.strips = Strips(*image, matrices.size());
    opened.path = image->path();
    opened.why_in_memory = image->why_in_memory();
    return opened;
  }
  // What every image must hold.
  std::string Truth() { return Open(false).strips; }

  std::vector<fs::path> Files(const std::string& kind, const std::string& extension) const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(cache_dir() + "/" + kind)) {
      if (entry.path().extension() == extension) paths.push_back(entry.path());
    }
    return paths;
  }

  // The image is made again, whole, and lies where it lay.
  void ExpectMadeAgain() {
    const Opened again = Open();
    EXPECT_TRUE(again.made);
    EXPECT_TRUE(again.strips == Truth());
    EXPECT_FALSE(again.path.empty());
    EXPECT_THAT(again.why_in_memory, IsEmpty());
    EXPECT_FALSE(Open().made) << "it is kept";
  }

  std::string folder_;
};

TEST_F(WeightImageTest, ASecondStartMapsWhatTheFirstMade) {
  const Opened first = Open();
  EXPECT_TRUE(first.made);
  EXPECT_THAT(first.path, HasSubstr(cache_dir()));
  EXPECT_THAT(first.why_in_memory, IsEmpty());
  const Opened second = Open();
  EXPECT_FALSE(second.made);
  EXPECT_EQ(second.path, first.path);
  EXPECT_TRUE(first.strips == Truth());
  EXPECT_TRUE(second.strips == Truth());
}

TEST_F(WeightImageTest, ADamagedHeaderIsNotBelieved) {
  const std::string good = ReadBytes(Open().path);
  const std::string path = Open().path;
  // Magic, layout version, number of tensors, size, key: each alone.
  for (const size_t at : {size_t{0}, size_t{8}, size_t{12}, size_t{16}, size_t{24}}) {
    SCOPED_TRACE(at);
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    WriteBytes(path, bad);
    ExpectMadeAgain();
    EXPECT_TRUE(ReadBytes(path) == good);
  }
}

TEST_F(WeightImageTest, ATruncatedOrEmptyFileIsMadeAgain) {
  const std::string path = Open().path;
  const auto size = static_cast<uintmax_t>(fs::file_size(path));
  for (const uintmax_t rest : {uintmax_t{0}, uintmax_t{10}, size / 2, size - 1}) {
    SCOPED_TRACE(rest);
    fs::resize_file(path, rest);
    ExpectMadeAgain();
  }
  fs::resize_file(path, size + 1);
  ExpectMadeAgain();
}

TEST_F(WeightImageTest, AnotherModelUnderTheSameNameGetsItsOwnImage) {
  const Opened first = Open();
  const auto time = fs::last_write_time(model_path());
  const auto size = fs::file_size(model_path());
  WriteModel(2);
  // Same name, same size, even the same time of the last change.
  ASSERT_EQ(fs::file_size(model_path()), size);
  fs::last_write_time(model_path(), time);
  const Opened second = Open();
  EXPECT_TRUE(second.made);
  EXPECT_NE(second.path, first.path);
  EXPECT_FALSE(second.strips == first.strips);
  EXPECT_TRUE(second.strips == Truth());
}

TEST_F(WeightImageTest, ADamagedStampOnlyCostsTheHash) {
  const Opened first = Open();
  const std::vector<fs::path> stamps = Files("stamps", "");
  ASSERT_EQ(stamps.size(), 1u);
  const std::string good = ReadBytes(stamps[0]);
  for (const std::string& bad : {std::string(), std::string("short"), std::string(1000, 'f'),
                                 "../../" + std::string(26, '0'), std::string(32, '\xff')}) {
    SCOPED_TRACE(bad);
    WriteBytes(stamps[0], bad);
    const Opened again = Open();
    EXPECT_EQ(again.path, first.path);
    EXPECT_FALSE(again.made);
    EXPECT_EQ(ReadBytes(stamps[0]), good);
  }
}

TEST_F(WeightImageTest, AStampThatNamesAnImageOfAnotherModelIsFoundOut) {
  // As if the file system had given another file this one's number, times and size: a key that no
  // image of these tensors carries.
  const Opened first = Open();
  const std::vector<fs::path> stamps = Files("stamps", "");
  ASSERT_EQ(stamps.size(), 1u);
  const std::string wrong_key(32, 'a');
  WriteBytes(stamps[0], wrong_key + "\n");
  fs::copy_file(first.path, cache_dir() + "/images/" + wrong_key + ".strips");
  ExpectMadeAgain();  // the header of the copy says whose it is
}

TEST_F(WeightImageTest, WhatAKilledProcessLeftIsWrittenOver) {
  const std::string path = Open().path;
  const std::string good = ReadBytes(path);
  fs::remove(path);
  WriteBytes(path + ".part", std::string(2 * good.size(), 'x'));
  ExpectMadeAgain();
  EXPECT_TRUE(ReadBytes(path) == good);
  EXPECT_THAT(Files("images", ".part"), IsEmpty());
}

TEST_F(WeightImageTest, ProcessesThatStartTogetherShareOneImage) {
  constexpr int kProcesses = 4;
  const std::string truth = Truth();
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(go[1]);
      char byte;
      if (read(go[0], &byte, 1) < 0) _exit(3);  // until the parent closes its end
      const Opened opened = Open();
      if (opened.strips != truth || opened.path.empty()) _exit(2);
      _exit(opened.made ? 1 : 0);
    }
    children.push_back(child);
  }
  close(go[0]);
  close(go[1]);
  int num_makers = 0;
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_LE(WEXITSTATUS(status), 1);
    num_makers += WEXITSTATUS(status);
  }
  EXPECT_EQ(num_makers, 1);
  EXPECT_EQ(Files("images", ".strips").size(), 1u);
}

TEST_F(WeightImageTest, AFolderThatCannotBeWrittenMeansInMemoryWithAReason) {
  // A file where the folder should be: refused to everybody, root included.
  WriteBytes(cache_dir(), "no folder");
  const Opened refused = Open();
  EXPECT_TRUE(refused.made);
  EXPECT_THAT(refused.path, IsEmpty());
  EXPECT_THAT(refused.why_in_memory, HasSubstr(cache_dir()));
  EXPECT_TRUE(refused.strips == Truth());
  fs::remove(cache_dir());
  EXPECT_THAT(Open().why_in_memory, IsEmpty());
}

// Root may write everywhere: what folders refuse shows to somebody else only.
template <typename Body>
int ExitCodeAsOrdinaryUser(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (geteuid() == 0 && setuid(kNobody) != 0) _exit(100);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(WeightImageTest, AReadOnlyFolderMeansInMemoryWithAReason) {
  fs::create_directories(cache_dir());
  fs::permissions(cache_dir(), fs::perms(0555));
  const std::string truth = Truth();
  EXPECT_EQ(ExitCodeAsOrdinaryUser([&] {
              const Opened refused = Open();
              if (!refused.path.empty()) return 1;
              if (refused.why_in_memory.find("Permission denied") == std::string::npos) return 2;
              return refused.strips == truth ? 0 : 3;
            }),
            0);
}

TEST_F(WeightImageTest, AnImageInAReadOnlyFolderIsUsed) {
  const Opened first = Open();
  fs::permissions(first.path, fs::perms(0444));
  fs::permissions(cache_dir() + "/images", fs::perms(0555));
  EXPECT_EQ(ExitCodeAsOrdinaryUser([&] {
              const Opened second = Open();
              if (second.path != first.path) return 1;
              return second.made ? 2 : 0;
            }),
            0);
  fs::permissions(cache_dir() + "/images", fs::perms::owner_all);
}

TEST_F(WeightImageTest, WithoutTheDiskThereIsNoReasonToGive) {
  const Opened opened = Open(false);
  EXPECT_THAT(opened.path, IsEmpty());
  EXPECT_THAT(opened.why_in_memory, IsEmpty());
  EXPECT_FALSE(fs::exists(cache_dir()));
}

}  // namespace
}  // namespace hearth
