#include "server/openai/api.h"

#include <algorithm>
#include <utility>

#include "server/page/page.h"

namespace hearth::openai {

struct Api::Route {
  std::string_view path;
  std::string_view method;  // GET includes HEAD
  bool is_public;           // needs no key
  void (Api::*endpoint)(const CallPtr&);
};

const Api::Route* Api::FindRoute(std::string_view path) {
  static const Route kRoutes[] = {
      {"/health", "GET", true, &Api::Health},
      {"/v1/health", "GET", true, &Api::Health},
      {"/ready", "GET", true, &Api::Ready},
      {"/metrics", "GET", false, &Api::ShowMetrics},
      {"/v1/models", "GET", false, &Api::ListModels},
      {"/v1/models/", "GET", false, &Api::ShowModel},  // and everything behind it
      {"/api/status", "GET", false, &Api::Status},
      {"/v1/chat/completions", "POST", false, &Api::Chat},
      {"/v1/completions", "POST", false, &Api::Complete},
      {"/v1/embeddings", "POST", false, &Api::Embed},
      {"/tokenize", "POST", false, &Api::Tokenize},
      {"/detokenize", "POST", false, &Api::Detokenize},
  };
  constexpr std::string_view kModels = "/v1/models/";
  const bool one_model = path.starts_with(kModels) && path.size() > kModels.size();
  if (!one_model && path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  for (const Route& route : kRoutes) {
    if (route.path == path || (one_model && route.path == kModels)) return &route;
  }
  return nullptr;
}

namespace {

const PageFile* FindPageFile(std::string_view path) {
  if (path == "/index.html") path = "/";
  for (const PageFile& file : PageFiles()) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

bool IsRead(std::string_view method) { return method == "GET" || method == "HEAD"; }

ApiError PlainError(int status, std::string message, std::string code) {
  ApiError error;
  error.status = status;
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

bool IsJson(const http::Request& request) {
  const std::string* header = request.Find("Content-Type");
  if (header == nullptr) return false;
  std::string_view type = std::string_view(*header).substr(0, header->find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return http::EqualsIgnoringCase(type, "application/json");
}

http::Response OptionsResponse(std::string_view allow, bool cross_origin) {
  http::Response response;
  response.status = 204;
  response.headers.push_back({"Allow", std::string(allow)});
  if (cross_origin) {
    response.headers.push_back({"Access-Control-Allow-Methods", std::string(allow)});
    response.headers.push_back(
        {"Access-Control-Allow-Headers",
         "Authorization, Content-Type, X-Api-Key, OpenAI-Beta, OpenAI-Organization, "
         "OpenAI-Project, "
         "X-Stainless-Arch, X-Stainless-Async, X-Stainless-Custom-Poll-Interval, "
         "X-Stainless-Helper-Method, "
         "X-Stainless-Lang, X-Stainless-OS, X-Stainless-Package-Version, X-Stainless-Poll-Helper, "
         "X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, "
         "X-Stainless-Timeout"});
    response.headers.push_back({"Access-Control-Max-Age", "600"});
  }
  return response;
}

// A route's name for the metrics: bounded, whatever paths clients make up.
std::string_view RouteLabel(const http::Summary& summary, std::string_view route) {
  if (!route.empty()) return route;
  return FindPageFile(summary.path) != nullptr ? "page" : "other";
}

}  // namespace

Api::Api(ApiOptions options)
    : options_(std::move(options)),
      access_(options_.access),
      metrics_(options_.model_id),
      workers_(options_.num_workers, options_.max_queued_work) {}

Api::~Api() = default;

void Api::Attach(Backend* backend) { backend_ = backend; }

void Api::Log(const std::string& message) const {
  if (options_.on_error) options_.on_error(message);
}

std::optional<http::Response> Api::CheckHead(const http::Request& request) {
  CommonHeaders common;
  common.request_id = NewId("req_");
  std::optional<http::Response> refusal = Check(request, common);
  if (refusal) {
    common.cross_origin = access_.CrossOrigin(request);
    AddCommonHeaders(common, *refusal);
  }
  return refusal;
}

std::optional<http::Response> Api::Check(const http::Request& request, const CommonHeaders&) {
  if (const auto error = access_.CheckHost(request)) {
    metrics_.Rejected("host");
    return ErrorResponse(*error);
  }
  if (const auto error = access_.CheckOrigin(request)) {
    metrics_.Rejected("origin");
    return ErrorResponse(*error);
  }
  const Route* route = FindRoute(request.path);
  const bool is_page = route == nullptr && FindPageFile(request.path) != nullptr;
  const std::string allow =
      is_page || (route != nullptr && route->method == "GET")
          ? "GET, HEAD, OPTIONS"
          : std::string(route == nullptr ? "GET, HEAD, POST" : "POST") + ", OPTIONS";
  if (request.method == "OPTIONS" && (route != nullptr || is_page || request.path == "*")) {
    return OptionsResponse(allow, !access_.CrossOrigin(request).empty());
  }
  // A stranger learns of no paths: the key comes before 404.
  if (!is_page && (route == nullptr || !route->is_public)) {
    if (const auto error = access_.CheckKey(request)) {
      metrics_.Rejected("auth");
      return ErrorResponse(*error);
    }
  }
  if (route == nullptr && !is_page) {
    return ErrorResponse(
        PlainError(404, "there is nothing at " + request.path.substr(0, 200), "unknown_url"));
  }
  const bool fits = route != nullptr && route->method == "POST" ? request.method == "POST"
                                                                : IsRead(request.method);
  if (!fits) {
    http::Response response = ErrorResponse(PlainError(
        405, request.method.substr(0, 32) + " is not allowed here", "method_not_allowed"));
    response.headers.push_back({"Allow", allow});
    return response;
  }
  if (request.method == "POST" && !IsJson(request)) {
    // Forms of other people's pages cannot say this, so it also keeps them out.
    return ErrorResponse(
        PlainError(415, "send the body as JSON, with the header Content-Type: application/json",
                   "unsupported_media_type"));
  }
  return std::nullopt;
}

void Api::Handle(std::shared_ptr<http::Exchange> exchange) {
  auto call = std::make_shared<Call>();
  call->exchange = exchange;
  call->common = {NewId("req_"), access_.CrossOrigin(exchange->request())};
  const Route* route = FindRoute(exchange->request().path);
  if (route == nullptr) {
    if (!ServePage(call)) call->Fail(PlainError(404, "there is nothing here", "unknown_url"));
    return;
  }
  if (route->method == "POST") {
    RunOnWorker(call, route->endpoint);
  } else {
    (this->*route->endpoint)(call);
  }
}

void Api::RunOnWorker(const CallPtr& call, void (Api::*endpoint)(const CallPtr&)) {
  if (backend_ == nullptr) {
    return call->Fail(FromError({ErrorCode::kUnavailable, "the model is still loading"}));
  }
  call->exchange->OnClose([this, call](http::CloseReason reason) {
    if (call->over.exchange(true)) return;
    if (reason == http::CloseReason::kClientGone) {
      metrics_.Disconnected();
    } else {
      call->Fail(FromError({ErrorCode::kUnavailable, "the server is shutting down"}));
    }
  });
  const bool accepted = workers_.Submit([this, call, endpoint] {
    if (call->over) return;
    // The boundary for what libraries throw (bad_alloc, nlohmann's type errors) while a request is
    // prepared.
    try {
      (this->*endpoint)(call);
    } catch (const std::exception& error) {
      Log(std::string("a request could not be prepared: ") + error.what());
      call->Fail(FromError({ErrorCode::kInternal, ""}));
    }
  });
  if (!accepted) {
    metrics_.Rejected("queue");
    call->Fail(
        FromError({ErrorCode::kResourceExhausted, "the server has too many requests to prepare"}));
  }
}

bool Api::ServePage(const CallPtr& call) {
  const http::Request& request = call->exchange->request();
  const PageFile* file = FindPageFile(request.path);
  if (file == nullptr) return false;
  http::Response response;
  AddCommonHeaders(call->common, response);
  response.headers.push_back({"ETag", file->etag});
  // The build names these by their content; all else is asked for again.
  const bool immutable = file->path.starts_with("/assets/");
  response.headers.push_back(
      {"Cache-Control", immutable ? "public, max-age=31536000, immutable" : "no-cache"});
  response.headers.push_back({"Content-Security-Policy", std::string(PageContentSecurityPolicy())});
  response.headers.push_back({"X-Frame-Options", "DENY"});
  response.headers.push_back({"Referrer-Policy", "no-referrer"});
  response.headers.push_back({"Cross-Origin-Opener-Policy", "same-origin"});
  response.headers.push_back({"Cross-Origin-Resource-Policy", "same-origin"});
  const std::string* known = request.Find("If-None-Match");
  if (known != nullptr && (*known == "*" || known->find(file->etag) != std::string::npos)) {
    response.status = 304;
  } else {
    response.content_type = std::string(file->content_type);
    response.body = std::string(file->bytes);
  }
  call->exchange->Respond(std::move(response));
  return true;
}

http::Response Api::OnFailure(const http::Failure& failure) {
  http::Response response = ErrorResponse(FromFailure(failure));
  AddCommonHeaders({NewId("req_"), ""}, response);
  if (failure.status == 413 || failure.status == 431 || failure.status == 408)
    metrics_.Rejected("limit");
  return response;
}

void Api::OnComplete(const http::Summary& summary) {
  const Route* route = FindRoute(summary.path);
  metrics_.HttpRequest(RouteLabel(summary, route != nullptr ? route->path : std::string_view()),
                       summary.status, summary.duration_ms / 1000);
  if (options_.on_complete) options_.on_complete(summary);
}

}  // namespace hearth::openai
