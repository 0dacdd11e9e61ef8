#include "runtime/model/weight_image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/check.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

constexpr size_t kPage = 4096;
constexpr char kMagic[8] = {'H', 'E', 'A', 'R', 'T', 'H', 'I', 'M'};

// First page of an image file.
struct Header {
  char magic[8];
  uint32_t layout_version;
  uint32_t num_tensors;
  uint64_t size_bytes;
  char key[32];
};

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Offsets follow from the list of tensors alone, so that the image needs no table.
size_t LayOut(const std::vector<const GgufTensor*>& tensors, std::vector<size_t>* offsets) {
  size_t end = kPage;
  for (const GgufTensor* tensor : tensors) {
    offsets->push_back(end);
    end = RoundUp(
        end + NumStrips(tensor->num_rows()) * StripBytes(tensor->type, tensor->num_columns()),
        kPage);
  }
  return end;
}

// Hash of the whole file, layout version included, as 32 hex digits. 10 GB/s: a second start does
// not even come here.
std::string ContentKey(const GgufFile& file) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_128bits_reset(state);
  const uint32_t version = kStripLayoutVersion;
  XXH3_128bits_update(state, &version, sizeof version);
  const std::span<const std::byte> bytes = file.file().bytes();
  constexpr size_t kPiece = 32 << 20;
  for (size_t offset = 0; offset < bytes.size(); offset += kPiece) {
    const size_t size = std::min(kPiece, bytes.size() - offset);
    XXH3_128bits_update(state, bytes.data() + offset, size);
    file.file().Release(offset, size);
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  std::array<char, 33> text;
  std::snprintf(text.data(), text.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text.data();
}

bool IsKey(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Names a file as it is now without reading it: device, inode, size and times change when the
// content does.
std::string StampOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "";
  const uint64_t fields[] = {info.st_dev,
                             info.st_ino,
                             static_cast<uint64_t>(info.st_size),
                             static_cast<uint64_t>(info.st_mtim.tv_sec),
                             static_cast<uint64_t>(info.st_mtim.tv_nsec),
                             static_cast<uint64_t>(info.st_ctim.tv_sec),
                             static_cast<uint64_t>(info.st_ctim.tv_nsec),
                             kStripLayoutVersion};
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(fields, sizeof fields)));
  return text.data();
}

// Where the image goes, in order and without gaps.
class ImageSink {
 public:
  virtual ~ImageSink() = default;
  // Room for the next `size` bytes.
  virtual std::byte* Next(size_t size) = 0;
  // All rooms handed out are filled; called now and then. Errors: kResourceExhausted.
  virtual Status Filled() = 0;
};

// The room that is filled before Filled() is called: enough for both threads to be busy.
constexpr size_t kBatchBytes = 16 << 20;

// Gives every tensor, re-laid, to `sink`.
Status Fill(const GgufFile& file, const std::vector<const GgufTensor*>& tensors,
            const std::vector<size_t>& offsets, size_t image_bytes, ImageSink& sink,
            ThreadPool& pool, const std::function<void(double)>& on_progress) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& tensor = *tensors[i];
    const size_t num_rows = tensor.num_rows(), row_bytes = tensor.row_bytes();
    const size_t num_strips = NumStrips(num_rows);
    const size_t strip_bytes = StripBytes(tensor.type, tensor.num_columns());
    const size_t batch = std::max<size_t>(1, kBatchBytes / strip_bytes);
    for (size_t first = 0; first < num_strips; first += batch) {
      const size_t count = std::min(batch, num_strips - first);
      std::byte* out = sink.Next(count * strip_bytes);
      pool.Run([&](Worker& worker) {
        worker.ForEach(static_cast<int64_t>(count), 4, [&](int64_t begin, int64_t end) {
          for (int64_t k = begin; k < end; ++k) {
            const size_t row = (first + static_cast<size_t>(k)) * kStripRows;
            const size_t rows = std::min<size_t>(kStripRows, num_rows - row);
            PackStrip(tensor.type, tensor.data.subspan(row * row_bytes, rows * row_bytes),
                      static_cast<int>(rows), tensor.num_columns(),
                      {out + k * strip_bytes, strip_bytes});
          }
        });
      });
      HEARTH_RETURN_IF_ERROR(sink.Filled());
      const size_t row = first * kStripRows;
      file.file().Release(tensor.file_offset + row * row_bytes,
                          std::min<size_t>(count * kStripRows, num_rows - row) * row_bytes);
    }
    const size_t end = i + 1 < tensors.size() ? offsets[i + 1] : image_bytes;
    const size_t gap = end - offsets[i] - num_strips * strip_bytes;
    std::memset(sink.Next(gap), 0, gap);
    HEARTH_RETURN_IF_ERROR(sink.Filled());
    file.file().Release(tensor.file_offset, tensor.data.size());
    if (on_progress) on_progress(static_cast<double>(end) / static_cast<double>(image_bytes));
  }
  return {};
}

