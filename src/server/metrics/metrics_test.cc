#include "server/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, AFreshServerShowsZeroAndNotNothing) {
  Metrics metrics("m");
  const std::string text = metrics.Render({}, 0);
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running{model_name=\"m\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vllm:request_success_total{model_name=\"m\","
                              "finished_reason=\"length\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_count{model_name=\"m\"} 0\n"));
}

TEST(Metrics, AnAnswerIsCountedOnceInEachHistogram) {
  Metrics metrics("m");
  metrics.AnswerEnded(
      "stop", 0.7,
      {.prompt_tokens = 12, .completion_tokens = 3, .queue_ms = 40, .prefill_ms = 200});
  const std::string text = metrics.Render({}, 0);
  EXPECT_THAT(text, HasSubstr("finished_reason=\"stop\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:e2e_request_latency_seconds_sum{model_name=\"m\"} 0.7\n"));
  EXPECT_THAT(text, HasSubstr("vllm:request_queue_time_seconds_sum{model_name=\"m\"} 0.04\n"));
  EXPECT_THAT(text, HasSubstr("vllm:request_prompt_tokens_sum{model_name=\"m\"} 12\n"));
  // Each bucket counts all below its edge.
  EXPECT_THAT(
      text, HasSubstr("vllm:e2e_request_latency_seconds_bucket{model_name=\"m\",le=\"0.5\"} 0\n"));
  EXPECT_THAT(
      text, HasSubstr("vllm:e2e_request_latency_seconds_bucket{model_name=\"m\",le=\"0.8\"} 1\n"));
}

TEST(Metrics, TokensOfOneDeliveryShareItsTime) {
  Metrics metrics("m");
  metrics.InterTokenLatency(0.25, 5);
  const std::string text = metrics.Render({}, 0);
  EXPECT_THAT(text, HasSubstr("vllm:inter_token_latency_seconds_count{model_name=\"m\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("vllm:inter_token_latency_seconds_sum{model_name=\"m\"} 0.25\n"));
}

TEST(Metrics, CountersOfTheEngineFollowItAndNeverFall) {
  Metrics metrics("m");
  EXPECT_THAT(metrics.Render({.kv_cache_usage = 0.5, .steps = 10}, 3),
              HasSubstr("hearth:engine_steps_total{model_name=\"m\"} 10\n"));
  const std::string text = metrics.Render({.kv_cache_usage = 0.25, .steps = 7}, 2);
  EXPECT_THAT(text, HasSubstr("hearth:engine_steps_total{model_name=\"m\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("vllm:kv_cache_usage_perc{model_name=\"m\"} 0.25\n"));
  EXPECT_THAT(text, HasSubstr("hearth:http_connections{model_name=\"m\"} 2\n"));
  EXPECT_THAT(metrics.Render({.draft_tokens = 9, .accepted_tokens = 4}, 0),
              HasSubstr("vllm:spec_decode_num_accepted_tokens_total{model_name=\"m\"} 4\n"));
}

TEST(Metrics, AModelsNameIsEscaped) {
  Metrics metrics("a\"b\\c\nd");
  const std::string text = metrics.Render({}, 0);
  EXPECT_THAT(text, HasSubstr("model_name=\"a\\\"b\\\\c\\nd\""));
  EXPECT_THAT(text, Not(HasSubstr("c\nd")));
}

TEST(Metrics, ManyThreadsLoseNothing) {
  Metrics metrics("m");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        metrics.HttpRequest("/v1/models", 200, 0.001);
        metrics.GeneratedTokens(2);
        if (i % 50 == 0) metrics.Render({}, 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = metrics.Render({}, 0);
  EXPECT_THAT(text, HasSubstr("vllm:generation_tokens_total{model_name=\"m\"} 4000\n"));
  EXPECT_THAT(text, HasSubstr("status=\"200\"} 2000\n"));
}

}  // namespace
}  // namespace hearth
