// Every key of a recipe, once: name, member, meaning. Decoding, emission, comparison and the
// reference all walk this table, so a key cannot be known to one and unknown to another. A visitor
// is called v(name, member, meaning); members that also accept a single value as a list of one go
// through v.one_or_many(...). Structs nest; docs say units and ranges.
#pragma once

#include <concepts>
#include <type_traits>

#include "config/run_config.h"

namespace setun::config {

// True for T and const T.
template <class O, class T>
concept Is = std::same_as<std::remove_const_t<O>, T>;

// A spec, or the patch that has the same keys.
template <class O, class Spec, class Patch>
concept IsEither = Is<O, Spec> || Is<O, Patch>;

template <class V>
void visit_fields(V& v, Is<NormOptions> auto& o) {
  v("placement", o.placement,
    "where norms stand; classifiers: none, or per_linear (in front of every linear)");
  v("kind", o.kind, "RMSNorm, or LayerNorm without affine");
  v("gain", o.gain, "learned gain per feature, initialised to 1; rms only");
  v("eps", o.eps, "added to the mean square");
}

template <class V>
void visit_fields(V& v, Is<InitOptions> auto& o) {
  v("kind", o.kind, "distribution of the initial matrices");
  v("std", o.std, "standard deviation of normal and residual_scaled, and of the embedding");
}

template <class V>
void visit_fields(V& v, Is<ClassifierOptions> auto& o) {
  v("features", o.features, "inputs of an mlp; 0: the data's");
  v("classes", o.classes, "0: the data's");
  v("widths", o.widths,
    "of the hidden layers, any number; the first of a bag_of_words is its embedding's");
  v("activation", o.activation, "of the hidden layers");
  v("bias", o.bias, "full-precision bias of every layer");
  v("dropout", o.dropout, "share of each hidden layer's outputs that training drops, in [0, 1)");
}

template <class V>
void visit_fields(V& v, Is<MoeOptions> auto& o) {
  v("experts", o.experts, "experts of a mixture; 0: every feed-forward part is dense");
  v("active", o.active, "experts a token (with heads, a sub-token) goes to");
  v("heads", o.heads,
    "sub-tokens a token is split into, between a head and a merge projection (MH-MoE); divides "
    "hidden; 1: a plain mixture");
  v("expert_ffn", o.expert_ffn, "width of an expert; 0: as ffn");
  v("every", o.every, "a mixture in every so many blocks: of 2, in blocks 1, 3, ...");
  v("balance", o.balance, "factor on the load-balance loss, which is 1 when the load is even");
  v("normalize_gates", o.normalize_gates,
    "the gates of a token's experts add up to 1; needs two active experts");
}

template <class V>
void visit_fields(V& v, Is<ModelOptions> auto& o) {
  v("kind", o.kind,
    "a language model, a classifier of rows of numbers, or a classifier of bags of words");
  v("vocab_size", o.vocab_size, "rows of the embedding; 0: the data's vocabulary");
  v("hidden", o.hidden, "width of the residual stream");
  v("layers", o.layers, "decoder blocks");
  v("heads", o.heads, "query heads");
  v("kv_heads", o.kv_heads, "key and value heads; divides heads; 0: as heads");
  v("head_dim", o.head_dim, "features per head, even; 0: hidden / heads");
  v("ffn", o.ffn, "width of the feed-forward part");
  v("ffn_kind", o.ffn_kind, "silu(gate) * up, or relu(gate)^2 * up");
  v("max_context", o.max_context, "longest sequence in tokens, generation included");
  v("rope_base", o.rope_base, "base of the rotary angles");
  v("tied_embeddings", o.tied_embeddings, "the head shares the embedding's matrix");
  v("classifier", o.classifier, "sizes of kinds mlp and bag_of_words");
  v("norm", o.norm, "normalisation");
  v("init", o.init, "initialisation");
  v("moe", o.moe, "mixture of experts in place of dense feed-forward parts");
}

template <class V>
void visit_fields(V& v, Is<TokenizerOptions> auto& o) {
  v("kind", o.kind, "raw bytes, or SentencePiece BPE");
  v("model", o.model,
    "an existing SentencePiece .model file; empty: train one on the training split");
  v("vocab_size", o.vocab_size, "pieces of a SentencePiece model to be trained; bytes has 257");
  v("character_coverage", o.character_coverage,
    "share of characters that get a piece of their own, in (0, 1]");
}

template <class V>
void visit_fields(V& v, Is<XorOptions> auto& o) {
  v("noise", o.noise, "random inputs beside the two that decide the class");
  v("samples", o.samples, "training samples");
  v("validation_samples", o.validation_samples, "validation samples; 0: none");
}

template <class V>
void visit_fields(V& v, Is<CsvOptions> auto& o) {
  v("file", o.file, "numbers separated by commas, plain or gzip");
  v("header", o.header, "the first line is no data");
  v("label", o.label, "column of the class, a whole number from 0 on; -1: the last column");
  v("scaling", o.scaling,
    "of each feature by the training split: to a largest magnitude of 1, or to mean 0 and standard "
    "deviation 1");
}

template <class V>
void visit_fields(V& v, Is<FolderOptions> auto& o) {
  v("root", o.root, "ROOT/CLASS/**, or ROOT/train/CLASS/** and ROOT/test/CLASS/**");
  v("suffix", o.suffix, "of the files to read; empty: every file");
  v("encoding", o.encoding, "of the texts");
  v("min_count", o.min_count, "rarer words of the training split are dropped");
  v("weight", o.weight,
    "of a word in its bag: how often it occurs, or TF-IDF with each bag scaled to length 1");
}

template <class V>
void visit_fields(V& v, Is<DataOptions> auto& o) {
  v("kind", o.kind, "text for a decoder; xor and csv for an mlp; folders for a bag_of_words");
  v("xor", o.xor_bits, "generated bits");
  v("csv", o.csv, "a table");
  v("folders", o.folders, "texts in one folder per class");
  v("seed", o.seed, "of generated samples and of the validation split of csv and folders");
  v.one_or_many("text", o.text, "UTF-8 text files");
  v.one_or_many("jsonl", o.jsonl, "files with one JSON object a line");
  v("jsonl_field", o.jsonl_field, "key of the text in each JSON object");
  v.one_or_many("tokens", o.tokens,
                "token files: Setun shards, llm.c .bin, headerless nanoGPT .bin");
  v("token_dtype", o.token_dtype, "of headerless token files");
  v("document", o.document, "what one document of a text file is");
  v("tokenizer", o.tokenizer, "tokenizer");
  v("cache", o.cache, "folder of prepared tokens and tokenizers");
  v.one_or_many("validation", o.validation,
                "validation files (folders: roots), of the same kind as the source");
  v("validation_fraction", o.validation_fraction,
    "without validation files: share of the documents (of the text, with one document) at the end, "
    "or of the samples, drawn from data.seed; in [0, 1)");
  v("context", o.context, "tokens per sequence");
  v("batch", o.batch, "sequences, or samples, per micro-batch");
  v("packing", o.packing,
    "cross: windows over joined documents; isolate: attention stays in a document; whole: a "
    "document starts a row");
  v("shuffle", o.shuffle, "visit the windows or samples in an order drawn from (run.seed, epoch)");
  v("prefetch", o.prefetch, "micro-batches prepared ahead by a thread; 0: none");
}

template <class V>
void visit_fields(V& v, Is<ParamGroupOptions> auto& o) {
  v("match", o.match,
    "parameter name with '*', 1d (vectors), embed, or a role (qkv, o, gate_up, down, expert, "
    "router, moe_head, moe_merge, head, hidden, classifier)");
  v("lr_scale", o.lr_scale, "factor on the learning rate");
  v("weight_decay", o.weight_decay, "constant weight decay; absent: the schedule's");
}

template <class V>
void visit_fields(V& v, Is<OptimOptions> auto& o) {
  v("lr", o.lr, "peak learning rate (of the first line, for two_stage)");
  v("beta1", o.beta1, "decay of the first moment");
  v("beta2", o.beta2, "decay of the second moment");
  v("eps", o.eps, "added to the root of the second moment");
  v("weight_decay", o.weight_decay, "decoupled weight decay");
  v("clip_norm", o.clip_norm, "global L2 norm gradients are clipped to; 0: no clipping");
  v("groups", o.groups,
    "ordered parameter groups, first match wins; vectors do not decay by default");
}

template <class V>
void visit_fields(V& v, Is<ScheduleOptions> auto& o) {
  v("kind", o.kind, "shape of the learning rate over the run");
  v("warmup", o.warmup, "linear rise from 0");
  v("end_lr_ratio", o.end_lr_ratio, "learning rate at the last step / peak");
  v("power", o.power, "exponent of polynomial");
  v("decay", o.decay, "length of the final decay of wsd");
  v("switch_at", o.switch_at, "two_stage: where the second line and stage2_weight_decay begin");
  v("stage2_lr_ratio", o.stage2_lr_ratio, "two_stage: peak of the second line / peak of the first");
  v("stage2_weight_decay", o.stage2_weight_decay, "two_stage: weight decay of the second stage");
  v("shape", o.shape, "two_stage: shape of both lines");
}

template <class V>
void visit_fields(V& v, IsEither<WeightQuantSpec, WeightQuantPatch> auto& o) {
  v("scheme", o.scheme, "weight quantizer");
  v("granularity", o.granularity, "what shares a scale: tensor, row, group or part");
  v("group_size", o.group_size, "columns per scale; with granularity group");
  v("parts", o.parts, "equal parts of the matrix, a scale each; with granularity part");
  v("parts_axis", o.parts_axis, "what granularity part divides");
  v("rounding", o.rounding, "stochastic: draws of the step, for absmean");
  v("blend", o.blend, "w + blend (Q(w) - w), in (0, 1]");
  v("estimator", o.estimator, "gradient through the quantizer");
  v("eps", o.eps, "smallest scale");
  v("storage", o.storage,
    "what the parameter holds between steps: latent, or projected on the grid (the latent is kept "
    "beside the optimizer's "
    "moments); the same in every phase");
}

template <class V>
void visit_fields(V& v, IsEither<ActivationQuantSpec, ActivationQuantPatch> auto& o) {
  v("scheme", o.scheme, "activation quantizer");
  v("bits", o.bits, "2 to 8; 4 for fp4");
  v("granularity", o.granularity, "what shares a scale: token, or tensor (absmax, b1, b1_shifted)");
  v("multiplier", o.multiplier, "factor on absmean's mean |x|");
  v("estimator", o.estimator, "gradient through the quantizer");
  v("eps", o.eps,
    "smallest absolute maximum; added to absmean's mean; distance of b1 from the ends");
}

template <class V>
void visit_fields(V& v, IsEither<RotationSpec, RotationPatch> auto& o) {
  v("kind", o.kind, "rotation of the linear's input, after its norm");
  v("block", o.block,
    "order of the Hadamard matrix, a power of two from 64; 0: the largest that divides the width");
  v("signs", o.signs, "random signs in front of the transform");
  v("seed", o.seed, "of the signs");
  v("of", o.of,
    "input: the weight is learned in the rotated basis; both: the weight is rotated too");
}

template <class V>
void visit_fields(V& v, IsEither<SparsitySpec, SparsityPatch> auto& o) {
  v("kind", o.kind, "which inputs of the linear stay");
  v("keep", o.keep, "topk: share of a token's features, in (0, 1]");
  v("n", o.n, "nm: n of every m consecutive features stay");
  v("m", o.m, "nm: features per block; divides the width");
  v("rescale", o.rescale, "l2: the token keeps its L2 norm");
  v("gradient", o.gradient, "ste: as if nothing had been dropped; masked: 0 where dropped");
}

template <class V>
void visit_fields(V& v, IsEither<LinearSpec, SpecPatch> auto& o) {
  v("weight", o.weight, "weights");
  v("activation", o.activation, "inputs");
  v("rotation", o.rotation, "rotation of the inputs");
  v("sparsity", o.sparsity, "sparsity of the inputs");
}

template <class V>
void visit_fields(V& v, Is<LayerPatch> auto& o) {
  v("match", o.match, "role, role[block], role[first..last], layer name, or name with '*'");
  v("set", o.set, "keys to change");
}

template <class V>
void visit_fields(V& v, Is<QuantPhase> auto& o) {
  v("at", o.at, "first step of the phase");
  v("ramp", o.ramp, "steps over which the quantizers blend from the phase before");
  v("layers", o.layers, "patches on top of the phase before");
}

template <class V>
void visit_fields(V& v, Is<AttentionQuantOptions> auto& o) {
  v("key_bits", o.key_bits, "of keys, after the rotation: 2 to 8; 0: full precision");
  v("value_bits", o.value_bits, "of values: 2 to 8; 0: full precision");
  v("query_bits", o.query_bits, "of queries, after the rotation: 2 to 8; 0: full precision");
  v("first_token_bits", o.first_token_bits,
    "of the quantized keys and values of the first token of each sequence (document, with packing "
    "isolate): at least key_bits and value_bits; 0: full precision");
  v("scheme", o.scheme, "symmetric (absolute maximum) or asymmetric (minimum and range)");
  v("from", o.from, "first step that quantizes; a checkpoint is evaluated as its step says");
  v("eps", o.eps, "smallest absolute maximum, or range, of a token's head");
}

template <class V>
void visit_fields(V& v, Is<QuantOptions> auto& o) {
  v("default", o.base, "every linear inside the blocks, or of a classifier; never the head");
  v("layers", o.layers, "ordered patches, later wins");
  v("phases", o.phases, "changes during the run");
  v("attention", o.attention, "heads of attention in every block, one scale per token and head");
}

template <class V>
void visit_fields(V& v, Is<RunOptions> auto& o) {
  v("seed", o.seed, "of initialisation and data order");
  v("steps", o.steps, "optimizer steps; exactly one of steps and tokens");
  v("tokens", o.tokens, "training tokens, rounded up to whole steps");
  v("minutes", o.minutes, "stop, saved and resumable, after this wall time; 0: no limit");
  v("output", o.output, "run folder");
  v("accumulate", o.accumulate, "micro-batches per optimizer step");
  v("threads", o.threads, "0: all cores");
  v("device", o.device, "where the run computes");
  v("compute", o.compute, "type of matrix products and attention; parameters and norms stay fp32");
  v("matmul_precision", o.matmul_precision,
    "LibTorch's setting for fp32 products; medium: oneDNN, faster on AMD processors, and TF32 on "
    "CUDA");
  v("products", o.products,
    "of quantized linear layers: integer where their codes allow it, or always simulated in the "
    "compute type; the same codes, other rounding");
  v("input_gradient", o.input_gradient,
    "dX of integer products: exact (in the compute type), or of dY in 8 bits per token");
  v("inference_head", o.inference_head,
    "a full-precision head in generation and evaluation: in the compute type, or 8-bit codes");
  v("recompute_blocks", o.recompute_blocks,
    "gradient checkpointing: less memory, one more forward");
  v("cuda_graph", o.cuda_graph,
    "on CUDA: record the step once and start it with two calls; the same numbers, where no draw "
    "and "
    "no shape depends on the step");
  v("non_finite", o.non_finite, "what to do when loss or gradient is not finite");
  v("allow_changed", o.allow_changed,
    "keys whose change since the checkpoint is accepted; '*' matches");
}

template <class V>
void visit_fields(V& v, Is<EvalOptions> auto& o) {
  v("every", o.every, "steps; 0: only at the end");
  v("batches", o.batches, "micro-batches of the validation split; 0: all");
  v("ngram", o.ngram, "order of the Kneser-Ney baseline reported at the end; 0: none");
}

template <class V>
void visit_fields(V& v, Is<CheckpointOptions> auto& o) {
  v("every", o.every, "steps; 0: only at the end and on a signal");
  v("keep_last", o.keep_last, "newest checkpoints to keep");
  v("keep_best", o.keep_best, "keep the one with the best validation loss too");
}

template <class V>
void visit_fields(V& v, Is<MetricsOptions> auto& o) {
  v("every", o.every, "steps between records");
  v("layers_every", o.layers_every,
    "steps between per-layer records, a multiple of every; 0: none");
  v("tensorboard", o.tensorboard, "write TensorBoard event files");
}

template <class V>
void visit_fields(V& v, Is<GenerateOptions> auto& o) {
  v("prompt", o.prompt, "text to continue");
  v("tokens", o.tokens, "most tokens to add");
  v("temperature", o.temperature, "0: greedy");
  v("top_k", o.top_k, "sample among the k most probable; 0: off");
  v("top_p", o.top_p, "sample among the most probable of this mass, in (0, 1]");
  v("seed", o.seed, "of the sampling");
}

template <class V>
void visit_fields(V& v, Is<RunConfig> auto& o) {
  v("model", o.model, "A Llama-shaped decoder, or a feed-forward classifier; sizes only.");
  v("data", o.data,
    "What text, which tokenizer, how sequences are cut; or which labelled samples.");
  v("optim", o.optim, "AdamW, clipping, parameter groups.");
  v("schedule", o.schedule, "Learning rate and weight decay over the run.");
  v("quant", o.quant, "What is quantized, where and when. Empty: full precision.");
  v("run", o.run, "Facts of this run. Never in a fragment.");
  v("eval", o.eval, "Validation. Never in a fragment.");
  v("checkpoint", o.checkpoint, "Checkpoints. Never in a fragment.");
  v("metrics", o.metrics, "Records. Never in a fragment.");
  v("generate", o.generate, "Sampling of `setun generate`. Never in a fragment.");
}

struct Node;

// A struct of options: has a visit_fields above, or in its own namespace.
template <class T>
concept Section = std::is_aggregate_v<T> && std::is_class_v<T> && !std::same_as<T, StepPoint> &&
                  !std::same_as<T, Node>;

}  // namespace setun::config
