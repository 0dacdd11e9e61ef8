#include "training/trainer/tensorboard_sink.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

namespace hearth::forge {
namespace {

// CRC and lengths are little-endian, as is every machine that we run on.
static_assert(std::endian::native == std::endian::little);

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

// TFRecord's, so that a CRC of bytes that hold CRCs stays a good one.
uint32_t Masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8u; }

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void AppendKey(uint32_t field, WireType type, std::string& out) {
  AppendVarint(field << 3 | type, out);
}

template <typename T>
void AppendFixed(T value, std::string& out) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void AppendBytes(uint32_t field, std::string_view bytes, std::string& out) {
  AppendKey(field, kLengthDelimited, out);
  AppendVarint(bytes.size(), out);
  out += bytes;
}

std::string EventAt(double wall_time) {
  std::string event;
  AppendKey(1, kFixed64, event);
  AppendFixed(wall_time, event);
  return event;
}

double Clock() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since_epoch).count();
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

Result<std::unique_ptr<TensorboardSink>> TensorboardSink::Open(const std::string& folder,
                                                               std::function<double()> now) {
  if (!now) now = Clock;
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return MakeError(ErrorCode::kIo, folder + ": " + code.message());
  // The name must hold "tfevents"; time and process keep runs that resume apart.
  const double start = now();
  const std::string path = folder + "/events.out.tfevents." +
                           std::to_string(static_cast<int64_t>(start * 1e6)) + "." +
                           std::to_string(getpid()) + ".hearth";
  std::FILE* file = std::fopen(path.c_str(), "wxe");
  if (file == nullptr) {
    return MakeError(errno == EACCES ? ErrorCode::kPermission : ErrorCode::kIo,
                     path + ": " + std::strerror(errno));
  }
  std::unique_ptr<TensorboardSink> sink(new TensorboardSink(file, path, std::move(now)));
  std::string first = EventAt(start);
  AppendBytes(3, "brain.Event:2", first);
  sink->WriteRecord(first);
  return sink;
}

void TensorboardSink::AddScalar(std::string_view name, int64_t step, double value) {
  std::string scalar;
  AppendBytes(1, name, scalar);
  AppendKey(2, kFixed32, scalar);
  AppendFixed(static_cast<float>(value), scalar);
  std::string summary;
  AppendBytes(1, scalar, summary);
  std::string event = EventAt(now_());
  AppendKey(2, kVarint, event);
  AppendVarint(static_cast<uint64_t>(step), event);
  AppendBytes(5, summary, event);
  WriteRecord(event);
}

void TensorboardSink::WriteRecord(const std::string& data) {
  std::string record;
  AppendFixed(static_cast<uint64_t>(data.size()), record);
  AppendFixed(Masked(Crc32c(record)), record);
  record += data;
  AppendFixed(Masked(Crc32c(data)), record);
  ok_ &= std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size();
}

void TensorboardSink::Flush() { ok_ &= std::fflush(file_.get()) == 0; }

}  // namespace hearth::forge