class MemorySink : public ImageSink {
 public:
  explicit MemorySink(std::byte* next) : next_(next) {}
  std::byte* Next(size_t size) override { return std::exchange(next_, next_ + size); }
  Status Filled() override { return {}; }

 private:
  std::byte* next_;
};

// Writes in whole huge pages: what is written so lies in huge pages of the page cache where the
// file system can (ext4 since Linux 6.16, XFS), and is mapped with them. Coder-1.5B's decode gains
// two thirds (docs/LOG.md); an image filled through its mapping lies in small ones.
class FileSink : public ImageSink {
 public:
  FileSink(int fd, const std::string& path) : fd_(fd), path_(path) {}
  std::byte* Next(size_t size) override {
    const size_t begin = staged_;
    staged_ += size;
    if (buffer_.size() < staged_) buffer_.resize(staged_);
    return buffer_.data() + begin;
  }
  Status Filled() override { return WriteOut(staged_ / kHugePage * kHugePage); }
  Status Finish() { return WriteOut(staged_); }

 private:
  Status WriteOut(size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t written = ::pwrite(fd_, buffer_.data() + done, size - done, offset_);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        return MakeError(
            ErrorCode::kResourceExhausted,
            "cannot write " + path_ + ": " + std::strerror(written < 0 ? errno : ENOSPC));
      }
      done += static_cast<size_t>(written);
      offset_ += written;
    }
    std::memmove(buffer_.data(), buffer_.data() + size, staged_ - size);
    staged_ -= size;
    return {};
  }

  static constexpr size_t kHugePage = 2 << 20;
  int fd_;
  const std::string& path_;
  std::vector<std::byte> buffer_;
  size_t staged_ = 0;
  off_t offset_ = 0;
};

Header MakeHeader(const std::string& key, size_t size, size_t num_tensors) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.layout_version = kStripLayoutVersion;
  header.num_tensors = static_cast<uint32_t>(num_tensors);
  header.size_bytes = size;
  std::memcpy(header.key, key.data(), std::min(key.size(), sizeof header.key));
  return header;
}

bool IsIntact(const MappedFile& mapped, const std::string& key, size_t size, size_t num_tensors) {
  if (mapped.bytes().size() != size) return false;
  Header header;
  std::memcpy(&header, mapped.bytes().data(), sizeof header);
  return std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 &&
         header.layout_version == kStripLayoutVersion && header.num_tensors == num_tensors &&
         header.size_bytes == size && std::memcmp(header.key, key.data(), 32) == 0;
}

Status WriteImage(int fd, const GgufFile& file, const std::vector<const GgufTensor*>& tensors,
                  const std::vector<size_t>& offsets, size_t size, const std::string& key,
                  const std::string& path, ThreadPool& pool,
                  const std::function<void(double)>& on_progress) {
  FileSink sink(fd, path);
  std::byte* page = sink.Next(kPage);
  std::memset(page, 0, kPage);
  const Header header = MakeHeader(key, size, tensors.size());
  std::memcpy(page, &header, sizeof header);
  HEARTH_RETURN_IF_ERROR(Fill(file, tensors, offsets, size, sink, pool, on_progress));
  HEARTH_RETURN_IF_ERROR(sink.Finish());
  // The name must not outlive a power cut that the content did not.
  if (::fsync(fd) != 0)
    return MakeError(ErrorCode::kIo, "cannot flush " + path + ": " + std::strerror(errno));
  return {};
}

// Makes the image file under a temporary name and renames it. The error says what the disk refused.
Status MakeImageFile(const GgufFile& file, const std::vector<const GgufTensor*>& tensors,
                     const std::vector<size_t>& offsets, size_t size, const std::string& key,
                     const std::string& path, ThreadPool& pool,
                     const std::function<void(double)>& on_progress) {
  // The lock makes us the only one; what a killed process left there is written over.
  const std::string temporary = path + ".part";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return MakeError(ErrorCode::kIo, "cannot create " + temporary + ": " + std::strerror(errno));
  Status status = WriteImage(fd, file, tensors, offsets, size, key, temporary, pool, on_progress);
  ::close(fd);
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = MakeError(ErrorCode::kIo, "cannot rename " + temporary + ": " + std::strerror(errno));
  }
  if (!status) ::unlink(temporary.c_str());
  return status;
}

