#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

extern char** environ;

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kErrorTailBytes = 4096;

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { Close(); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return MakeError(ErrorCode::kIo, std::string("a pipe: ") + std::strerror(errno));
  return Pipe{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool changed = false;
    for (const auto& [name, value] : changes)
      changed = changed || (text.starts_with(name) && text.substr(name.size()).starts_with('='));
    if (!changed) result.emplace_back(text);
  }
  for (const auto& [name, value] : changes) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// The child between fork and exec: only calls that are safe there. Its own process group, so that
// all it starts can be ended together; it dies with us, because Ctrl-C no longer reaches it.
[[noreturn]] void BecomeProgram(const char* path, char** arguments, char** environment,
                                pid_t parent, int null_fd, int output_fd, int error_fd,
                                int failure_fd) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_DFL);
  if (getppid() == parent && dup2(null_fd, 0) == 0 && dup2(output_fd, 1) == 1 &&
      dup2(error_fd, 2) == 2) {
    execve(path, arguments, environment);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure_fd, &error, sizeof error);
  _exit(127);
}

// What is there to read now, appended to `text`. False at the end.
bool ReadSome(const FileDescriptor& fd, std::string& text) {
  char buffer[65536];
  const ssize_t count = read(fd.get(), buffer, sizeof buffer);
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  text.append(buffer, static_cast<size_t>(count));
  return count > 0;
}

// Asks whether to stop, and once sends the program SIGINT. False when its grace is over.
class Stopper {
 public:
  Stopper(pid_t child, const ProcessOptions& options) : child_(child), options_(options) {}

  bool MayGoOn(ProcessOutcome& outcome) {
    if (!outcome.stopped && options_.should_stop && options_.should_stop()) {
      outcome.stopped = true;
      asked_ = Clock::now();
      kill(-child_, SIGINT);
    }
    return !outcome.stopped || SecondsSince(asked_) < options_.grace_s;
  }

 private:
  pid_t child_;
  const ProcessOptions& options_;
  Clock::time_point asked_;
};

// Reads both outputs until they are closed, the time is over or there is too much.
void Collect(Pipe& output, Pipe& error, const ProcessOptions& options, Clock::time_point start,
             Stopper& stopper, ProcessOutcome& outcome) {
  const double longest_wait_ms = options.should_stop ? 200 : 60000;
  while (output.read.open() || error.read.open()) {
    const double left = options.timeout_s - SecondsSince(start);
    if (left <= 0) {
      outcome.timed_out = true;
      return;
    }
    if (!stopper.MayGoOn(outcome)) return;
    pollfd polled[2] = {{output.read.get(), POLLIN, 0}, {error.read.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, static_cast<int>(std::min(left * 1000 + 1, longest_wait_ms)));
    if (ready <= 0) continue;
    if (polled[0].revents != 0 && !ReadSome(output.read, outcome.output)) output.read.Close();
    const size_t before = outcome.error_tail.size();
    if (polled[1].revents != 0 && !ReadSome(error.read, outcome.error_tail)) error.read.Close();
    if (options.on_error_output && outcome.error_tail.size() > before)
      options.on_error_output(std::string_view(outcome.error_tail).substr(before));
    if (outcome.error_tail.size() > 2 * kErrorTailBytes)
      outcome.error_tail.erase(0, outcome.error_tail.size() - kErrorTailBytes);
    if (outcome.output.size() > options.max_output_bytes) {
      outcome.too_much_output = true;
      return;
    }
  }
}

// Waits for a program that has closed its outputs, still within its time.
void Reap(pid_t child, const ProcessOptions& options, Clock::time_point start, Stopper& stopper,
          ProcessOutcome& outcome) {
  int status = 0;
  rusage usage{};
  while (true) {
    const bool kill_it = outcome.timed_out || outcome.too_much_output || !stopper.MayGoOn(outcome);
    if (kill_it) kill(-child, SIGKILL);
    const pid_t ended = wait4(child, &status, kill_it ? 0 : WNOHANG, &usage);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR) return;
    outcome.timed_out = outcome.timed_out || SecondsSince(start) > options.timeout_s;
    if (!outcome.timed_out) usleep(1000);
  }
  kill(-child, SIGKILL);  // what it left behind
  outcome.seconds = SecondsSince(start);
  outcome.peak_rss_mb = static_cast<double>(usage.ru_maxrss) / 1024;
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
}

