// The recipe reader on hostile text: the YAML reader, overrides, the strict decoder, the rules and
// the quantization plan throw setun::Error and nothing else, and what they accept reads back equal
// after it was written. The first line is an override, the rest the recipe.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "config/config.h"
#include "config/decode.h"
#include "config/node.h"
#include "run/run.h"

namespace {

using namespace setun;

RunConfig decoded(const config::Node& tree, bool& clean) {
  std::vector<config::LocatedFinding> findings;
  const RunConfig config = config::decode(tree, findings);
  clean = findings.empty();
  config::findings_text(std::move(findings));
  return config;
}

void read(const std::string& override_text, const std::string& recipe) {
  config::Node tree = config::parse_yaml(recipe, "fuzz");
  if (!override_text.empty()) {
    config::apply_override(tree, override_text);
  }
  bool clean = false, clean_again = false;
  const RunConfig config = decoded(tree, clean);
  for (const bool full : {false, true}) {
    const std::string yaml = config::emit_yaml(config, full);
    const RunConfig again = decoded(config::parse_yaml(yaml, "emitted"), clean_again);
    if (!clean_again || again != config || !config::differences(config, again).empty()) {
      std::abort();
    }
  }
  constexpr int64_t kManyLayers = 100;  // a plan of ten thousand is right, but slow
  if (clean && config::validate(config).empty() && config.model.layers <= kManyLayers) {
    run::check(config);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  try {
    read(text.substr(0, line), text.substr(std::min(line + 1, text.size())));
  } catch (const Error&) {
    // refused with a message, as it should be
  }
  return 0;
}
