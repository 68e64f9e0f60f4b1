// Rules that need the layer table, and the table printed before a run. Torch-free: no tensor is
// made.
#include <fstream>
#include <sstream>

#include "base/cpu_features.h"
#include "base/text.h"
#include "model/layer_table.h"
#include "run/mixture_text.h"
#include "run/plan.h"
#include "run/run.h"

namespace setun::run {
namespace {

// MemAvailable of /proc/meminfo in bytes; 0 when it cannot be read.
double available_memory() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    std::istringstream words(line);
    std::string key;
    double kilobytes = 0;
    if (words >> key >> kilobytes && key == "MemAvailable:") {
      return kilobytes * 1024;
    }
  }
  return 0;
}

std::string weight_text(const WeightQuantSpec& w) {
  std::string text = "weight " + std::string(enum_name(w.scheme));
  if (w.scheme == WeightScheme::kNone) {
    return text;
  }
  text += " per " + std::string(enum_name(w.granularity));
  if (w.granularity == Granularity::kGroup) {
    text += str(" of ", w.group_size);
  }
  if (w.granularity == Granularity::kPart) {
    text += str(", ", w.parts, " of ", enum_name(w.parts_axis));
  }
  if (w.rounding == Rounding::kStochastic) {
    text += ", stochastic";
  }
  return w.blend < 1 ? text + str(", blend ", w.blend) : text;
}

std::string input_text(const LinearSpec& spec) {
  const ActivationQuantSpec& a = spec.activation;
  const RotationSpec& r = spec.rotation;
  const SparsitySpec& s = spec.sparsity;
  std::string text = "activation " + std::string(enum_name(a.scheme));
  if (a.scheme != ActivationScheme::kNone) {
    text += str(" ", a.bits, " bit per ", enum_name(a.granularity));
  }
  if (r.kind != RotationKind::kNone) {
    text += str(", ", enum_name(r.kind), r.signs ? " with signs" : "", " of ",
                r.of == Rotated::kBoth ? "input and weight" : "input");
  }
  if (s.kind == SparsityKind::kTopk) {
    text += str(", top ", 100 * s.keep, " %");
  }
  if (s.kind == SparsityKind::kNm) {
    text += str(", ", s.n, " of ", s.m);
  }
  return text;
}

std::string spec_text(const LinearSpec& spec) {
  if (!spec.changes_input() && !spec.changes_weight()) {
    return "full precision";
  }
  return weight_text(spec.weight) + ", " + input_text(spec);
}

// What the sizes leave out because only files tell it.
const char* unknown_sizes(const ModelOptions& model) {
  switch (model.kind) {
    case ModelKind::kDecoder:
      return model.vocab_size == 0 ? ", without the vocabulary, which the tokenizer file tells"
                                   : "";
    case ModelKind::kMlp:
      return model.classifier.features == 0 || model.classifier.classes == 0
                 ? ", without the features or classes, which the data tells"
                 : "";
    case ModelKind::kBagOfWords:
      return model.vocab_size == 0 || model.classifier.classes == 0
                 ? ", without the vocabulary or classes, which the data tells"
                 : "";
  }
  return "";
}

// One line per run of equal specs: "blocks.0.attn.q .. blocks.3.ffn.down: weight absmean ...".
void add_phases(std::ostringstream& out, const QuantPlan& plan) {
  for (std::size_t p = 0; p < plan.phases.size(); ++p) {
    const QuantPlan::Phase& phase = plan.phases[p];
    out << "phase " << p << " from step " << phase.first_step;
    if (phase.ramp_steps > 0) {
      out << ", ramp " << phase.ramp_steps << " steps";
    }
    out << "\n";
    for (std::size_t i = 0; i < phase.specs.size();) {
      std::size_t end = i + 1;
      while (end < phase.specs.size() && phase.specs[end] == phase.specs[i]) {
        ++end;
      }
      out << "  " << plan.layers[i].name;
      if (end > i + 1) {
        out << " .. " << plan.layers[end - 1].name;
      }
      out << ": " << spec_text(phase.specs[i]) << "\n";
      i = end;
    }
  }
}

// "attention      keys 4 bit, values 4 bit (first token 8 bit), symmetric, from step 0".
void add_attention(std::ostringstream& out, const ModelOptions& model, const QuantPlan& plan) {
  const AttentionQuantOptions& attention = plan.attention;
  if (!attention.quantizes()) {
    return;
  }
  const auto bits = [](int64_t count) {
    return count == 0 ? std::string("full precision") : std::to_string(count) + " bit";
  };
  out << "attention      keys " << bits(attention.key_bits) << ", values "
      << bits(attention.value_bits) << " (first token " << bits(attention.first_token_bits)
      << "), queries " << bits(attention.query_bits) << ", " << enum_name(attention.scheme)
      << ", from step " << plan.attention_from << "\n";
  out << "kv cache       " << thousands(kv_cache_bytes(model, attention))
      << " bytes a token, packed (full precision: " << thousands(kv_cache_bytes(model, {}))
      << ")\n";
}

// An 8-bit gradient takes a weight's scales into dY, so they must not change along a row.
void check_input_gradient(const RunConfig& config, const QuantPlan& plan, Errors& errors) {
  if (config.run.input_gradient == InputGradient::kExact) {
    return;
  }
  for (const QuantPlan::Phase& phase : plan.phases) {
    for (std::size_t i = 0; i < phase.specs.size(); ++i) {
      const WeightQuantSpec& w = phase.specs[i].weight;
      const bool along_rows =
          w.granularity == Granularity::kGroup ||
          (w.granularity == Granularity::kPart && w.parts_axis == PartAxis::kColumns);
      if (phase.specs[i].has_integer_form() && along_rows) {
        errors.add("input_gradient", "is ", enum_name(config.run.input_gradient), ", but ",
                   plan.layers[i].name, " has weight scales per ", enum_name(w.granularity),
                   " of columns; set run.input_gradient: exact, or scales per tensor or row");
        return;
      }
    }
  }
}