std::string LastLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  const size_t newline = text.rfind('\n');
  if (newline != std::string_view::npos) text.remove_prefix(newline + 1);
  return std::string(text.substr(0, 200));
}

bool IsExecutable(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<ProcessOutcome> RunProcess(const ProcessOptions& options) {
  if (options.command.empty()) return MakeError(ErrorCode::kInvalidArgument, "no program to run");
  HEARTH_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe error, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe failure, MakePipe());
  const FileDescriptor null_file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null_file.open()) return MakeError(ErrorCode::kIo, "/dev/null cannot be opened");
  std::vector<std::string> arguments = options.command;
  std::vector<std::string> environment = Environment(options.environment);
  std::vector<char*> argument_pointers = Pointers(arguments);
  std::vector<char*> environment_pointers = Pointers(environment);

  const Clock::time_point start = Clock::now();
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return MakeError(ErrorCode::kIo, std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    BecomeProgram(arguments[0].c_str(), argument_pointers.data(), environment_pointers.data(),
                  parent, null_file.get(), output.write.get(), error.write.get(),
                  failure.write.get());
  }
  setpgid(child, child);  // whichever of us comes first
  output.write.Close();
  error.write.Close();
  failure.write.Close();

  int start_error = 0;  // exec closes the pipe without a word
  ssize_t count = 0;
  do {
    count = read(failure.read.get(), &start_error, sizeof start_error);
  } while (count < 0 && errno == EINTR);
  if (count == sizeof start_error) {
    waitpid(child, nullptr, 0);
    const bool missing = start_error == ENOENT || start_error == ENOTDIR;
    return MakeError(missing ? ErrorCode::kNotFound : ErrorCode::kPermission,
                     options.command[0] + " cannot be run: " + std::strerror(start_error));
  }
  ProcessOutcome outcome;
  Stopper stopper(child, options);
  Collect(output, error, options, start, stopper, outcome);
  Reap(child, options, start, stopper, outcome);
  if (outcome.error_tail.size() > kErrorTailBytes)
    outcome.error_tail.erase(0, outcome.error_tail.size() - kErrorTailBytes);
  return outcome;
}

std::string DescribeEnd(const ProcessOutcome& outcome, double timeout_s) {
  if (outcome.timed_out)
    return "no end within " + std::to_string(static_cast<int64_t>(timeout_s)) + " s";
  if (outcome.stopped) return "stopped";
  if (outcome.too_much_output) return "endless output";
  if (outcome.signal != 0) {
    return "killed by signal " + std::to_string(outcome.signal) + " (" + strsignal(outcome.signal) +
           ")";
  }
  std::string text = "exit code " + std::to_string(outcome.exit_code);
  const std::string line = LastLine(outcome.error_tail);
  if (outcome.exit_code != 0 && !line.empty()) text += ": " + line;
  return text;
}

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (IsExecutable(name)) return name;
    return MakeError(ErrorCode::kNotFound, name + " is no program that can be run");
  }
  const char* path = std::getenv("PATH");
  std::string_view folders = path == nullptr ? "" : path;
  while (!folders.empty()) {
    const size_t end = std::min(folders.find(':'), folders.size());
    const std::string candidate = std::string(folders.substr(0, end)) + "/" + name;
    if (end > 0 && IsExecutable(candidate)) return candidate;
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return MakeError(ErrorCode::kNotFound, "there is no " + name + " in PATH");
}

}  // namespace hearth
