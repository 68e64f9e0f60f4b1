// `setun generate`: continues a prompt with a checkpoint's model, printing text as it is sampled.
#include "eval/generate.h"

#include <iostream>

#include "run/assemble.h"
#include "run/run.h"
#include "run/saved_model.h"

namespace setun::run {
namespace {

// Prints the part of the decoded text that is new and complete: bytes of an unfinished UTF-8
// character wait.
class Printer {
 public:
  Printer(const Tokenizer& tokenizer, std::vector<uint32_t> prompt)
      : tokenizer_(tokenizer), tokens_(std::move(prompt)) {
    print();
  }
  void add(uint32_t token) {
    tokens_.push_back(token);
    print();
  }

 private:
  void print() {
    const std::string text = tokenizer_.decode(tokens_);
    std::size_t end = text.size();
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, end); ++back) {
      const auto byte = static_cast<unsigned char>(text[end - back]);
      if (byte >= 0xC0) {  // a lead byte: incomplete when it announces more than follows
        const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
        end = length > back ? end - back : end;
        break;
      }
    }
    if (end > printed_) {
      std::cout << text.substr(printed_, end - printed_) << std::flush;
      printed_ = end;
    }
  }

  const Tokenizer& tokenizer_;
  std::vector<uint32_t> tokens_;
  std::size_t printed_ = 0;
};

}  // namespace

void generate(const RunConfig& config, const std::string& checkpoint) {
  SETUN_CHECK(!config.model.classifies(), "setun generate: model.kind is ",
              enum_name(config.model.kind), "; only a decoder continues text");
  set_up_process(config.run);
  const PreparedData data = prepare_data(config.data);
  SETUN_CHECK(data.tokenizer != nullptr,
              "data.tokens: token files come without a tokenizer, so there is no text to print; "
              "set data.tokenizer.model to the SentencePiece model that made them");
  AssembledModel assembled = assemble_model(config, data.vocab_size);
  restore_model(config, checkpoint, named_tensors(*assembled.model), *assembled.context);
  std::vector<uint32_t> prompt = data.tokenizer->encode(config.generate.prompt);
  if (prompt.empty()) {
    prompt.push_back(data.tokenizer->end_of_text());  // a document starts after the end of another
  }
  Printer printer(*data.tokenizer,
                  config.generate.prompt.empty() ? std::vector<uint32_t>{} : prompt);
  setun::generate(assembled.model, *assembled.context, prompt, data.tokenizer->end_of_text(),
                  config.generate, [&](uint32_t token) { printer.add(token); });
  std::cout << "\n";
}

}  // namespace setun::run
