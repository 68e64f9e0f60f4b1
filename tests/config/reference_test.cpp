// docs/config_reference.md is what the program prints, and names every key.
#include "config/config.h"
#include "config/decode.h"
#include "config/writer.h"
#include "support/catch.h"

namespace setun {
namespace {

TEST_CASE("docs/config_reference.md is current", "[config]") {
  INFO("write it anew: build/release/setun config reference > docs/config_reference.md");
  CHECK(test::read_text(SETUN_SOURCE_DIR "/docs/config_reference.md") ==
        config::reference_markdown());
}

void check_named(const config::Node& node, const std::string& path, const std::string& text) {
  for (const auto& [key, child] : node.map) {
    const std::string full = path.empty() ? key : path + "." + key;
    if (child.kind == config::Node::Kind::kMap) {
      check_named(child, full, text);
    } else {
      INFO(full);
      CHECK(text.find("| `" + full + "` | ") != std::string::npos);
    }
  }
}

TEST_CASE("the reference names every key with its default", "[config]") {
  const std::string text = config::reference_markdown();
  check_named(config::to_tree(RunConfig{}), "", text);
  CHECK(text.find("| `optim.beta2` | number | `0.95` | ") != std::string::npos);
  CHECK(text.find(
            "| `quant.phases[].layers[].set.weight.scheme` | none, absmean, absmedian, binary |") !=
        std::string::npos);
}

}  // namespace
}  // namespace setun
