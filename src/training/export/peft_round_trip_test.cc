// What we write, loaded by transformers and peft themselves: adapters give our logits, folders made
// of GGUF files are models with working tokenizers. Skipped where python has no peft: set
// HEARTH_PEFT_PYTHON to one that has.
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "kit/convert.h"
#include "kit/testing/golden_lines.h"
#include "training/export/adapter.h"
#include "training/export/save_model.h"
#include "training/export/testing_adapters.h"

namespace hearth::forge {
namespace {

using hearth::testing::WriteBytes;
using testing::kGoldenModels;
using testing::LoadDecoder;
using testing::LogitsOf;

class PeftRoundTrip : public hearth::testing::ScratchFolderTest {
 protected:
  // Writes logits.txt of the case.
  void WriteLogits(const std::string& name, const Decoder& decoder) {
    std::string text;
    for (const std::vector<int64_t>& tokens :
         {std::vector<int64_t>{5, 9, 11, 12, 40, 41, 7, 11, 12, 100, 3, 250, 77, 6},
          std::vector<int64_t>{60, 61, 62, 11, 13, 12, 8, 90}}) {
      text += "sequence";
      for (const int64_t token : tokens) text += " " + std::to_string(token);
      text += "\nlogits";
      const Tensor logits = LogitsOf(decoder, tokens);
      for (int64_t i = 0; i < logits.size(1); ++i) {
        char number[32];
        std::snprintf(number, sizeof(number), " %.8g", logits[-1][i].item<double>());
        text += number;
      }
      text += "\n";
    }
    WriteBytes(scratch_ + name + "/logits.txt", text);
  }

  void AddAdapterCase(const std::string& name, const std::string& model,
                      const LoraOptions& options) {
    Decoder decoder = LoadDecoder(kGoldenModels + model);
    testing::AttachWorkingLora(decoder, options);
    ASSERT_TRUE(SavePeftAdapter(AdapterOf(decoder), scratch_ + name + "/adapter"));
    WriteBytes(scratch_ + name + "/base.txt", kGoldenModels + model);
    WriteLogits(name, decoder);
    cases_ += " " + scratch_ + name;
  }

  // A folder made of the GGUF file that the converter makes of a golden folder.
  void AddModelCase(const std::string& name, const std::string& model) {
    ConvertOptions convert;
    convert.input_dir = kGoldenModels + model;
    convert.output_path = scratch_ + name + ".gguf";
    ASSERT_TRUE(ConvertHuggingFace(convert));
    const Decoder decoder = LoadDecoder(convert.output_path);
    FolderSaveOptions options;
    options.type = TensorType::kF32;
    options.max_file_bytes = 100000;  // in several files
    ASSERT_TRUE(SaveFolder(decoder, convert.output_path, scratch_ + name + "/base", options));
    for (const auto& [kind, text] :
         hearth::testing::ReadGoldenLines(kGoldenModels + model + "/expected.txt")) {
      if (kind == "text")
        WriteBytes(scratch_ + name + "/text.txt", hearth::testing::Unescaped(text));
      if (kind == "text_tokens") WriteBytes(scratch_ + name + "/tokens.txt", text);
    }
    WriteLogits(name, decoder);
    cases_ += " " + scratch_ + name;
  }

  std::string cases_;
};

TEST_F(PeftRoundTrip, TransformersAndPeftComputeWhatWeCompute) {
  const char* set = std::getenv("HEARTH_PEFT_PYTHON");
  const std::string python = set != nullptr ? set : "python3";
  const auto run = [&](const std::string& arguments) {
    const int status = std::system(
        (python + " tests/golden/peft_adapter/check_export.py" + arguments + " 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  if (run("") == 77) GTEST_SKIP() << python << " has no peft: set HEARTH_PEFT_PYTHON";
  LoraOptions lora;
  lora.rank = 5;
  lora.alpha = 7.5;
  AddAdapterCase("llama-rslora", "llama", lora);
  lora.rs_lora = false;
  lora.targets = {"q_proj", "up_proj"};
  AddAdapterCase("qwen2-lora", "qwen2", lora);
  lora.invocation_tokens = {11, 12};
  lora.targets = {};
  AddAdapterCase("qwen2-activated", "qwen2", lora);
  for (const char* model : {"llama", "llama3", "qwen2"})
    AddModelCase(std::string(model) + "-folder", model);
  EXPECT_EQ(run(cases_), 0);
}

}  // namespace
}  // namespace hearth::forge
