// make_param_groups: order, classes, roles, wildcards, and the messages.
#include <ATen/ATen.h>

#include "optim/adamw.h"
#include "support/catch.h"

namespace setun {
namespace {

const std::vector<LayerInfo> kLayers = {{"blocks.0.attn.q", Role::kQkv, 0, 4, 4},
                                        {"blocks.0.ffn.down", Role::kDown, 0, 4, 8},
                                        {"blocks.1.ffn.down", Role::kDown, 1, 4, 8}};

std::vector<NamedParameter> parameters() {
  return {{"embed.weight", at::empty({9, 4})},
          {"blocks.0.attn.q.weight", at::empty({4, 4})},
          {"blocks.0.ffn.down.weight", at::empty({4, 8})},
          {"blocks.1.ffn.down.weight", at::empty({4, 8})},
          {"norm.weight", at::empty({4})}};
}

std::vector<std::string> names(const ParamGroup& group) {
  std::vector<std::string> out;
  for (const NamedParameter& parameter : group.parameters) {
    out.push_back(parameter.name);
  }
  return out;
}

std::string message_of(const std::vector<ParamGroupOptions>& groups) {
  try {
    make_param_groups(parameters(), kLayers, {.groups = groups});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("the first matching pattern takes a parameter, the rest form the last group") {
  const auto groups =
      make_param_groups(parameters(), kLayers,
                        {.groups = {{.match = "1d", .lr_scale = 2, .weight_decay = 0.0},
                                    {.match = "embed", .lr_scale = 3},
                                    {.match = "blocks.1.*"},
                                    {.match = "down", .lr_scale = 0.5}}});
  REQUIRE(groups.size() == 5);
  CHECK(names(groups[0]) == std::vector<std::string>{"norm.weight"});
  CHECK(groups[0].lr_scale == 2);
  CHECK(groups[0].weight_decay == 0.0);
  CHECK(names(groups[1]) == std::vector<std::string>{"embed.weight"});
  CHECK_FALSE(groups[1].weight_decay.has_value());
  CHECK(names(groups[2]) == std::vector<std::string>{"blocks.1.ffn.down.weight"});
  CHECK(names(groups[3]) == std::vector<std::string>{"blocks.0.ffn.down.weight"});
  CHECK(groups[3].lr_scale == 0.5);
  CHECK(names(groups[4]) == std::vector<std::string>{"blocks.0.attn.q.weight"});
  CHECK(groups[4].lr_scale == 1);
}

TEST_CASE("a pattern that hits nothing is an error that names a near parameter") {
  CHECK_THAT(message_of({{.match = "embed.wieght"}}),
             Catch::Contains("optim.groups[0].match: \"embed.wieght\" matches no parameter") &&
                 Catch::Contains("did you mean embed.weight?"));
  CHECK_THAT(message_of({{.match = "1d"}, {.match = "head"}}),
             Catch::Contains("optim.groups[1].match: \"head\" matches no parameter"));
}

TEST_CASE("a pattern whose parameters are all taken is an error that says so") {
  CHECK_THAT(message_of({{.match = "*"}, {.match = "down"}}),
             Catch::Contains("optim.groups[1].match: \"down\" matches only parameters"));
}

TEST_CASE("a model without vectors accepts the default group for them") {
  auto matrices = parameters();
  matrices.pop_back();
  const auto groups = make_param_groups(matrices, kLayers, {});
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].parameters.empty());
  CHECK(groups[1].parameters.size() == 4);
}

}  // namespace
}  // namespace setun