// Holds an advisory lock on a file for as long as it lives.
class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (fd_ >= 0) ::flock(fd_, LOCK_EX);
  }
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool held() const { return fd_ >= 0; }

 private:
  int fd_;
};

Result<MappedFile> OpenOrMakeImage(const GgufFile& file,
                                   const std::vector<const GgufTensor*>& tensors,
                                   const std::vector<size_t>& offsets, size_t size,
                                   ThreadPool& pool, const WeightImageOptions& options) {
  const std::string dir = options.cache_dir.empty() ? DefaultCacheDir() : options.cache_dir;
  if (dir.empty())
    return MakeError(ErrorCode::kIo, "no cache folder: neither XDG_CACHE_HOME nor HOME is set");
  std::error_code error;
  std::filesystem::create_directories(dir + "/images", error);
  if (error)
    return MakeError(ErrorCode::kIo, "cannot create " + dir + "/images: " + error.message());
  const std::string key = ModelKey(file, dir);
  const std::string path = dir + "/images/" + key + ".strips";

  const auto open_intact = [&]() -> Result<MappedFile> {
    auto mapped = MappedFile::Open(path);
    if (mapped && !IsIntact(*mapped, key, size, tensors.size())) {
      return MakeError(ErrorCode::kCorrupt, path + " is not what its name says");
    }
    return mapped;
  };
  if (auto mapped = open_intact()) return mapped;
  const FileLock lock(path + ".lock");
  if (!lock.held()) return MakeError(ErrorCode::kIo, "cannot lock " + path);
  if (auto mapped = open_intact()) return mapped;  // another process made it while we waited
  HEARTH_RETURN_IF_ERROR(
      MakeImageFile(file, tensors, offsets, size, key, path, pool, options.on_progress));
  return open_intact();
}

}  // namespace

std::string ModelKey(const GgufFile& file, const std::string& cache_dir) {
  if (cache_dir.empty()) return ContentKey(file);
  const std::string stamp = StampOf(file.path());
  const std::string stamp_path = cache_dir + "/stamps/" + stamp;
  std::string key;
  if (std::ifstream in(stamp_path); in >> key && IsKey(key)) return key;
  key = ContentKey(file);
  std::error_code ignored;
  std::filesystem::create_directories(cache_dir + "/stamps", ignored);
  std::ofstream(stamp_path) << key << "\n";  // a lost stamp only costs the hash again
  return key;
}

std::string DefaultCacheDir() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return std::string(cache) + "/hearth";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::string(home) + "/.cache/hearth";
  return "";
}

Result<WeightImage> WeightImage::Open(const GgufFile& file,
                                      const std::vector<const GgufTensor*>& tensors,
                                      ThreadPool& pool, const WeightImageOptions& options) {
  WeightImage image;
  std::vector<size_t> offsets;
  const size_t size = LayOut(tensors, &offsets);
  const std::byte* base = nullptr;
  if (options.use_disk) {
    auto mapped = OpenOrMakeImage(file, tensors, offsets, size, pool, options);
    if (mapped) {
      image.mapped_ = std::move(*mapped);
      image.mapped_.PreferHugePages();
      image.path_ = image.mapped_.path();
      base = image.mapped_.bytes().data();
    } else {
      image.why_in_memory_ = mapped.error().message;
    }
  }
  if (base == nullptr) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return MakeError(ErrorCode::kResourceExhausted,
                       "no memory for " + std::to_string(size) + " bytes of weights");
    }
    ::madvise(memory, size, MADV_HUGEPAGE);
    image.memory_ = std::shared_ptr<std::byte>(static_cast<std::byte*>(memory),
                                               [size](std::byte* bytes) { ::munmap(bytes, size); });
    MemorySink sink(image.memory_.get() + kPage);
    HEARTH_RETURN_IF_ERROR(Fill(file, tensors, offsets, size, sink, pool, options.on_progress));
    base = image.memory_.get();
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    image.matrices_.push_back({tensors[i]->type, base + offsets[i],
                               static_cast<int>(tensors[i]->num_rows()),
                               static_cast<int>(tensors[i]->num_columns()),
                               StripBytes(tensors[i]->type, tensors[i]->num_columns())});
  }
  return image;
}

}  // namespace hearth
