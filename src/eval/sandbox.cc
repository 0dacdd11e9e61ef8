#include "eval/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "eval/sandbox_inside.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

// How often memory and time are looked at.
constexpr int kPollMs = 20;
// The user outside that root's sandboxes run as: nobody.
constexpr uid_t kNobody = 65534;

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Close(); }
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
  Fd read, write;
};

Error SystemError(const std::string& what, int error) {
  const ErrorCode code = error == EPERM || error == EACCES    ? ErrorCode::kPermission
                         : error == ENOENT                    ? ErrorCode::kNotFound
                         : error == ENOMEM || error == EAGAIN ? ErrorCode::kResourceExhausted
                         : error == ENOSYS || error == EINVAL ? ErrorCode::kUnsupported
                                                              : ErrorCode::kIo;
  return {code, what + ": " + std::strerror(error)};
}

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return tl::unexpected(SystemError("a pipe", errno));
  Pipe pipe{Fd(fds[0]), Fd(fds[1])};
  // A program that was started without standard streams gets their numbers here; inside they are
  // those of standard streams.
  for (Fd* fd : {&pipe.read, &pipe.write}) {
    if (fd->get() > 2) continue;
    *fd = Fd(fcntl(fd->get(), F_DUPFD_CLOEXEC, 3));
    if (!fd->open()) return tl::unexpected(SystemError("a pipe", errno));
  }
  return pipe;
}

Status WriteProcFile(pid_t pid, const char* name, const std::string& text) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.open() ||
      write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return tl::unexpected(SystemError("a sandbox's user map", errno));
  }
  return {};
}

// The child's one user: of root's sandboxes nobody, else our own.
Status WriteUserMaps(pid_t child) {
  const bool root = geteuid() == 0;
  const auto map = [&](unsigned id) {
    return std::to_string(kSandboxUser) + " " + std::to_string(root ? kNobody : id) + " 1";
  };
  // Ordinary users may map a group only when groups cannot be changed inside.
  if (!root) HEARTH_RETURN_IF_ERROR(WriteProcFile(child, "setgroups", "deny"));
  HEARTH_RETURN_IF_ERROR(WriteProcFile(child, "uid_map", map(geteuid())));
  return WriteProcFile(child, "gid_map", map(getegid()));
}

std::string ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Anonymous and shared memory of a process.
int64_t MemoryOf(const std::string& folder) {
  int64_t total = 0;
  std::istringstream status(ReadSmallFile(folder + "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
      total += std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10) * 1024;
  }
  return total;
}

// That of all descendants of process 1 of a sandbox, which takes orphans in, so none gets away. Its
// own is a copy of ours: a model's contexts, say. Shared pages count once for every process.
int64_t MemoryWithin(pid_t first) {
  int64_t total = 0;
  std::vector<pid_t> processes = {first};
  // A fork bomb is bounded by its own limit; this bounds us.
  for (size_t i = 0; i < processes.size() && i < 4096; ++i) {
    const std::string folder = "/proc/" + std::to_string(processes[i]);
    if (i > 0) total += MemoryOf(folder);
    std::istringstream children(
        ReadSmallFile(folder + "/task/" + std::to_string(processes[i]) + "/children"));
    for (pid_t child; children >> child;) processes.push_back(child);
  }
  return total;
}

// Takes what is there; closes the pipe at its end.
void Drain(Fd& fd, std::string& text, size_t& total) {
  std::array<char, 16384> buffer;
  const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
  if (count > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
    total += static_cast<size_t>(count);
  } else if (count == 0 || errno != EINTR) {
    fd.Close();
  }
}

std::vector<const char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  for (const std::string& text : strings) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

// A child that is killed and waited for, whatever happens.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { KillAndWait(); }
  void KillAndWait() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

// Watches a started child to its end.
class Watch {
 public:
  Watch(pid_t child, const SandboxLimits& limits, Fd output, Fd errors, Fd status, Fd started,
        Fd go)
      : child_(child),
        limits_(limits),
        output_(std::move(output)),
        errors_(std::move(errors)),
        status_(std::move(status)),
        started_(std::move(started)),
        go_(std::move(go)) {}

