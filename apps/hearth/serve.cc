// hearth serve: the chat page and the API.

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"
#include "server/http/http_server.h"
#include "server/openai/api.h"
#include "server/openai/log_line.h"

namespace hearth {
namespace {

struct ServeFlags {
  ModelFlags model;
  std::string host = "127.0.0.1";
  int port = 8080;
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  int max_sequences = EngineOptions().max_sequences;
  int max_queue = EngineOptions().max_queued_requests;
  int max_connections = http::ServerOptions().max_connections;
  int max_body_mb = 8;
  int request_timeout_s = 600;
  int stop_timeout_s = 10;
  std::string log_level = "info";
  std::string session_dir;
  int session_mb = 1024;
};

void SetUpLog(const std::string& level) {
  auto logger = spdlog::stderr_color_mt("hearth");
  logger->set_pattern("%Y-%m-%d %H:%M:%S %^%l%$ %v");
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
}

void LogRequest(const http::Summary& summary) {
  const auto level = openai::IsRoutine(summary) ? spdlog::level::debug : spdlog::level::info;
  if (spdlog::should_log(level)) spdlog::log(level, "{}", openai::FormatLogLine(summary));
}

openai::ApiOptions ApiOptionsOf(const ServeFlags& flags, const std::string& model_path) {
  openai::ApiOptions options;
  options.access = {flags.host, flags.api_keys, flags.allowed_hosts, flags.allowed_origins};
  options.model_id = ModelIdFromPath(model_path);
  options.version = HEARTH_VERSION;
  options.max_queued_work = static_cast<size_t>(flags.max_queue);
  options.request_timeout = std::chrono::seconds(flags.request_timeout_s);
  options.on_complete = LogRequest;
  options.on_error = [](const std::string& message) { spdlog::error("{}", message); };
  return options;
}

http::ServerOptions HttpOptionsOf(const ServeFlags& flags) {
  http::ServerOptions options;
  options.host = flags.host;
  options.port = static_cast<uint16_t>(flags.port);
  options.parser.max_body_bytes = static_cast<size_t>(flags.max_body_mb) << 20;
  options.max_connections = flags.max_connections;
  options.stop_timeout = std::chrono::seconds(flags.stop_timeout_s);
  options.stop_on_signals = true;
  return options;
}

// What to type into a browser on this machine.
std::string Address(const std::string& host, uint16_t port) {
  std::string name = host;
  if (host == "0.0.0.0") {
    name = "127.0.0.1";
  } else if (host == "::") {
    name = "[::1]";
  } else if (host.find(':') != std::string::npos) {
    name = "[" + host + "]";
  }
  return "http://" + name + ":" + std::to_string(port);
}

// The KV cache of the last run, so that conversations go on without being computed again.
void RestoreSessions(const std::string& path, EngineBackend& backend) {
  const Result<int> restored = backend.engine().RestoreSession(path);
  if (restored) {
    spdlog::info("{} tokens restored from {}", *restored, path);
  } else if (restored.error().code != ErrorCode::kNotFound) {
    spdlog::warn("{}; it begins empty", restored.error().message);
  }
}

void SaveSessions(const std::string& path, int64_t max_bytes, EngineBackend& backend) {
  const Result<int> saved = backend.engine().SaveAllSessions(path, max_bytes);
  if (saved) {
    spdlog::info("{} tokens saved to {}", *saved, path);
  } else {
    spdlog::error("conversations are not saved: {}", saved.error().message);
  }
}

int Serve(const ServeFlags& flags) {
  const Result<std::string> path = ResolveModelPath(flags.model.model);
  if (!path) return Fail(path.error().message);
  // A log or a client that goes away is no reason to end.
  std::signal(SIGPIPE, SIG_IGN);
  SetUpLog(flags.log_level);
  std::string session_path;
  if (!flags.session_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(flags.session_dir, error);
    if (error) return Fail(flags.session_dir + ": " + error.message());
    session_path = flags.session_dir + "/" + ModelIdFromPath(*path) + ".kv";
  }

  // Destroyed from the last to the first: the server calls the API, the API the backend.
  LoadedModel model;
  openai::Api api(ApiOptionsOf(flags, *path));
  // Before the model is loaded, so that a port in use is known at once and clients are told to
  // wait.
  Result<std::unique_ptr<http::HttpServer>> created =
      http::HttpServer::Create(HttpOptionsOf(flags), &api);
  if (!created) {
    const bool in_use = created.error().message.find("in use") != std::string::npos;
    return Fail(created.error().message + (in_use ? "; --port takes another one" : ""));
  }
  http::HttpServer& server = **created;
  api.set_connection_counter([&server] { return server.num_connections(); });

  std::atomic<bool> loading = true;
  std::thread runner([&] {
    server.Run();
    // Told to stop while the model loads: there is nothing to finish, and loading cannot be
    // interrupted.
    if (loading) std::_Exit(kExitInterrupted);
  });
  Result<LoadedModel> loaded = LoadModel(flags.model, [&flags](EngineOptions& options) {
    options.max_sequences = flags.max_sequences;
    options.max_queued_requests = flags.max_queue;
  });
  loading = false;
  if (!loaded) {
    server.Stop();
    server.Stop();
    runner.join();
    return Fail(loaded.error().message);
  }
  model = std::move(*loaded);
  if (!session_path.empty()) RestoreSessions(session_path, *model.backend);
  api.Attach(model.backend.get());
  spdlog::debug("{} loaded in {:.0f} ms", model.path, model.load_ms);
  std::printf("Hearth is at %s\n", Address(flags.host, server.port()).c_str());
  std::fflush(stdout);
  runner.join();
  // Whatever was cut short: the engine must not call into an API that is gone.
  model.backend->Shutdown(0);
  if (!session_path.empty())
    SaveSessions(session_path, int64_t{flags.session_mb} << 20, *model.backend);
  return kExitOk;
}

}  // namespace

void AddServe(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "The chat page and the OpenAI-compatible API");
  AddEngineFlags(*command, flags->model);
  command
      ->add_option("--host", flags->host, "Address to listen on; 0.0.0.0 for all of this machine's")
      ->type_name("ADDRESS")
      ->capture_default_str();
  command->add_option("-p,--port", flags->port, "Port to listen on; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--api-key", flags->api_keys,
                   "Key that requests must show (may be given more than once)")
      ->envname("HEARTH_API_KEY")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command
      ->add_option("--allowed-host", flags->allowed_hosts,
                   "Name this server answers to besides loopback names (more than once; * for any)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      ->add_option(
          "--allowed-origin", flags->allowed_origins,
          "Web page that may use the API besides our own, as https://example.org (more than once)")
      ->type_name("ORIGIN")
      ->allow_extra_args(false);
  command->add_option("--max-sequences", flags->max_sequences, "Answers computed in one batch")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--max-queue", flags->max_queue,
                   "Requests that may wait; more are told to come back (429)")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--max-connections", flags->max_connections, "Open connections")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_option("--max-body", flags->max_body_mb, "Size of a request's body, in MiB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--request-timeout", flags->request_timeout_s,
                   "Seconds an answer may take; 0: any time")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  command
      ->add_option("--stop-timeout", flags->stop_timeout_s,
                   "Seconds that running answers get when the server is stopped")
      ->check(CLI::Range(0, 3'600))
      ->capture_default_str();
  command
      ->add_option("--session-dir", flags->session_dir,
                   "Folder that keeps what is computed of conversations over a restart; it holds "
                   "what users wrote")
      ->type_name("DIR");
  command
      ->add_option("--session-size", flags->session_mb,
                   "Most that is kept there for a model, in MiB, last used first")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--log-level", flags->log_level, "What is logged to standard error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  AddExamples(
      *command,
      "  hearth serve                               the default model on 127.0.0.1:8080\n"
      "  hearth serve --model model.gguf --port 9000\n"
      "  HEARTH_API_KEY=... hearth serve --host 0.0.0.0 --allowed-host hearth.example\n"
      "  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n");
  command->callback([flags, &action] { action = [flags] { return Serve(*flags); }; });
}

}  // namespace hearth
