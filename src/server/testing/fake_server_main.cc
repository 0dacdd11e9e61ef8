// The server with the scripted backend: for the client tests (HEARTH_FAKE=1
// HEARTH_BIN=.../hearth_fake_server tests/server/run.sh) and for work on the page where there is no
// model. Takes `serve --port N` like the real binary.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "server/http/http_server.h"
#include "server/openai/api.h"
#include "server/openai/log_line.h"
#include "server/testing/fake_backend.h"

int main(int argc, char** argv) {
  using namespace hearth;
  http::ServerOptions http_options;
  http_options.stop_on_signals = true;
  http_options.stop_timeout = std::chrono::seconds(2);
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--port") == 0)
      http_options.port = static_cast<uint16_t>(std::atoi(argv[i + 1]));
  }
  testing::FakeBackend backend({.answer = "Hello! This is no model, but a script.",
                                .token_delay = std::chrono::milliseconds(2)});
  openai::ApiOptions options;
  options.model_id = backend.card().id;
  options.version = "fake";
  if (const char* key = std::getenv("HEARTH_API_KEY")) options.access.api_keys = {key};
  options.on_complete = [](const http::Summary& summary) {
    std::fprintf(stderr, "%s\n", openai::FormatLogLine(summary).c_str());
  };
  openai::Api api(options);
  api.Attach(&backend);
  const auto server = http::HttpServer::Create(http_options, &api);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  std::printf("Hearth is at http://127.0.0.1:%d\n", (*server)->port());
  std::fflush(stdout);
  (*server)->Run();
  return 0;
}