  Result<SandboxOutcome> ToTheEnd() {
    while (!done_) {
      pollfd fds[4] = {{output_.get(), POLLIN, 0},
                       {errors_.get(), POLLIN, 0},
                       {status_.get(), POLLIN, 0},
                       {started_.get(), POLLIN, 0}};
      if (poll(fds, 4, kPollMs) < 0 && errno != EINTR)
        return tl::unexpected(SystemError("waiting for a sandbox", errno));
      if (fds[0].revents != 0) Drain(output_, outcome_.output, num_bytes_);
      if (fds[1].revents != 0) Drain(errors_, outcome_.errors, num_bytes_);
      if (fds[2].revents != 0) HEARTH_RETURN_IF_ERROR(ReadReport());
      if (fds[3].revents != 0) started_.Close();
      CheckLimits();
    }
    outcome_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return std::move(outcome_);
  }

 private:
  Status ReadReport() {
    SandboxReport report{};
    const ssize_t count = read(status_.get(), &report, sizeof report);
    if (count < 0 && errno == EINTR) return {};
    if (count != sizeof report) {
      // Killed from outside, or by the kernel for want of memory.
      outcome_.signal = SIGKILL;
      done_ = true;
      return {};
    }
    switch (report.kind) {
      case SandboxReport::kReady:
        return SayGo();
      case SandboxReport::kEnded:
        TakeWhatIsLeft();
        if (WIFEXITED(report.value)) outcome_.exit_code = WEXITSTATUS(report.value);
        if (WIFSIGNALED(report.value)) outcome_.signal = WTERMSIG(report.value);
        if (outcome_.signal == SIGXCPU) outcome_.timed_out = true;
        done_ = true;
        return {};
      default:
        break;
    }
    report.step[sizeof report.step - 1] = '\0';
    return tl::unexpected(
        SystemError(std::string("setting up a sandbox: ") + report.step, report.value));
  }

  Status SayGo() {
    if (write(go_.get(), "!", 1) != 1) return tl::unexpected(SystemError("a sandbox", errno));
    return {};
  }

  // The program has ended, but its pipes may still hold text. Something it left behind may hold
  // them open, so only what is there now counts.
  void TakeWhatIsLeft() {
    for (auto& [fd, text] :
         {std::pair(&output_, &outcome_.output), std::pair(&errors_, &outcome_.errors)}) {
      for (pollfd ready{fd->get(), POLLIN, 0};
           fd->open() && num_bytes_ <= limits_.max_output_bytes && poll(&ready, 1, 0) > 0;) {
        Drain(*fd, *text, num_bytes_);
      }
    }
    outcome_.too_much_output = num_bytes_ > limits_.max_output_bytes;
  }

  void CheckLimits() {
    if (done_) return;
    const auto now = Clock::now();
    outcome_.too_much_output = num_bytes_ > limits_.max_output_bytes;
    outcome_.timed_out = std::chrono::duration<double>(now - start_).count() > limits_.wall_s;
    // Until the program has taken its place, a clone of ours holds all that we hold. And not with
    // every piece of output: looking costs a little.
    if (!started_.open() && now - last_look_ > std::chrono::milliseconds(kPollMs / 2)) {
      outcome_.too_much_memory = MemoryWithin(child_) > limits_.memory_bytes;
      last_look_ = now;
    }
    done_ = outcome_.too_much_output || outcome_.timed_out || outcome_.too_much_memory;
    if (done_) outcome_.signal = SIGKILL;
  }

  pid_t child_;
  const SandboxLimits& limits_;
  Fd output_, errors_, status_;
  Fd started_;  // ends when the program begins
  Fd go_;
  SandboxOutcome outcome_;
  size_t num_bytes_ = 0;
  bool done_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_look_{};
};

Error WhyRefused(int error) {
  Error refused = SystemError("this system allows no sandbox (user namespaces)", error);
  if (error == EPERM || error == ENOSPC || error == EINVAL) {
    refused.code = ErrorCode::kPermission;
    refused.message +=
        "; look at the sysctls kernel.unprivileged_userns_clone, user.max_user_namespaces and "
        "kernel.apparmor_restrict_unprivileged_userns, or at the container's settings";
  }
  return refused;
}

}  // namespace

