#include "training/generate/student_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "training/generate/testing_decoder.h"

namespace hearth::forge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two segments to learn, of 9 and 6 tokens with answers of 5 and 2, around one that is not.
Batch ThreeSegments() {
  Batch batch;
  for (int i = 0; i < 19; ++i) batch.tokens.push_back((i * 7 + 3) % 61);
  batch.segment_lengths = {9, 4, 6};
  for (int i = 0; i < 19; ++i)
    batch.targets.push_back(i + 1 < 19 ? batch.tokens[static_cast<size_t>(i) + 1] : 0);
  batch.weights.assign(19, 0.0f);
  for (const size_t place : {3, 4, 5, 6, 7, 16, 17}) batch.weights[place] = 0.5f;
  return batch;
}

Batch Written(const WriteAnswers& write, const Decoder& student, uint64_t seed = 5) {
  Batch batch = ThreeSegments();
  BatchContext context;
  context.seed = seed;
  const Status status = write(student, {&batch}, {context});
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_TRUE(CheckBatch(batch, 61));
  return batch;
}

TEST(StudentWriter, TheStudentsAnswersTakeThePlaceOfTheData) {
  const Decoder student = TinyDecoder(7);
  const Batch before = ThreeSegments();
  const Batch batch = Written(MakeStudentWriter({.temperature = 0}), student);
  EXPECT_THAT(batch.segment_lengths, ElementsAre(9, 4, 6));
  const auto tokens = [](const Batch& of, int begin, int end) {
    return std::vector<int32_t>(of.tokens.begin() + begin, of.tokens.begin() + end);
  };
  EXPECT_EQ(tokens(batch, 0, 4), tokens(before, 0, 4));
  EXPECT_EQ(tokens(batch, 4, 9), GreedyWithoutCache(student, tokens(before, 0, 4), 5));
  EXPECT_EQ(tokens(batch, 13, 17), tokens(before, 13, 17));
  EXPECT_EQ(tokens(batch, 17, 19), GreedyWithoutCache(student, tokens(before, 13, 17), 2));
  // Each token of an answer is learned, where it is predicted.
  for (size_t i = 0; i < 19; ++i) {
    const bool learned = (i >= 3 && i < 8) || (i >= 16 && i < 18);
    EXPECT_EQ(batch.weights[i], learned ? 1.0f : 0.0f) << i;
    if (learned) {
      EXPECT_EQ(batch.targets[i], batch.tokens[i + 1]) << i;
    }
  }
  // What is not learned stays.
  for (size_t i = 9; i < 13; ++i) EXPECT_EQ(batch.tokens[i], before.tokens[i]);
}

TEST(StudentWriter, AnswersEndAtAStopTokenAndAtTheLimit) {
  const Decoder student = TinyDecoder(7);
  const Batch whole = Written(MakeStudentWriter({.temperature = 0}), student);
  const Batch stopped =
      Written(MakeStudentWriter({.temperature = 0, .stop_tokens = {whole.tokens[5]}}), student);
  EXPECT_EQ(stopped.segment_lengths.front(), whole.tokens[4] == whole.tokens[5] ? 5 : 6);
  const Batch cut = Written(MakeStudentWriter({.max_new_tokens = 1, .temperature = 0}), student);
  EXPECT_THAT(cut.segment_lengths, ElementsAre(5, 4, 5));
  EXPECT_EQ(cut.tokens[4], whole.tokens[4]);
}

TEST(StudentWriter, IsAFunctionOfTheSeedAndOfTheWeightsOfNow) {
  Decoder student = TinyDecoder(7);
  const WriteAnswers write = MakeStudentWriter({.temperature = 1});
  const Batch once = Written(write, student);
  EXPECT_EQ(Written(write, student).tokens, once.tokens);
  EXPECT_EQ(Written(MakeStudentWriter({.temperature = 1}), student).tokens, once.tokens);
  EXPECT_NE(Written(write, student, 6).tokens, once.tokens);
  const Decoder other = TinyDecoder(8);
  const auto from = other.Parameters(), to = student.Parameters();
  for (size_t i = 0; i < to.size(); ++i) {
    Tensor tensor = to[i].tensor;
    tensor.copy_(from[i].tensor);
  }
  EXPECT_EQ(Written(write, student).tokens, Written(write, other).tokens);
  EXPECT_NE(Written(write, student).tokens, once.tokens);
}

TEST(StudentWriter, RefusesAnActivatedAdaptersBatches) {
  const Decoder student = TinyDecoder(7);
  Batch batch = ThreeSegments();
  batch.adapter_mask.assign(19, 1);
  const Status status = MakeStudentWriter({})(student, {&batch}, {BatchContext{}});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("activated adapter"));
}

}  // namespace
}  // namespace hearth::forge
