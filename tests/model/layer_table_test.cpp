// model/layer_table.h: names and shapes, exact sizes for every combination of options, packed
// bytes.
#include "model/layer_table.h"

#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

TEST_CASE("layers come in forward order with their shapes, the untied head last") {
  ModelOptions options = test::tiny_options();
  options.head_dim = 16;
  options.tied_embeddings = false;
  const auto layers = layer_table(options);
  REQUIRE(layers.size() == 15);
  const std::tuple<const char*, Role, int64_t, int64_t> expected[] = {
      {"blocks.1.attn.q", Role::kQkv, 64, 32},      {"blocks.1.attn.k", Role::kQkv, 32, 32},
      {"blocks.1.attn.v", Role::kQkv, 32, 32},      {"blocks.1.attn.o", Role::kO, 32, 64},
      {"blocks.1.ffn.gate", Role::kGateUp, 48, 32}, {"blocks.1.ffn.up", Role::kGateUp, 48, 32},
      {"blocks.1.ffn.down", Role::kDown, 32, 48}};
  for (size_t i = 0; i < 7; ++i) {
    const LayerInfo& layer = layers[7 + i];
    CHECK(std::tuple(layer.name, layer.role, layer.out_features, layer.in_features) ==
          std::tuple(std::string(std::get<0>(expected[i])), std::get<1>(expected[i]),
                     std::get<2>(expected[i]), std::get<3>(expected[i])));
    CHECK(layer.block == 1);
  }
  CHECK(layers.back().name == "head");
  CHECK(layers.back().block == -1);
  CHECK(layers.back().out_features == 41);
}

TEST_CASE("parameter counts equal the module's for every combination of options") {
  for (const auto& [placement, name] : test::decoder_placements()) {
    for (const bool gain : {true, false}) {
      for (const bool tied : {true, false}) {
        for (const int64_t kv_heads : {0, 1, 2}) {
          for (const int64_t head_dim : {0, 10}) {
            ModelOptions options = test::tiny_options();
            options.norm = {.placement = placement, .gain = gain};
            options.tied_embeddings = tied;
            options.kv_heads = kv_heads;
            options.head_dim = head_dim;
            INFO(name << " gain " << gain << " tied " << tied << " kv " << kv_heads << " dim "
                      << head_dim);
            DecoderLM model(options, at::kFloat);
            int64_t parameters = 0;
            for (const at::Tensor& parameter : model->parameters()) {
              parameters += parameter.numel();
            }
            const QuantPlan plan = test::uniform_plan(options, {});
            CHECK(estimate_size(options, plan, 1, 8, false, Products::kInteger).parameters ==
                  parameters);
            CHECK(linear_layers(model).size() == layer_table(options).size());
          }
        }
      }
    }
  }
}

TEST_CASE("packed size counts two bits a ternary weight, fp32 scales, two bytes for the rest") {
  const ModelOptions options = test::tiny_options();
  LinearSpec spec = test::ternary_spec();
  const int64_t ternary = 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 32 * 48);
  const auto size_with = [&] {
    return estimate_size(options, test::uniform_plan(options, spec), 1, 8, false,
                         Products::kInteger);
  };
  const SizeEstimate tensor = size_with();
  CHECK(tensor.quantized_parameters == ternary);
  CHECK(tensor.embedding_parameters == 41 * 32);
  const double plain = 2.0 * static_cast<double>(tensor.parameters - ternary);
  CHECK(tensor.packed_bytes == plain + 0.25 * ternary + 4 * 14);
  spec.weight.granularity = Granularity::kRow;
  CHECK(size_with().packed_bytes ==
        plain + 0.25 * ternary + 4 * 2 * (32 + 16 + 16 + 32 + 48 + 48 + 32));
  spec.weight.granularity = Granularity::kGroup;
  spec.weight.group_size = 16;
  CHECK(size_with().packed_bytes == plain + 0.25 * ternary + 4.0 * ternary / 16);
  spec = {};
  CHECK(size_with().quantized_parameters == 0);
  CHECK(size_with().packed_bytes == 2.0 * static_cast<double>(tensor.parameters));
}

}  // namespace
}  // namespace setun
