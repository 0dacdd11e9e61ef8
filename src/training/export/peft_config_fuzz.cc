// Any bytes as an adapter_config.json: an error or a configuration within its bounds, and one that
// was read is the same when it is written and read again.

#include <string_view>

#include "base/check.h"
#include "training/export/peft_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::forge;
  const auto config =
      ParsePeftConfig({reinterpret_cast<const char*>(data), size}, "adapter_config.json");
  if (!config) {
    HEARTH_CHECK(config.error().message.starts_with("adapter_config.json"));
    return 0;
  }
  HEARTH_CHECK(config->rank >= 1 && config->alpha > 0 && config->dropout >= 0 &&
               config->dropout < 1);
  if (config->targets.empty()) return 0;  // an expression, which is not kept
  const auto again = ParsePeftConfig(PeftConfigText(*config), "again");
  HEARTH_CHECK(again);
  HEARTH_CHECK(again->rank == config->rank && again->alpha == config->alpha &&
               again->rs_lora == config->rs_lora && again->dropout == config->dropout &&
               again->targets == config->targets &&
               again->invocation_tokens == config->invocation_tokens);
  return 0;
}
