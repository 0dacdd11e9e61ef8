#include "training/trainer/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace hearth::forge {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLastWords = 4096;
constexpr int kPollMs = 50;
constexpr int kNotFoundStatus = 127;

std::atomic<int> noted_signal = 0;
void Note(int signal) { noted_signal.store(signal); }

// Signals are ours to pass on while copies run.
class SignalScope {
 public:
  SignalScope() {
    noted_signal.store(0);
    struct sigaction action = {};
    action.sa_handler = Note;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~SignalScope() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  struct sigaction interrupt_ = {}, terminate_ = {};
};

struct Copy {
  pid_t pid = -1;
  int errors = -1;  // what it says on stderr; -1: ours
  std::string last_words;
  std::optional<int> status;  // of waitpid
};

Error SystemError(const std::string& what) {
  return {ErrorCode::kIo, "launcher: " + what + ": " + std::strerror(errno)};
}

// Free a moment ago, which has to do.
Result<int> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return tl::unexpected(SystemError("socket"));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  const bool bound = bind(fd, raw, size) == 0 && getsockname(fd, raw, &size) == 0;
  const Error error = SystemError("a free port");
  close(fd);
  if (!bound) return tl::unexpected(error);
  return ntohs(address.sin_port);
}

// This process's environment with these variables set anew.
std::vector<std::string> EnvironmentWith(const std::vector<std::pair<std::string, std::string>>& set) {
  std::vector<std::string> list;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(set.begin(), set.end(),
                                      [name](const auto& pair) { return pair.first == name; });
    if (!replaced) list.emplace_back(text);
  }
  for (const auto& [name, value] : set) list.push_back(name + "=" + value);
  return list;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

Result<Copy> Start(const LaunchOptions& options, int rank, int port) {
  std::vector<std::pair<std::string, std::string>> variables = {
      {"RANK", std::to_string(rank)},
      {"LOCAL_RANK", std::to_string(rank)},
      {"WORLD_SIZE", std::to_string(options.num_processes)},
      {"MASTER_ADDR", "127.0.0.1"},
      {"MASTER_PORT", std::to_string(port)},
      {"TORCHELASTIC_USE_AGENT_STORE", "False"}};
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    variables.emplace_back("OMP_NUM_THREADS",
                           std::to_string(std::max(1, cores / options.num_processes)));
  }
  std::vector<std::string> environment = EnvironmentWith(variables);
  std::vector<std::string> command = options.command;
  std::vector<char*> environment_pointers = Pointers(environment);
  std::vector<char*> command_pointers = Pointers(command);
  int pipe_ends[2] = {-1, -1};
  if (rank > 0 && pipe2(pipe_ends, O_CLOEXEC) != 0) return tl::unexpected(SystemError("pipe"));
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return tl::unexpected(SystemError("fork"));
  if (pid == 0) {
    // Between fork and exec, only what a signal handler may do. A group of its own: a terminal's
    // Ctrl-C would reach it a second time.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (rank > 0) {
      const int nowhere = open("/dev/null", O_WRONLY);
      if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
      dup2(pipe_ends[1], STDERR_FILENO);
    }
    execvpe(command_pointers[0], command_pointers.data(), environment_pointers.data());
    _exit(kNotFoundStatus);
  }
  Copy copy;
  copy.pid = pid;
  if (rank > 0) {
    close(pipe_ends[1]);
    fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
    copy.errors = pipe_ends[0];
  }
  return copy;
}

void Hear(Copy& copy) {
  char bytes[4096];
  while (copy.errors >= 0) {
    const ssize_t count = read(copy.errors, bytes, sizeof bytes);
    if (count > 0) {
      copy.last_words.append(bytes, static_cast<size_t>(count));
      if (copy.last_words.size() > kLastWords)
        copy.last_words.erase(0, copy.last_words.size() - kLastWords);
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
      close(copy.errors);
      copy.errors = -1;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

void SignalAll(const std::vector<Copy>& copies, int signal) {
  for (const Copy& copy : copies) {
    if (!copy.status) kill(copy.pid, signal);
  }
}

bool Failed(const Copy& copy) { return copy.status && *copy.status != 0; }

std::string EndOf(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

Error FailureOf(const LaunchOptions& options, const std::vector<Copy>& copies, size_t rank) {
  const Copy& copy = copies[rank];
  std::string message = "process " + std::to_string(rank) + " of " +
                        std::to_string(copies.size()) + " (" + options.command[0] + ") " +
                        EndOf(*copy.status);
  if (WIFEXITED(*copy.status) && WEXITSTATUS(*copy.status) == kNotFoundStatus &&
      copy.last_words.empty())
    return {ErrorCode::kNotFound, message + ": the program could not be started"};
  if (!copy.last_words.empty()) message += ":\n" + copy.last_words;
  return {ErrorCode::kInternal, message};
}

// Waits for all. Returns the rank that failed first.
std::optional<size_t> WatchOver(std::vector<Copy>& copies, int grace_s) {
  std::optional<size_t> failed;
  std::optional<Clock::time_point> end_by;
  const auto begin_the_end = [&](int signal) {
    SignalAll(copies, signal);
    if (!end_by) end_by = Clock::now() + std::chrono::seconds(grace_s);
  };
  while (true) {
    std::vector<pollfd> polls;
    for (const Copy& copy : copies) {
      if (copy.errors >= 0) polls.push_back({copy.errors, POLLIN, 0});
    }
    poll(polls.data(), polls.size(), kPollMs);
    bool running = false;
    for (size_t rank = 0; rank < copies.size(); ++rank) {
      Copy& copy = copies[rank];
      Hear(copy);
      int status = 0;
      if (!copy.status && waitpid(copy.pid, &status, WNOHANG) == copy.pid) {
        copy.status = status;
        Hear(copy);
        if (Failed(copy) && !failed) {
          failed = rank;
          if (!end_by) begin_the_end(SIGTERM);
        }
      }
      running = running || !copy.status;
    }
    if (!running) break;
    if (const int signal = noted_signal.exchange(0); signal != 0) begin_the_end(signal);
    if (end_by && Clock::now() > *end_by) SignalAll(copies, SIGKILL);
  }
  for (Copy& copy : copies) {
    Hear(copy);
    if (copy.errors >= 0) close(copy.errors);
  }
  return failed;
}

}  // namespace

Status Launch(const LaunchOptions& options) {
  if (options.num_processes < 1 || options.num_processes > 1024 || options.command.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "launcher: " + std::to_string(options.num_processes) + " processes of '" +
                         (options.command.empty() ? "" : options.command[0]) + "'");
  }
  HEARTH_ASSIGN_OR_RETURN(const int port, FreePort());
  const SignalScope signals;
  std::vector<Copy> copies;
  for (int rank = 0; rank < options.num_processes; ++rank) {
    auto copy = Start(options, rank, port);
    if (!copy) {
      SignalAll(copies, SIGKILL);
      WatchOver(copies, 0);
      return tl::unexpected(copy.error());
    }
    copies.push_back(std::move(*copy));
  }
  if (const auto failed = WatchOver(copies, options.grace_s))
    return tl::unexpected(FailureOf(options, copies, *failed));
  return {};
}

}  // namespace hearth::forge
