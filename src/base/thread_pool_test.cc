#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace hearth {
namespace {

TEST(ThreadPool, EveryItemIsTakenOnceInEveryStage) {
  ThreadPool pool(3);
  std::vector<int> hits(1000, 0);
  for (int round = 0; round < 20; ++round) {
    pool.Run([&](Worker& worker) {
      for (int stage = 0; stage < 10; ++stage) {
        worker.ForEach(1000, 7, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++hits[i];
        });
        worker.Barrier();
      }
    });
  }
  for (const int count : hits) ASSERT_EQ(count, 200);
}

TEST(ThreadPool, EveryItemIsTakenOnceInOrder) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 5, 6, 1000}) {
      std::vector<int> hits(static_cast<size_t>(count), 0);
      pool.Run([&](Worker& worker) {
        for (int stage = 0; stage < 10; ++stage) {
          worker.ForEachInOrder(count, 7, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
          });
          worker.Barrier();
        }
      });
      for (const int hit : hits) ASSERT_EQ(hit, 10) << count;
    }
  }
}

TEST(ThreadPool, WhatWasWrittenBeforeABarrierIsSeenAfterIt) {
  ThreadPool pool(4);
  std::vector<int> values(4, 0);
  std::vector<int> sums(4, 0);
  for (int round = 1; round <= 200; ++round) {
    pool.Run([&](Worker& worker) {
      values[worker.index()] = round;
      worker.Barrier();
      sums[worker.index()] = std::accumulate(values.begin(), values.end(), 0);
    });
    for (const int sum : sums) ASSERT_EQ(sum, 4 * round);
  }
}

TEST(ThreadPool, OneThreadNeedsNoOther) {
  ThreadPool pool(1);
  int total = 0;
  pool.Run([&](Worker& worker) {
    EXPECT_EQ(worker.count(), 1);
    worker.ForEach(10, 3,
                   [&](int64_t begin, int64_t end) { total += static_cast<int>(end - begin); });
    worker.Barrier();
    worker.ForEach(10, 3,
                   [&](int64_t begin, int64_t end) { total += static_cast<int>(end - begin); });
  });
  EXPECT_EQ(total, 20);
}

}  // namespace
}  // namespace hearth