// An 8-bit head stands in for a full-precision one.
void check_inference_head(const RunConfig& config, const QuantPlan& plan, Errors& errors) {
  if (config.run.inference_head == InferenceHead::kCompute) {
    return;
  }
  if (config.run.device != Device::kCpu) {
    errors.add("inference_head", "is ", enum_name(config.run.inference_head),
               ", which has kernels for run.device: cpu alone; set run.inference_head: compute");
    return;
  }
  for (const QuantPlan::Phase& phase : plan.phases) {
    for (std::size_t i = 0; i < phase.specs.size(); ++i) {
      const LinearSpec& spec = phase.specs[i];
      if (plan.layers[i].role == Role::kHead && (spec.changes_weight() || spec.changes_input())) {
        errors.add("inference_head", "is ", enum_name(config.run.inference_head),
                   ", but the recipe quantizes the head itself; set run.inference_head: compute");
        return;
      }
    }
  }
}

bool rounds_by_chance(const QuantPlan& plan) {
  for (const QuantPlan::Phase& phase : plan.phases) {
    for (const LinearSpec& spec : phase.specs) {
      if (spec.weight.rounding == Rounding::kStochastic) {
        return true;
      }
    }
  }
  return false;
}

// A recorded step repeats its launches with the recording's arguments: no draw of a step, no shape
// that follows the data.
void check_cuda_graph(const RunConfig& config, const QuantPlan& plan, Errors& errors) {
  if (!config.run.cuda_graph) {
    return;
  }
  const auto refuse = [&](const auto&... why) {
    errors.add("cuda_graph", "is true, but ", why..., "; set run.cuda_graph: false");
  };
  if (config.run.device != Device::kCuda) {
    refuse("run.device is ", enum_name(config.run.device), ", which starts no graphs");
  } else if (config.model.kind == ModelKind::kBagOfWords) {
    refuse("bags of words have other lengths in every step");
  } else if (config.model.moe.experts > 0) {
    refuse("experts get other numbers of tokens in every step");
  } else if (config.model.classifies() && config.model.classifier.dropout > 0) {
    refuse("model.classifier.dropout draws anew in every step");
  } else if (config.run.input_gradient == InputGradient::kInt8Stochastic) {
    refuse("run.input_gradient: int8_stochastic draws anew in every step (exact and int8 do not)");
  } else if (rounds_by_chance(plan)) {
    refuse("stochastic rounding of weights draws anew in every step");
  }
}

// How many layers multiply codes, in the first phase.
void add_products(std::ostringstream& out, const RunConfig& config, const QuantPlan& plan) {
  int64_t integer = 0, quantized = 0;
  for (const LinearSpec& spec : plan.phases.front().specs) {
    integer += spec.has_integer_form() ? 1 : 0;
    quantized += spec.quantizes() ? 1 : 0;
  }
  if (quantized == 0) {
    return;
  }
  integer = config.run.products == Products::kInteger ? integer : 0;
  out << "products       " << integer << " of " << quantized << " quantized layers multiply codes ("
      << enum_name(cpu_path()) << "), input gradient " << enum_name(config.run.input_gradient)
      << "\n";
}

}  // namespace

CheckReport check(const RunConfig& config) {
  CheckReport report;
  const int64_t steps = total_steps(config);
  ModelOptions model = config.model;
  model.vocab_size = planned_vocab(config);
  if (config.data.kind == DataKind::kXor) {
    model.classifier.features = 2 + config.data.xor_bits.noise;
    model.classifier.classes = 2;
  }
  Errors quant;
  const QuantPlan plan = resolve_quant_plan(config.quant, layer_table(model), steps, quant);
  report.errors.add_all("quant", quant);
  Errors run;
  check_input_gradient(config, plan, run);
  check_inference_head(config, plan, run);
  check_cuda_graph(config, plan, run);
  report.errors.add_all("run", run);
  if (!report.errors.empty()) {
    return report;
  }
  const SizeEstimate size = estimate_size(model, plan, config.data.batch, config.data.context,
                                          config.run.recompute_blocks, config.run.products);
  const int64_t per_step = units_per_step(config);
  report.parameters = size.parameters;
  report.packed_bytes = size.packed_bytes;
  report.training_bytes = size.training_bytes;
  report.tokens = steps * per_step;
  std::ostringstream out;
  out << "parameters     " << thousands(size.parameters) << " (embedding "
      << thousands(size.embedding_parameters) << ", quantized "
      << thousands(size.quantized_parameters) << ")"
      << (model.moe.experts > 0 ? ", active per token " + thousands(size.active_parameters) : "")
      << unknown_sizes(model) << "\n";
  out << mixture_text(model);
  out << "packed size    " << human_bytes(size.packed_bytes) << "\n";
  out << "steps          " << thousands(steps) << " x " << thousands(per_step) << " "
      << unit_name(config) << "s = " << thousands(steps * per_step) << "\n";
  out << "memory (est.)  " << human_bytes(size.training_bytes);
  const double available = available_memory();
  if (available > 0) {
    out << " of " << human_bytes(available) << " available";
    if (size.training_bytes > available) {
      out << "\nwarning: this run is likely to run out of memory; lower data.batch and raise "
             "run.accumulate"
          << (model.classifies() ? "" : ", or set run.recompute_blocks=true");
    }
  }
  out << "\n";
  add_products(out, config, plan);
  add_attention(out, model, plan);
  add_phases(out, plan);
  report.table = out.str();
  return report;
}

}  // namespace setun::run
