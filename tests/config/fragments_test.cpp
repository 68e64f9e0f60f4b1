// The fragments in configs/ decode on their own, and each says what its name promises.
#include "config/bad_configs.h"
#include "config/config.h"
#include "model/mixture_cost.h"
#include "run/run.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;

const std::filesystem::path kConfigs = SETUN_SOURCE_DIR "/configs";

RunConfig with_fragments(const std::string& names) {
  static const test::TempDir folder;
  if (!std::filesystem::exists(folder / "configs")) {
    std::filesystem::create_directory_symlink(kConfigs, folder / "configs");
  }
  const char* data = names == "model/mlp"        ? "{kind: xor}"
                     : names == "model/wide_mlp" ? "{kind: folders, folders: {root: a}}"
                                                 : "{text: a.txt}";
  test::write_text(folder / "recipe.yaml",
                   "include: [" + names + "]\ndata: " + data + "\nrun: {steps: 100}\n");
  return config::load_recipe(folder / "recipe.yaml", {}).config;
}

TEST_CASE("every fragment decodes and passes the checks", "[config]") {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kConfigs)) {
    if (!entry.is_regular_file()) {
      continue;
    }
    INFO(entry.path().string());
    CHECK(entry.path().extension() == ".yaml");
    const RunConfig config = with_fragments(
        std::filesystem::relative(entry.path(), kConfigs).replace_extension().string());
    const run::CheckReport report = run::check(config);
    for (const Errors::Finding& finding : report.errors.findings()) {
      FAIL_CHECK(finding.key << ": " << finding.message);
    }
    ++count;
  }
  CHECK(count >= 15);  // the folder was found
}

TEST_CASE("the b1.58 fragments differ in granularity only", "[config]") {
  const QuantOptions tensor = with_fragments("quant/b158").quant;
  CHECK(tensor.base.weight == WeightQuantSpec{.scheme = WeightScheme::kAbsmean});
  CHECK(tensor.base.activation == ActivationQuantSpec{.scheme = ActivationScheme::kAbsmax});
  QuantOptions row = tensor, group = tensor;
  row.base.weight.granularity = Granularity::kRow;
  group.base.weight.granularity = Granularity::kGroup;
  group.base.weight.group_size = 128;
  CHECK(with_fragments("quant/b158_row").quant == row);
  CHECK(with_fragments("quant/b158_g128").quant == group);
}

TEST_CASE("quantization fragments write every field, so that one replaces another whole",
          "[config]") {
  const QuantOptions tensor = with_fragments("quant/b158").quant;
  CHECK(with_fragments("quant/b158_g128, quant/b158").quant == tensor);
  CHECK(with_fragments("quant/b158_row, quant/b158").quant == tensor);
  CHECK_FALSE(with_fragments("quant/b158_g128, quant/none").quant.base.quantizes());
  CHECK(with_fragments("quant/none").quant == QuantOptions{});
  CHECK(with_fragments("quant/kv3_q4, quant/none").quant == QuantOptions{});
  CHECK(with_fragments("quant/kv3_q4, quant/kv4").quant == with_fragments("quant/kv4").quant);
}

TEST_CASE("attention fragments lie over linear ones and change nothing else", "[config]") {
  QuantOptions expected = with_fragments("quant/b158").quant;
  expected.attention = {.key_bits = 4, .value_bits = 4, .first_token_bits = 8};
  CHECK(with_fragments("quant/b158, quant/kv4").quant == expected);
  CHECK(with_fragments("quant/kv4, quant/b158").quant == expected);
  expected.attention = {.key_bits = 8, .value_bits = 8, .first_token_bits = 8};
  CHECK(with_fragments("quant/b158, quant/kv8").quant == expected);
  expected.attention = {.key_bits = 3, .value_bits = 3, .query_bits = 4, .first_token_bits = 4};
  CHECK(with_fragments("quant/b158, quant/kv3_q4").quant == expected);
}

TEST_CASE("the table of a run names attention's bits and what its cache takes", "[config]") {
  RunConfig config = with_fragments("quant/kv3_q4");
  config.model.layers = 3;
  config.model.hidden = 80;
  config.model.heads = 4;
  config.model.kv_heads = 2;  // 3 x 2 pairs of heads of 20: 8 bytes of codes and a scale each
  config.quant.attention.from = StepPoint::fraction(0.5);
  const std::string table = run::check(config).table;
  CHECK_THAT(table, Catch::Contains("keys 3 bit, values 3 bit (first token 4 bit), queries 4 bit, "
                                    "symmetric, from step 50\n") &&
                        Catch::Contains("144 bytes a token, packed (full precision: 480)"));
  config.quant.attention.scheme = HeadScheme::kAsymmetric;
  config.quant.attention.value_bits = 0;
  CHECK_THAT(run::check(config).table, Catch::Contains("336 bytes a token"));
  config.quant.attention = {};
  CHECK_THAT(run::check(config).table, !Catch::Contains("attention      "));
}

TEST_CASE("the paper's mixtures cost as many multiplications as its SMoE", "[config]") {
  // 2411.16205 section 3: experts, active, heads, width; parameters of the mixtures in millions.
  const MoeOptions expected[] = {
      {8, 1, 1, 2048}, {16, 2, 1, 1024}, {40, 2, 2, 768}, {96, 3, 3, 512}};
  const char* names[] = {"smoe", "finegrained", "h2", "h3"};
  for (int i = 0; i < 4; ++i) {
    const RunConfig config = with_fragments("model/mhmoe_paper_" + std::string(names[i]));
    INFO(names[i]);
    CHECK(config.model.moe == expected[i]);
    CHECK(mixture_cost(config.model).multiplications == 1.0);
    CHECK(mixture_cost(config.model).parameters == Approx(8).epsilon(0.04));
    RunConfig dense = with_fragments("model/mhmoe_paper_dense");
    dense.model.moe = expected[i];
    CHECK(dense.model == config.model);
  }
}

TEST_CASE("config check says what a mixture costs and where it would cost the same", "[config]") {
  const auto table = [](const char* fragment) {
    return run::check(with_fragments(fragment)).table;
  };
  const std::string h3 = table("model/mhmoe_paper_h3"), smoe = table("model/mhmoe_paper_smoe");
  CHECK_THAT(h3,
             Contains("mixture        6 of 12 blocks: 96 experts of width 512, 3 active for each "
                      "of 3 sub-tokens; of the dense FFN (2048): parameters x 8.25, "
                      "multiplications per token x 1.00\n"));
  CHECK_THAT(h3,
             Contains("parity         multiplications of the dense FFN at expert_ffn 512.00, and "
                      "its parameters at 9.00 experts of that width\n"));
  CHECK_THAT(smoe,
             Contains("mixture        6 of 12 blocks: 8 experts of width 2048, 1 active; of the "
                      "dense FFN (2048): parameters x 8.00, multiplications per token x 1.00\n"));
  CHECK_THAT(smoe, !Contains("parity"));
  CHECK_THAT(smoe, Contains("active per token "));
  CHECK_THAT(table("model/mhmoe_paper_dense"), !Contains("mixture") && !Contains("active"));
}

TEST_CASE("schedule fragments are what they are named", "[config]") {
  for (const auto& [kind, name] : EnumNames<ScheduleKind>::table) {
    if (kind != ScheduleKind::kPolynomial) {
      CHECK(with_fragments("schedule/" + std::string(name)).schedule.kind == kind);
    }
  }
}

}  // namespace
}  // namespace setun