std::string DescribeEnd(const SandboxOutcome& outcome, const SandboxLimits& limits) {
  const auto number = [](double value) {
    std::ostringstream text;
    text << value;
    return text.str();
  };
  if (outcome.too_much_output)
    return "more than " + std::to_string(limits.max_output_bytes >> 10) + " KiB of output";
  if (outcome.too_much_memory)
    return "more than " + std::to_string(limits.memory_bytes >> 20) + " MiB of memory";
  if (outcome.signal == SIGXCPU)
    return "no end within " + number(limits.cpu_s) + " s of processor time";
  if (outcome.timed_out) return "no end within " + number(limits.wall_s) + " s";
  if (outcome.signal != 0) {
    return "killed by signal " + std::to_string(outcome.signal) + " (" + strsignal(outcome.signal) +
           ")";
  }
  return "exit code " + std::to_string(outcome.exit_code);
}

Result<SandboxOutcome> Sandbox::Run(const SandboxTask& task) const {
  struct stat info;
  if (task.command.empty() || stat(task.command[0].c_str(), &info) != 0)
    return MakeError(ErrorCode::kNotFound,
                     "no program " + (task.command.empty() ? "named" : task.command[0]));
  HEARTH_ASSIGN_OR_RETURN(Pipe go, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe errors, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe status, MakePipe());
  HEARTH_ASSIGN_OR_RETURN(Pipe started, MakePipe());

  const std::vector<std::string> environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp",
                                                "TMPDIR=/tmp", "LC_ALL=C.UTF-8",
                                                // Of what is imported nothing needs to be kept.
                                                "PYTHONDONTWRITEBYTECODE=1"};
  const std::vector<const char*> arguments = Pointers(task.command);
  const std::vector<const char*> variables = Pointers(environment);
  std::vector<SandboxPlan::File> files;
  for (const auto& [name, content] : task.files)
    files.push_back({name.c_str(), content.data(), content.size()});
  const std::string folder_options =
      "mode=700,nr_inodes=4096,size=" + std::to_string(task.limits.folder_bytes);

  SandboxPlan plan;
  plan.arguments = arguments.data();
  plan.environment = variables.data();
  plan.files = files.data();
  plan.num_files = files.size();
  plan.root_options = "mode=755,nr_inodes=256,size=1m";
  plan.folder_options = folder_options.c_str();
  plan.memory_bytes = task.limits.memory_bytes;
  plan.file_bytes = task.limits.file_bytes;
  plan.cpu_s = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(task.limits.cpu_s)));
  plan.max_processes = task.limits.max_processes;
  plan.go_fd = go.read.get();
  plan.output_fd = output.write.get();
  plan.error_fd = errors.write.get();
  plan.status_fd = status.write.get();
  plan.started_fd = started.write.get();

  const pid_t pid = RawClone(SandboxCloneFlags());
  if (pid < 0) return tl::unexpected(WhyRefused(errno));
  if (pid == 0) RunInsideSandbox(plan);
  Child child(pid);
  // Whoever holds the writing ends inside: their close is how we learn of the end.
  output.write.Close();
  errors.write.Close();
  status.write.Close();
  started.write.Close();
  go.read.Close();
  HEARTH_RETURN_IF_ERROR(WriteUserMaps(pid));
  if (write(go.write.get(), "!", 1) != 1) return tl::unexpected(SystemError("a sandbox", errno));
  return Watch(pid, task.limits, std::move(output.read), std::move(errors.read),
               std::move(status.read), std::move(started.read), std::move(go.write))
      .ToTheEnd();
}

Result<Sandbox> Sandbox::Create() {
  const Sandbox sandbox;
  SandboxTask task;
  task.command = {"/bin/sh", "-c", "echo ready"};
  auto outcome = sandbox.Run(task);
  if (!outcome) return tl::unexpected(outcome.error());
  if (!outcome->ok() || outcome->output != "ready\n") {
    return MakeError(ErrorCode::kUnsupported, "this system allows no sandbox: a trial ended with " +
                                                  DescribeEnd(*outcome, task.limits) + " " +
                                                  outcome->errors);
  }
  return sandbox;
}

}  // namespace hearth
