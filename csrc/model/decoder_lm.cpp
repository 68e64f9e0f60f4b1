// tokens -> embedding -> blocks -> norm -> head. What every block shares (rotary tables, first
// keys) is made once per call.
#include "model/decoder_lm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cummax.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

#include "model/layer_table.h"
#include "model/recompute.h"
#include "ops/few_rows_ops.h"
#include "quant/plain_linear.h"

namespace setun {
namespace {

constexpr double kHeadInputEps = 1e-5;  // of an 8-bit head's input, as the quantizers' default

void check_layer_table(const std::vector<NamedLinear>& linears, const ModelOptions& options) {
  const std::vector<LayerInfo> table = layer_table(options);
  SETUN_ASSERT(linears.size() == table.size(), linears.size(), " linears, table has ",
               table.size());
  for (size_t i = 0; i < table.size(); ++i) {
    const BitLinearOptions& linear = linears[i].linear->options;
    SETUN_ASSERT(linears[i].name == table[i].name && linear.layer == static_cast<int64_t>(i) &&
                     linear.in_features == table[i].in_features &&
                     linear.out_features == table[i].out_features,
                 "linear ", linears[i].name, " does not equal row ", i, " of the layer table, ",
                 table[i].name);
  }
}

// int64 [B, T]: the position at which each token's document begins; undefined without documents.
at::Tensor first_keys(const at::Tensor& documents_BT) {
  if (!documents_BT.defined()) {
    return {};
  }
  const int64_t length = documents_BT.size(1);
  at::Tensor begins = at::zeros_like(documents_BT);
  if (length > 1) {
    const at::Tensor inside =
        documents_BT.narrow(1, 1, length - 1).eq(documents_BT.narrow(1, 0, length - 1));
    begins.narrow(1, 1, length - 1)
        .copy_(at::arange(1, length, documents_BT.options()).expand_as(inside))
        .masked_fill_(inside, 0);
  }
  return std::get<0>(begins.cummax(1));
}

BlockOutput run_block(DecoderBlock block, const at::Tensor& x_BTD, QuantContext& context,
                      const AttentionInputs& inputs, bool recompute) {
  if (!recompute) {
    return block->forward(x_BTD, context, inputs);
  }
  const auto forward = [block, &context, inputs](const at::Tensor& x) mutable {
    const BlockOutput out = block->forward(x, context, inputs);
    return out.balance.defined() ? std::vector{out.x_BTD, out.balance, out.counts_E}
                                 : std::vector{out.x_BTD};
  };
  const std::vector<at::Tensor> out = recompute_in_backward(x_BTD, forward);
  return out.size() == 1 ? BlockOutput{out[0], {}, {}} : BlockOutput{out[0], out[1], out[2]};
}

void report_routers(const std::vector<BlockOutput>& mixtures, RouterReport& report) {
  report = {};
  for (const BlockOutput& out : mixtures) {
    report.balance = report.balance.defined() ? report.balance + out.balance : out.balance;
    report.counts_E.push_back(out.counts_E);
  }
  if (!mixtures.empty()) {
    report.balance = report.balance / static_cast<double>(mixtures.size());
  }
}

// bool [B or 1, T]: where a sequence begins, or with documents each of them; undefined where no
// token of the call does.
at::Tensor first_tokens(const ForwardOptions& options, int64_t length, int64_t cached,
                        at::TensorOptions like) {
  if (cached > 0) {
    return {};
  }
  const at::Tensor& documents = options.documents_BT;
  const int64_t rows = documents.defined() ? documents.size(0) : 1;
  at::Tensor first = at::zeros({rows, length}, like.dtype(at::kBool));
  first.select(1, 0).fill_(true);
  if (documents.defined()) {
    first.narrow(1, 1, length - 1)
        .copy_(documents.narrow(1, 1, length - 1).ne(documents.narrow(1, 0, length - 1)));
  }
  return first;
}

}  // namespace

DecoderLMImpl::DecoderLMImpl(const ModelOptions& options_in, at::ScalarType compute_in)
    : options(options_in), compute(compute_in) {
  SETUN_ASSERT(options.vocab_size > 0, "vocab_size is not resolved");
  const at::Tensor table = at::empty({options.vocab_size, options.hidden}, at::kFloat);
  embed = register_module("embed",
                          torch::nn::Embedding::from_pretrained(
                              table, torch::nn::EmbeddingFromPretrainedOptions().freeze(false)));
  blocks = register_module("blocks", torch::nn::ModuleList());
  int64_t layer = 0;
  for (int64_t block = 0; block < options.layers; ++block) {
    blocks->push_back(DecoderBlock(options, block, layer, compute));
    layer += linears_in_block(options, block);
  }
  norm = register_module(
      "norm", Norm(options.norm.kind, options.hidden, options.norm.eps, options.norm.gain));
  if (!options.tied_embeddings) {
    head = register_module("head", BitLinear(BitLinearOptions{.in_features = options.hidden,
                                                              .out_features = options.vocab_size,
                                                              .layer = layer,
                                                              .compute = compute}));
  }
  check_layer_table(named_linears(*this), options);
}

at::Tensor DecoderLMImpl::hidden_states(const at::Tensor& tokens_BT, QuantContext& context,
                                        const ForwardOptions& forward_options) {
  const int64_t length = tokens_BT.size(1);
  KvCache* cache = forward_options.cache;
  const GenerationScope scope(cache != nullptr);
  const int64_t cached = cache == nullptr ? 0 : cache->length;
  SETUN_CHECK(cached + length <= options.max_context, "model: ", cached + length,
              " tokens exceed model.max_context = ", options.max_context,
              "; use shorter sequences or raise model.max_context");
  SETUN_ASSERT(
      cache == nullptr || (!c10::GradMode::is_enabled() && !forward_options.documents_BT.defined()),
      "a cache is for generation: no gradients, no document mask");
  const AttentionInputs inputs{
      .rope = rope_.rows(cached, length, options.resolved_head_dim(), options.rope_base, device()),
      .first_key_BT = first_keys(forward_options.documents_BT),
      .first_BT = context.attention().quantizes()
                      ? first_tokens(forward_options, length, cached, tokens_BT.options())
                      : at::Tensor(),
      .cache = cache};

  const bool recompute = forward_options.recompute_blocks && c10::GradMode::is_enabled();
  std::vector<BlockOutput> mixtures;
  // A tied table's dense gradient comes from the head; the tokens' rows are added to it. On the
  // host alone: elsewhere LibTorch adds sparse rows in no fixed order.
  at::Tensor x_BTD =
      at::embedding(embed->weight, tokens_BT, /*padding_idx=*/-1,
                    /*scale_grad_by_freq=*/false, /*sparse=*/!head && tokens_BT.is_cpu());
  for (const auto& module : *blocks) {
    const DecoderBlock block(std::dynamic_pointer_cast<DecoderBlockImpl>(module));
    BlockOutput out = run_block(block, x_BTD, context, inputs, recompute);
    x_BTD = std::exchange(out.x_BTD, {});
    if (out.balance.defined() && forward_options.routers != nullptr) {
      mixtures.push_back(std::move(out));
    }
  }
  context.release_input();
  if (forward_options.routers != nullptr) {
    report_routers(mixtures, *forward_options.routers);
  }
  if (cache != nullptr) {
    cache->length += length;
  }
  return norm(forward_options.last_position_only ? x_BTD.narrow(1, length - 1, 1) : x_BTD);
}

at::Tensor DecoderLMImpl::plain_head(const QuantContext& context) const {
  if (!head) {
    return embed->weight;
  }
  const QuantContext::ActiveSpec active = context.spec(head->options.layer);
  const auto plain = [](const LinearSpec* spec) {
    return spec == nullptr || (!spec->changes_weight() && !spec->changes_input());
  };
  return plain(active.now) && plain(active.before) ? head->weight : at::Tensor();
}

bool DecoderLMImpl::has_int8_head(const QuantContext& context) const {
  return context.inference_head() == InferenceHead::kInt8 && !c10::GradMode::is_enabled() &&
         plain_head(context).defined();
}

at::Tensor DecoderLMImpl::forward(const at::Tensor& tokens_BT, QuantContext& context,
                                  const ForwardOptions& forward_options) {
  const GenerationScope scope(forward_options.cache != nullptr);
  const at::Tensor x_BTD = hidden_states(tokens_BT, context, forward_options);
  if (has_int8_head(context)) {
    return ops::int8_linear(ops::quantize_absmax_rows(x_BTD, 8, kHeadInputEps),
                            context.row_codes(plain_head(context)), compute);
  }
  return head ? head(x_BTD, context)
              : plain_linear(x_BTD, context.cast(embed->weight, compute), {});
}

std::vector<NamedLinear> linear_layers(DecoderLM& model) { return named_linears(*model); }

}  // namespace setun
