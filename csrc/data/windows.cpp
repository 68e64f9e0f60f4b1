#include "data/windows.h"

#include <algorithm>
#include <numeric>

#include "base/counter_rng.h"
#include "base/error.h"

namespace setun {
namespace {

// Starts of the documents inside a slice, relative to it; the slice's first token always starts
// one.
std::vector<uint64_t> starts_in(const TokenSlice& slice) {
  std::vector<uint64_t> starts = {0};
  for (const uint64_t start : slice.shard->document_starts()) {
    if (start > slice.begin && start < slice.end) {
      starts.push_back(start - slice.begin);
    }
  }
  return starts;
}

}  // namespace

Windows::Windows(std::vector<TokenSlice> slices, int64_t context, Packing packing)
    : slices_(std::move(slices)), context_(context), packing_(packing) {
  for (uint32_t slice = 0; slice < slices_.size(); ++slice) {
    documents_.push_back(packing == Packing::kCross ? std::vector<uint64_t>{}
                                                    : starts_in(slices_[slice]));
    if (packing == Packing::kWhole) {
      add_document_rows(slice);
    } else {
      add_stream_rows(slice);
    }
  }
}

// Rows overlap by one token: the last target of one is the first token of the next.
void Windows::add_stream_rows(uint32_t slice) {
  const auto size = static_cast<int64_t>(slices_[slice].size());
  for (int64_t first = 0; first + context_ < size; first += context_) {
    rows_.push_back({slice, static_cast<uint64_t>(first), context_ + 1});
  }
}

void Windows::add_document_rows(uint32_t slice) {
  const std::vector<uint64_t>& starts = documents_[slice];
  for (std::size_t d = 0; d < starts.size(); ++d) {
    const uint64_t end = d + 1 < starts.size() ? starts[d + 1] : slices_[slice].size();
    for (uint64_t first = starts[d]; first + 1 < end; first += static_cast<uint64_t>(context_)) {
      rows_.push_back({slice, first, std::min(context_ + 1, static_cast<int64_t>(end - first))});
    }
  }
}

int64_t Windows::fill(int64_t index, int64_t* tokens, int64_t* targets, int64_t* documents) const {
  const Row& row = rows_[static_cast<std::size_t>(index)];
  const TokenSlice& slice = slices_[row.slice];
  for (int64_t t = 0; t < context_; ++t) {
    const uint64_t at = row.first + static_cast<uint64_t>(t);
    const bool has_target = t + 1 < row.length;
    // Padding repeats the row's last token: its targets do not count, so any token of the
    // vocabulary does.
    tokens[t] = slice[t < row.length ? at : row.first + static_cast<uint64_t>(row.length) - 1];
    targets[t] = has_target ? slice[at + 1] : kIgnoreTarget;
  }
  if (packing_ == Packing::kIsolate) {
    const std::vector<uint64_t>& starts = documents_[row.slice];
    auto next = std::upper_bound(starts.begin(), starts.end(), row.first);
    for (int64_t t = 0; t < context_; ++t) {
      const uint64_t at = row.first + static_cast<uint64_t>(t);
      next = next != starts.end() && *next == at ? next + 1 : next;
      documents[t] = next - starts.begin() - 1;
      if (next != starts.end() && *next == at + 1) {
        targets[t] = kIgnoreTarget;  // the next token begins another document
      }
    }
  }
  return context_ - std::count(targets, targets + context_, kIgnoreTarget);
}

std::vector<uint32_t> permutation(int64_t count, uint64_t key) {
  SETUN_ASSERT(count <= int64_t{UINT32_MAX}, count, " elements");
  std::vector<uint32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0U);
  for (uint64_t i = order.size(); i > 1; --i) {
    // Multiply-shift maps 64 random bits to [0, i); its bias is below 2^-32 for any count here.
    const auto j =
        static_cast<std::size_t>((static_cast<unsigned __int128>(random_bits(key, i)) * i) >> 64);
    std::swap(order[i - 1], order[j]);
  }
  return order;
}

std::vector<uint32_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch, bool shuffle) {
  if (shuffle) {
    return permutation(count,
                       random_key(seed ^ mix64(static_cast<uint64_t>(epoch)), "data.shuffle"));
  }
  std::vector<uint32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0U);
  return order;
}

}  // namespace setun
